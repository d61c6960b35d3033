"""The data API: the caller's identity and the responses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared import supabase
from shared.database_errors import refusal
from shared.errors import (
    BudgetExceeded,
    ConversationNotFound,
    DatabaseBusy,
    DatabaseUnavailable,
    Forbidden,
    InternalError,
    ParleyError,
    QuotaExceeded,
    Unauthenticated,
)
from tests.fakes.openai import OpenAiHost
from tests.fakes.supabase import Project


def _worded(code: str, **metadata: Any) -> dict[str, Any]:
    return {"code": "PT429", "message": "words", "details": json.dumps({"code": code, "metadata": metadata})}


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (429, _worded("quota_exceeded", limit=5), QuotaExceeded),
        (402, _worded("budget_exceeded"), BudgetExceeded),
        (404, _worded("conversation_not_found"), ConversationNotFound),
        (429, _worded("no_such_code"), InternalError),
        (400, {"code": "PT400", "message": "words", "details": "not json"}, InternalError),
        (400, {"code": "PT400", "message": "words", "details": "[1]"}, InternalError),
        (400, {"code": "PT400", "message": "words", "details": None}, InternalError),
        (400, {"code": "PT400", "message": "words", "details": "{}"}, InternalError),
        (401, {"code": "PGRST301", "message": "JWT expired"}, Unauthenticated),
        (403, {"code": "42501", "message": "permission denied for table chat_logs"}, Forbidden),
        (400, {"code": "22P02", "message": 'invalid input syntax for type uuid: "x"'}, InternalError),
        (404, {"code": "PGRST202", "message": "Could not find the function"}, InternalError),
        (409, {"code": "23505", "message": "duplicate key value"}, InternalError),
        (500, {"code": "XX000", "message": "internal"}, DatabaseUnavailable),
        (500, {"code": "55P03", "message": "canceling statement due to lock timeout"}, DatabaseBusy),
        (500, {"code": "40P01", "message": "deadlock detected"}, DatabaseBusy),
        (500, {"code": "40001", "message": "could not serialize access"}, DatabaseBusy),
        (500, {"code": "57014", "message": "canceling statement due to statement timeout"}, DatabaseBusy),
        (503, {"code": "53300", "message": "too many connections"}, DatabaseBusy),
        (504, {"code": "PGRST003", "message": "Timed out acquiring connection"}, DatabaseBusy),
        (503, {"code": "PGRST000", "message": "no connection"}, DatabaseUnavailable),
        (504, None, DatabaseUnavailable),
        (400, ["a list"], InternalError),
        (401, "text", Unauthenticated),
    ],
)
def test_database_errors_become_our_errors(status: int, answer: Any, kind: type[ParleyError]) -> None:
    """Errors of our own functions keep their code; other messages of the database are not passed on."""
    error = refusal(status, answer)
    assert type(error) is kind
    if kind is InternalError or status in {401, 403} or status >= 500:
        message = answer["message"] if isinstance(answer, dict) else "\0"
        assert message not in error.message


def test_a_database_error_has_its_delay() -> None:
    """The delay becomes the header; the rest stays in the metadata."""
    error = refusal(429, _worded("quota_exceeded", retry_after=30, limit=5))
    assert (error.retry_after_seconds, error.metadata, error.message) == (30, {"limit": 5}, "words")


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        ("sb_secret_1", {"apikey": "sb_secret_1"}),
        ("eyJ.x.y", {"apikey": "eyJ.x.y", "Authorization": "Bearer eyJ.x.y"}),
    ],
)
def test_an_sb_secret_key_is_no_bearer_token(environ: Callable[..., None], key: str, headers: dict[str, str]) -> None:
    """An `sb_secret_` key is sent as apikey only, a legacy key as both."""
    environ(SUPABASE_SERVICE_KEY=key)
    assert supabase.as_service() == headers


@pytest.mark.anyio
async def test_a_function_is_called_as_the_user(project: Project) -> None:
    """The request has the user's token and the public key; its arguments are sanitised for PostgreSQL."""
    project.answers["/rest/v1/rpc/chat_begin"] = (200, {"outcome": "ok"})
    answer = await supabase.rpc("chat_begin", {"turn": {"message": "a\x00b\ud800"}}, supabase.as_caller("t0ken"))
    assert answer == {"outcome": "ok"}
    (received,) = project.asked
    assert (received.method, received.headers["apikey"], received.headers["authorization"]) == (
        "POST",
        "sb_publishable_x",
        "Bearer t0ken",
    )
    assert received.headers["content-type"] == "application/json"
    assert received.arguments == {"turn": {"message": "a\ufffdb\ufffd"}}


@pytest.mark.anyio
async def test_rows_are_read_with_get(project: Project) -> None:
    """The query is sent unchanged; an empty response is None."""
    project.answers |= {"/rest/v1/llm_models": (200, [{"id": 1}]), "/rest/v1/empty": (204, "")}
    assert await supabase.select("llm_models?select=id&limit=1", supabase.as_service()) == [{"id": 1}]
    assert await supabase.select("empty", supabase.as_service()) is None
    assert project.asked[0].method == "GET"


@pytest.mark.anyio
async def test_an_unreachable_database_is_a_503(environ: Callable[..., None], sessions: None) -> None:  # noqa: ARG001
    """A refused connection raises DatabaseUnavailable with a delay."""
    environ(SUPABASE_URL="http://127.0.0.1:9", SUPABASE_SERVICE_KEY="sb_secret_x")
    with pytest.raises(DatabaseUnavailable) as caught:
        await supabase.rpc("chat_finish", {}, supabase.as_service())
    assert caught.value.retry_after_seconds == 2
    assert "127.0.0.1" not in caught.value.message


@pytest.mark.anyio
@pytest.mark.parametrize("answer", ["<html>Bad gateway</html>", "{"])
@pytest.mark.parametrize("status", [200, 502])
async def test_a_response_that_is_not_json_is_a_503(project: Project, status: int, answer: str) -> None:
    """A proxy's page is not taken for the database's response."""
    project.answers["/rest/v1/rpc/chat_finish"] = (status, answer)
    with pytest.raises(DatabaseUnavailable):
        await supabase.rpc("chat_finish", {}, supabase.as_service())


@pytest.mark.anyio
async def test_a_response_that_breaks_off_or_never_ends_is_a_503(
    host: OpenAiHost, environ: Callable[..., None]
) -> None:
    """Half a response is an error, and the timeout limits the wait."""
    environ(SUPABASE_URL=host.url, SUPABASE_SERVICE_KEY="sb_secret_x")
    host.pieces = [b'{"outcome":']
    for host.ending in ("cut", "hold"):
        with pytest.raises(DatabaseUnavailable):
            await supabase.rpc("chat_finish", {}, supabase.as_service(), timeout_seconds=0.2)


@pytest.mark.anyio
async def test_a_redirect_is_not_followed_with_our_key(host: OpenAiHost, environ: Callable[..., None]) -> None:
    """The service key is sent to the project only."""
    environ(SUPABASE_URL=host.url, SUPABASE_SERVICE_KEY="sb_secret_x")
    host.status, host.headers = 307, {"Location": f"{host.url}/elsewhere"}
    with pytest.raises(InternalError):
        await supabase.rpc("chat_finish", {}, supabase.as_service())
    assert len(host.received) == 1


@pytest.mark.anyio
@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize(
    ("code", "calls"),
    [("55P03", 2), ("40P01", 2), ("40001", 2), ("53300", 2), ("PT503", 2), ("57014", 1), ("XX000", 1)],
)
@pytest.mark.parametrize("is_busy_again", [False, True])
async def test_what_a_busy_database_refused_is_sent_once_more(
    host: OpenAiHost, environ: Callable[..., None], code: str, calls: int, is_busy_again: bool
) -> None:
    """A lock, a deadlock or a full pool changed nothing, so one retry is safe; a second refusal is 503."""
    environ(SUPABASE_URL=host.url, SUPABASE_SERVICE_KEY="sb_secret_x")
    details = json.dumps({"code": "database_busy", "metadata": {"retry_after": 2}}) if code == "PT503" else None
    refused = (500, [json.dumps({"code": code, "message": "words", "details": details}).encode()])
    host.script, host.pieces = [refused, refused] if is_busy_again else [refused], [b"7"]
    if is_busy_again or calls == 1:
        with pytest.raises(DatabaseUnavailable) as raised:
            await supabase.rpc("sweep_turns", {}, supabase.as_service())
        assert (raised.value.status, raised.value.retry_after_seconds) == (503, 2)
        assert (raised.value.code == "database_busy") is (code != "XX000")
    else:
        assert await supabase.rpc("sweep_turns", {}, supabase.as_service()) == 7
    assert len(host.received) == calls
