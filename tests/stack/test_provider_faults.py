"""Each provider's faults, silence and hang-ups, over real HTTP and into real rows."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.fakes.providers import Upstream
from tests.providers import STREAMING, named, variables
from tests.stack.conftest import LOADED, Models, running_function
from tests.stack.people import Person, Stack, eventually, frames, text_of
from tests.stack.turns import QUESTION, Database, reserved_usd

_BEFORE = {
    "status-429": (503, "provider_overloaded", 2),
    "status-429-after-600": (503, "provider_overloaded", 1),
    "status-401": (502, "provider_auth_failed", 1),
    "status-402": (502, "provider_auth_failed", 1),
    "status-500": (502, "provider_error", 2),
    "status-529": (503, "provider_overloaded", 2),
    "cut-first": (503, "provider_unreachable", 2),
    "early-first": (502, "provider_error", 2),
    "malformed-first": (502, "provider_error", 2),
    "overload-first": (503, "provider_overloaded", 2),
}


@pytest.mark.parametrize("provider", STREAMING)
@pytest.mark.parametrize("kind", _BEFORE)
def test_a_fault_before_the_first_word_is_a_status_and_a_failed_row(
    alice: Person, model: Models, db: Database, chat_url: str, provider: str, kind: str
) -> None:
    """Status, code and attempts are documented; nothing is sent, charged, counted or reserved."""
    status, code, attempts = _BEFORE[kind] if provider != "client" else (503, "node_failed", 1)
    body = {"message": QUESTION, "model": model(named(kind, provider), provider=provider)}
    response = alice.ask(body, chat_url)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert "secret" not in response.text
    assert response.headers["x-fallbacks"] == "0"
    if kind == "status-429-after-600" and provider != "client":
        assert response.headers["retry-after"] == "600"
    (row,) = alice.rows("chat_logs")
    assert (row["status"], row["error_code"], row["cost_usd"]) == ("failed", code, 0)
    assert [a["error_code"] for a in row["attempts"]] == [code] * attempts
    assert reserved_usd(db, alice) == 0
    assert alice.rows("usage_counters?period=eq.day")[0]["requests"] == 0


_AFTER = {
    "cut": (502, "answer_cut"),
    "early": (502, "answer_cut"),
    "malformed": (502, "provider_error"),
    "overload": (503, "provider_overloaded"),
}


@pytest.mark.parametrize("provider", STREAMING)
@pytest.mark.parametrize("kind", _AFTER)
@pytest.mark.parametrize("is_streaming", [True, False])
def test_a_fault_after_the_first_word_is_a_partial_row_without_a_second_answer(
    alice: Person, model: Models, db: Database, chat_url: str, provider: str, kind: str, is_streaming: bool
) -> None:
    """Sent text is charged; a stream ends with an error event, a JSON answer is an HTTP status."""
    status, code = _AFTER[kind] if provider != "client" else (503, "node_failed")
    body = {"message": QUESTION, "model": model(named(kind, provider), provider=provider), "stream": is_streaming}
    response = alice.ask(body, chat_url)
    if is_streaming:
        events = frames(response.text)
        assert (response.status_code, text_of(events)) == (200, "one two ")
        assert [e["type"] for e in events[-4:]] == ["finish-step", "data-receipt", "error", "finish"]
    else:
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    (row,) = alice.rows("chat_logs")
    assert (row["status"], row["response"], row["error_code"]) == ("partial", "one two ", code)
    assert 0 < row["cost_usd"] < 0.001
    assert row["output_tokens"] >= 2
    assert row["usage_source"] in {"partial", "estimate"}
    assert len(row["attempts"]) == 1
    assert reserved_usd(db, alice) == 0


@pytest.mark.parametrize("provider", STREAMING)
@pytest.mark.parametrize("is_streaming", [True, False])
def test_a_caller_who_hangs_up_closes_the_socket_of_every_provider(
    alice: Person, model: Models, db: Database, chat_url: str, upstream: Upstream, provider: str, is_streaming: bool
) -> None:
    """The model stops, and the row has its input and what it cost."""
    name = named("endless", provider)
    body = {"message": QUESTION, "model": model(name, provider=provider), "stream": is_streaming}
    if is_streaming:
        with httpx.stream("POST", chat_url, json=body, headers=alice.headers, timeout=30) as response:
            lines = response.iter_lines()
            next(line for line in lines if "text-delta" in line)
    else:
        alice.leave(body, chat_url, when=lambda: upstream.until_called(name))
    assert upstream.until_hung_up(name)
    row = eventually(lambda: db.execute("select * from public.chat_logs where user_id = %s", [alice.id]).fetchone())
    assert row["status"] == "cancelled"
    assert row["input_tokens"] > 0
    assert row["cost_usd"] > 0
    assert row["error_code"] is None
    assert reserved_usd(db, alice) == 0


@pytest.fixture(scope="module")
def impatient_url(stack: Stack, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A chat whose turns have one second."""
    changes = variables(upstream) | LOADED | {"TURN_SECONDS": "1"}
    with running_function(stack, "chat", changes, tmp_path_factory.mktemp("impatient")) as (url, _):
        yield url


@pytest.mark.parametrize("provider", STREAMING)
@pytest.mark.parametrize(
    ("kind", "status", "content"),
    [("stall-first", "failed", None), ("slow", "failed", None), ("stall", "partial", "one two ")],
)
def test_a_silence_ends_with_the_turns_time(
    alice: Person,
    model: Models,
    db: Database,
    impatient_url: str,
    provider: str,
    kind: str,
    status: str,
    content: str | None,
) -> None:
    """At the deadline a silent turn is 504 before the first content and partial after it; nothing stays reserved."""
    body = {"message": QUESTION, "model": model(named(kind, provider), provider=provider), "stream": False}
    response = alice.ask(body, impatient_url)
    expected = (503, "node_failed") if provider == "client" else (504, "turn_timeout")
    assert (response.status_code, response.json()["error"]["code"]) == expected
    (row,) = alice.rows("chat_logs")
    assert (row["status"], row["response"], row["error_code"]) == (status, content, expected[1])
    assert len(row["attempts"]) == 1  # less than five seconds were left
    assert 900 < row["duration_ms"] < 10_000
    assert reserved_usd(db, alice) == 0
