"""Every protocol, one ledger: the same answer of a model has the same tokens, cost and row at each of them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.fakes.providers import Script, Upstream
from tests.fakes.providers.kinds import GOLDEN
from tests.stack.conftest import Models
from tests.stack.files import file_part, pdf, png
from tests.stack.people import Person, eventually
from tests.stack.turns import Database, reserved_usd

_PNG = png()
_PIXEL = b64encode(_PNG).decode()
_PDF = b64encode(pdf()).decode()
_REPORT = file_part(pdf(), "application/pdf", "report.pdf")
_PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
_WORDS = "Which city?"
Body = dict[str, Any]


def _turn(**wanted: Any) -> Body:
    files = [*([file_part(_PNG)] if wanted.get("image") else []), *([_REPORT] if wanted.get("document") else [])]
    if not files:
        return {"message": _WORDS, "stream": wanted["stream"]}
    parts = [*files, {"type": "text", "text": _WORDS}]
    return {"messages": [{"role": "user", "parts": parts}], "stream": wanted["stream"]}


def _completion(**wanted: Any) -> Body:
    content: Any = [{"type": "text", "text": _WORDS}]
    if wanted.get("image"):
        content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}"}})
    if wanted.get("document"):
        content.append({"type": "file", "file": {"filename": "report.pdf", "file_data": _REPORT["url"]}})
    body = {"messages": [{"role": "user", "content": content}], "stream": wanted["stream"]}
    if wanted.get("stop"):
        body["stop"] = ["END"]
    if wanted.get("tools"):
        body["tools"] = [{"type": "function", "function": {"name": "look", "parameters": _PARAMETERS}}]
    return body


def _text(**wanted: Any) -> Body:
    return {"prompt": _WORDS, "stream": wanted["stream"]} | ({"stop": "END"} if wanted.get("stop") else {})


def _response(**wanted: Any) -> Body:
    content: Any = [{"type": "input_text", "text": _WORDS}]
    if wanted.get("image"):
        content.append({"type": "input_image", "image_url": f"data:image/png;base64,{_PIXEL}"})
    if wanted.get("document"):
        content.append({"type": "input_file", "filename": "report.pdf", "file_data": _REPORT["url"]})
    body = {"input": [{"role": "user", "content": content}], "stream": wanted["stream"]}
    if wanted.get("tools"):
        body["tools"] = [{"type": "function", "name": "look", "parameters": _PARAMETERS}]
    return body


def _message(**wanted: Any) -> Body:
    content: Any = [{"type": "text", "text": _WORDS}]
    if wanted.get("image"):
        source = {"type": "base64", "media_type": "image/png", "data": _PIXEL}
        content.append({"type": "image", "source": source})
    if wanted.get("document"):
        source = {"type": "base64", "media_type": "application/pdf", "data": _PDF}
        content.append({"type": "document", "title": "report.pdf", "source": source})
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 500, "stream": wanted["stream"]}
    if wanted.get("stop"):
        body["stop_sequences"] = ["END"]
    if wanted.get("tools"):
        body["tools"] = [{"name": "look", "input_schema": _PARAMETERS}]
    return body


PROTOCOLS: dict[str, tuple[str, Callable[..., Body]]] = {
    "turn": ("/", _turn),
    "completions": ("/v1/chat/completions", _completion),
    "text": ("/v1/completions", _text),
    "responses": ("/v1/responses", _response),
    "messages": ("/v1/messages", _message),
}
_BORROWED = ("completions", "text", "responses", "messages")
_WITH_TOOLS = ("completions", "responses", "messages")
_WITH_IMAGES = ("turn", *_WITH_TOOLS)
_WITH_STOPS = ("completions", "text", "messages")
_FIELDS = (
    *("status", "finish_reason", "error_code", "model_identifier", "usage_source"),
    *("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd"),
)
_CALL = Script(("Let me.",), calls=(("look", {"city": "Wien"}),))


def _usage_in(protocol: str, answer: Any) -> tuple[int, int, int, Decimal]:
    """Input, output and cached tokens and the cost that the client gets."""
    usage = answer["usage"]
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    cost = Decimal(str(answer["cost_usd"] if protocol == "turn" else usage["cost"]))
    taken = usage.get("prompt_tokens", usage.get("input_tokens"))
    given = usage.get("completion_tokens", usage.get("output_tokens"))
    if protocol == "messages":  # what a cache had or got comes on top
        cached = usage["cache_read_input_tokens"]
        return taken + cached + usage["cache_creation_input_tokens"], given, cached, cost
    return taken, given, details.get("cached_tokens", usage.get("cached_tokens", 0)), cost


def _rows(db: Database, person: Person) -> list[dict[str, Any]]:
    query = f"select {', '.join(_FIELDS)}, endpoint from public.chat_logs where user_id = %s order by created_at"
    return db.execute(query, [person.id]).fetchall()


@pytest.fixture
def ask(alice: Person, chat_url: str) -> Callable[..., httpx.Response]:
    """Asks at a protocol as Alice."""

    def ask_at(protocol: str, identifier: str, **wanted: Any) -> httpx.Response:
        path, body = PROTOCOLS[protocol]
        headers = {"Authorization": f"Bearer {alice.token}"}
        url = f"{chat_url}{path}"
        return httpx.post(url, json=body(**wanted) | {"model": identifier}, headers=headers, timeout=20)

    return ask_at


@pytest.mark.parametrize(
    ("kind", "wanted", "protocols"),
    [
        ("think", {}, tuple(PROTOCOLS)),
        ("fixed", {"stop": True}, _WITH_STOPS),
        ("length", {}, tuple(PROTOCOLS)),
        ("filtered", {}, tuple(PROTOCOLS)),
        ("usage-none", {}, _BORROWED),  # at POST / the estimate counts the agent's prompt
        ("cut", {}, _BORROWED),
        ("status-400", {}, tuple(PROTOCOLS)),
        ("status-503", {}, tuple(PROTOCOLS)),
        ("echo", {"tools": True}, _WITH_TOOLS),
        ("fixed", {"image": True}, _WITH_IMAGES),
        ("think", {"image": True}, _WITH_IMAGES),
        ("length", {"image": True}, _WITH_IMAGES),
        ("fixed", {"image": True, "stop": True}, ("completions", "messages")),
        ("usage-none", {"image": True}, _WITH_TOOLS),
        ("cut", {"image": True}, _WITH_TOOLS),
        ("status-400", {"image": True}, _WITH_IMAGES),
        ("status-503", {"image": True}, _WITH_IMAGES),
        ("echo", {"tools": True, "image": True}, _WITH_TOOLS),
        ("fixed", {"document": True}, _WITH_IMAGES),
        ("usage-none", {"document": True}, _WITH_TOOLS),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value) if isinstance(value, str) else "",
)
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_the_same_answer_is_the_same_row(
    ask: Callable[..., httpx.Response],
    alice: Person,
    able: Models,
    db: Database,
    upstream: Upstream,
    provider: str,
    kind: str,
    wanted: dict[str, Any],
    protocols: tuple[str, ...],
) -> None:
    """Streamed and whole: tokens, cost, status and error, to the last digit; the client gets the booked numbers."""
    identifier = able(kind, provider, supports_files=True)
    if wanted.get("tools"):
        upstream.plays[identifier.rpartition(":")[2]] = (_CALL,) * 2 * len(protocols)
    for protocol in protocols:
        whole = ask(protocol, identifier, stream=False, **wanted)
        ask(protocol, identifier, stream=True, **wanted)
        row = _rows(db, alice)[-2]
        if whole.status_code == 200:
            received = _usage_in(protocol, whole.json())
            assert received == (row["input_tokens"], row["output_tokens"], row["cached_tokens"], row["cost_usd"])
        db.execute("delete from public.provider_health")  # a circuit that failures opened
    rows = _rows(db, alice)
    assert len(rows) == 2 * len(protocols)
    for row in rows:
        assert {name: row[name] for name in _FIELDS} == {name: rows[0][name] for name in _FIELDS}, row["endpoint"]
    if kind == "think":
        assert {name: rows[0][name] for name in GOLDEN} == GOLDEN
    assert reserved_usd(db, alice) == 0


def _hang_up(url: str, token: str, body: Body) -> None:
    """Closes the stream after the second word, when the model is silent."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.stream("POST", url, json=body, headers=headers, timeout=20) as response:
        received = ""
        for piece in response.iter_text():
            received += piece
            if "two " in received:
                return
    pytest.fail(f"the stream ended: {received[-300:]}")


@pytest.mark.parametrize("wanted", [{}, {"image": True}], ids=["words", "image"])
def test_a_hang_up_books_the_same_at_every_protocol(
    alice: Person, chat_url: str, able: Models, db: Database, wanted: dict[str, bool]
) -> None:
    """The text so far and its usage, as cancelled; the reservation is released."""
    identifier = able("stall")
    protocols = [PROTOCOLS[name] for name in (_WITH_IMAGES if wanted else PROTOCOLS)]
    for number, (path, body) in enumerate(protocols, 1):
        _hang_up(f"{chat_url}{path}", alice.token, body(stream=True, **wanted) | {"model": identifier})
        eventually(lambda number=number: len(_rows(db, alice)) == number)  # type: ignore[misc]
    rows = _rows(db, alice)
    fields = set(_FIELDS) - {"input_tokens", "cost_usd"}  # the estimate at POST / has the agent's prompt
    for row in rows:
        assert {name: row[name] for name in fields} == {name: rows[0][name] for name in fields}, row["endpoint"]
    assert len({(row["input_tokens"], row["cost_usd"]) for row in rows[1:]}) == 1
    assert (rows[0]["status"], rows[0]["finish_reason"]) == ("cancelled", None)
    assert reserved_usd(db, alice) == 0
