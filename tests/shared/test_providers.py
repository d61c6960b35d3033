"""Every provider through the gateway, its official SDK in the path, against the scripted upstream."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import Any

import pytest

from shared import fallback, gateway, providers
from shared.errors import (
    AnswerCut,
    NodeFailed,
    NotConfigured,
    ParleyError,
    ProviderAuthFailed,
    ProviderError,
    ProviderOverloaded,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    ProviderUnreachable,
)
from shared.events import (
    Call,
    Finish,
    Message,
    ModelEvent,
    Node,
    Reasoning,
    Route,
    Serving,
    Text,
    Tool,
    ToolCall,
    Usage,
)
from shared.gateway import Exchange, Options
from shared.providers import HOSTS, SDKS, Provider, provider_named
from shared.providers.openai_compatible import Host, OpenAiCompatible
from tests.providers import KEYS, PROVIDERS, STREAMING, route_to, variables
from tests.upstream import GOLDEN, HOSTILE, Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("configured")]

QUESTION = (Message("system", "Be kind and brief in all you say."), Message("user", "one two three"))
TOOLS = (
    Tool("find", "Finds", {"type": "object", "properties": {"query": {"type": "string"}}}),
    Tool("count", "Counts", {"type": "object", "properties": {"query": {"type": "string"}}}),
)
Events = list[ModelEvent | Serving]


@pytest.fixture
def configured(
    environ: Callable[..., None],
    upstream: Upstream,
    sessions: None,  # noqa: ARG001 - closed after the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every provider is the scripted upstream, and nobody waits before trying again."""
    monkeypatch.setattr(fallback, "BACKOFF_SECONDS", 0.0)
    environ(**variables(upstream))


def _exchange(*routes: Route, **options: Any) -> Exchange:
    return Exchange(routes, Options(**options), time.monotonic())


async def _spoken(exchange: Exchange, messages: tuple[Message, ...] = QUESTION) -> tuple[Events, ParleyError | None]:
    events: Events = []
    try:
        async with asyncio.timeout(10), aclosing(exchange.events(messages)) as stream:
            async for event in stream:
                events.append(event)
    except ParleyError as error:
        return events, error
    return events, None


def _text(events: Events) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def test_every_provider_has_a_row_and_unknown_ones_are_said_to_be() -> None:
    """The registry is the list of what may stand before the colon."""
    assert {*SDKS, "matcha", *(host.name for host in HOSTS)} == set(PROVIDERS)
    with pytest.raises(ProviderUnavailable):
        asyncio.run(_named("nobody"))


async def _named(name: str) -> Provider:
    return await provider_named(name)


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("kind", ["fixed", "think"])
async def test_usage_is_the_golden_one_in_every_dialect(name: str, kind: str, upstream: Upstream) -> None:
    """Input includes what was cached, output includes the reasoning, whatever the provider adds up by itself."""
    exchange = _exchange(route_to(name, kind, upstream))
    events, error = await _spoken(exchange)
    assert error is None
    assert _text(events) == "one two three"
    assert [e.text for e in events if isinstance(e, Reasoning)] == (["Let me think."] if kind == "think" else [])
    assert asdict(exchange.usage) == {**GOLDEN, "source": "provider"}
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "stop"


@pytest.mark.parametrize("name", STREAMING)
async def test_a_tool_call_and_its_result_run_through_every_provider(name: str, upstream: Upstream) -> None:
    """Parallel calls come whole, their results go back, and what only that provider understands goes with them."""
    exchange = _exchange(route_to(name, "tools", upstream), tools=TOOLS)
    events, error = await _spoken(exchange)
    assert error is None
    calls = tuple(event for event in events if isinstance(event, ToolCall))
    assert [(call.name, call.arguments["query"]) for call in calls] == [
        ("find", "one two three"),
        ("count", "one two three"),
    ]
    assert calls[0].arguments["note"] == 'zwei \u2014 "drei"'
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.reason == "tool_calls"
    asked = Message("assistant", _text(events), calls, finish.native)
    results = tuple(Message("tool", f"{call.name} 42", tool_call_id=call.id) for call in calls)
    answer, error = await _spoken(exchange, (*QUESTION, asked, *results))
    assert error is None
    assert "42" in _text(answer)
    assert [attempt.ok for attempt in exchange.attempts] == [True, True]
    assert (finish.native is not None) is (name in SDKS)


@pytest.mark.parametrize("name", STREAMING)
async def test_a_tool_call_of_another_provider_can_be_answered_too(name: str, upstream: Upstream) -> None:
    """A conversation moves to another provider in the middle, without what only the first understands."""
    call = ToolCall("call_1", "find", {"query": "x"})
    asked = Message("assistant", "Let me check.", (call,))
    failed = Message("tool", "no such thing", tool_call_id="call_1", is_error=True)
    exchange = _exchange(route_to(name, "echo", upstream, upstream_id="gemini-3-echo"), tools=TOOLS)
    events, error = await _spoken(exchange, (*QUESTION, asked, failed))
    assert error is None
    assert "no such thing" in _text(events)


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("status-400", ProviderRefused),
        ("status-401", ProviderAuthFailed),
        ("badkey", ProviderAuthFailed),
        ("status-402", ProviderAuthFailed),
        ("status-403", ProviderAuthFailed),
        ("status-404", ProviderRefused),
    ],
)
async def test_what_will_not_pass_is_asked_once(
    name: str, kind: str, expected: type[ProviderError], upstream: Upstream
) -> None:
    """A refused request and a refused key are told as what they are, without the provider's words."""
    exchange = _exchange(route_to(name, kind, upstream))
    events, error = await _spoken(exchange)
    assert (events, type(error)) == ([], NodeFailed if name == "client" else expected)
    assert "secret" not in str(error)
    assert len(exchange.attempts) == 1
    assert exchange.usage == Usage(0, 0, source="estimate")


_FIRST = ["status-429", "status-500", "status-503", "status-529", "html-502", "html", "cut-first", "early-first"]


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("kind", [*_FIRST, "malformed-first", "overload-first", "stall-first"])
async def test_what_passes_is_tried_again_before_the_first_content(
    name: str, kind: str, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the first try is heard or charged, the second is the answer; a node gets one try only."""
    monkeypatch.setattr(gateway, "FIRST_TOKEN_SECONDS", 0.2 if kind == "stall-first" else 20)
    exchange = _exchange(route_to(name, f"once-{kind}", upstream))
    events, error = await _spoken(exchange)
    if name == "client":
        assert (events, type(error), len(exchange.attempts)) == ([], NodeFailed, 1)
        return
    assert error is None
    assert _text(events) == "one two three "
    assert [attempt.ok for attempt in exchange.attempts] == [False, True]
    assert exchange.attempts[0].is_fault
    assert exchange.usage.source in {"provider", "partial"}
    assert exchange.attempts[1].usage == Usage(60, 3, 20)


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cut", AnswerCut),
        ("early", AnswerCut),
        ("malformed", ProviderError),
        ("overload", ProviderOverloaded),
        ("stall", ProviderTimeout),
    ],
)
async def test_after_the_first_content_a_fault_ends_the_answer(
    name: str, kind: str, expected: type[ProviderError], upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was said is heard once and charged: its input and what was written, not a placeholder, not the maximum."""
    monkeypatch.setattr(gateway, "IDLE_SECONDS", 0.2 if kind == "stall" else 20)
    exchange = _exchange(route_to(name, kind, upstream), route_to("openai", "echo", upstream))
    events, error = await _spoken(exchange)
    assert type(error) is (NodeFailed if name == "client" else expected)
    assert _text(events) == "one two "
    (attempt,) = exchange.attempts
    assert attempt.usage is not None
    assert 0 < attempt.usage.input_tokens <= 60
    assert 2 <= attempt.usage.output_tokens <= 12
    assert attempt.usage.source in {"partial", "estimate"}


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_delay_that_does_not_fit_sends_the_turn_to_the_next_route(name: str, upstream: Upstream) -> None:
    """Each dialect says it in its own way; Google in the answer's details."""
    exchange = _exchange(route_to(name, "status-429-after-600", upstream), route_to("openai", "fixed", upstream))
    events, error = await _spoken(exchange)
    assert error is None
    assert isinstance(events[0], Serving)
    assert (events[0].fallbacks, _text(events)) == (1, "one two three")
    alone = _exchange(route_to(name, "status-429-after-600", upstream))
    error = (await _spoken(alone))[1]
    assert error is not None
    assert error.retry_after_seconds == (None if name == "client" else 600)


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("kind", ["endless", "stall", "stall-first"])
async def test_a_reader_who_leaves_hangs_up_on_every_provider(name: str, kind: str, upstream: Upstream) -> None:
    """The socket is closed at once, not when somebody collects garbage."""
    route = route_to(name, kind, upstream)
    events = _exchange(route).events(QUESTION)
    reading = asyncio.ensure_future(_read(events))
    assert await asyncio.to_thread(upstream.until_called, route.upstream_id)
    if kind != "stall-first":
        await asyncio.to_thread(upstream.started.acquire, True, 10)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await asyncio.to_thread(upstream.until_hung_up, route.upstream_id, 1.0)


async def _read(events: Any) -> None:
    async with aclosing(events):
        async for _ in events:
            pass


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_provider_gets_its_own_key_and_nothing_else_of_ours(name: str, upstream: Upstream) -> None:
    """No user token, cookie, Supabase key or other provider's key travels, in no header and no body."""
    route = route_to(name, "echo", upstream)
    await _spoken(_exchange(route))
    (received,) = [each for each in upstream.received if route.upstream_id in (each.model, str(_llm_id(each.body)))]
    sent = json.dumps(received.headers) + json.dumps(received.body)
    own = [key for key in KEYS.values() if key in sent]
    assert own == ([] if name == "client" else [f"key-of-{name}"])
    assert not {"cookie", "apikey", "x-request-id", "x-forwarded-for"} & set(received.headers)
    if name == "anthropic":
        assert received.headers["authorization"] == "Bearer key-of-anthropic"


def _llm_id(body: Any) -> Any:
    return body.get("llm_id") if isinstance(body, dict) else None


@pytest.mark.parametrize("name", STREAMING)
async def test_hostile_text_is_only_text(name: str, upstream: Upstream) -> None:
    """Line ends of every kind, frames in words and halved emoji arrive as they were said."""
    events, error = await _spoken(_exchange(route_to(name, "hostile", upstream)))
    assert error is None
    assert _text(events) == "".join(HOSTILE)


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize(
    ("kind", "reason"), [("filtered", "filtered"), ("promptblock", "filtered"), ("length", "length"), ("empty", "stop")]
)
async def test_ends_are_told_in_the_same_words(name: str, kind: str, reason: str, upstream: Upstream) -> None:
    """An answer that was blocked, was too long or says nothing is an answer, not a failure."""
    events, error = await _spoken(_exchange(route_to(name, kind, upstream)))
    assert error is None
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == reason


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_provider_that_counts_nothing_is_estimated(name: str, upstream: Upstream) -> None:
    """Missing usage is not free; it is flagged."""
    kind = "fixed" if name == "matcha" else "usage-none"
    exchange = _exchange(route_to(name, kind, upstream))
    _, error = await _spoken(exchange)
    assert error is None
    assert exchange.usage.source == "estimate"
    assert exchange.usage.input_tokens > 0
    assert exchange.usage.output_tokens > 0


@pytest.mark.parametrize("name", STREAMING)
async def test_nonsense_for_usage_is_not_believed(name: str, upstream: Upstream) -> None:
    """Negative counts neither earn money nor break the turn."""
    exchange = _exchange(route_to(name, "usage-wrong", upstream))
    events, error = await _spoken(exchange)
    assert error is None
    assert _text(events) == "one two three"
    assert min(exchange.usage.input_tokens, exchange.usage.output_tokens) > 0
    assert exchange.usage.output_tokens <= 1000


@pytest.mark.parametrize("name", STREAMING)
async def test_a_temperature_is_sent_where_it_is_taken(name: str, upstream: Upstream) -> None:
    """Claude answers sampling parameters with 400, so it gets none, and the turn goes on."""
    route = route_to(name, "echo", upstream)
    _, error = await _spoken(_exchange(route, temperature=0.5))
    assert error is None
    (received,) = upstream.calls_of(route.upstream_id)
    assert ("0.5" in json.dumps(received.body)) is (name != "anthropic")


async def test_matcha_answers_in_one_piece(upstream: Upstream) -> None:
    """The whole conversation is one prompt, its mission goes along, and a web page is no answer."""
    route = route_to("matcha", "echo", upstream)
    events, error = await _spoken(
        _exchange(route), (*QUESTION[:1], Message("user", "Hi"), Message("assistant", "Yes?"), QUESTION[1])
    )
    assert error is None
    assert _text(events).split() == ["one", "two", "three"]
    (received,) = [each for each in upstream.received if str(_llm_id(each.body)) == route.upstream_id]
    assert received.body == {
        "mission_id": 3,
        "llm_id": int(route.upstream_id),
        "input": "Be kind and brief in all you say.\n\nUser: Hi\n\nAssistant: Yes?\n\none two three",
    }
    for kind in ("html", "html-502", "status-500"):
        assert type((await _spoken(_exchange(route_to("matcha", kind, upstream))))[1]) is ProviderError
    assert type((await _spoken(_exchange(replace(route, upstream_id="gpt"))))[1]) is ProviderRefused


async def test_matcha_says_what_is_missing(environ: Callable[..., None], upstream: Upstream) -> None:
    """An operator reads which variable to set; it has no list to give."""
    matcha = await provider_named("matcha")
    await matcha.check()
    with pytest.raises(ProviderUnavailable):
        await matcha.list_models()
    for variable in ("MATCHA_MISSION_ID", "MATCHA_BASE_URL", "MATCHA_API_KEY"):
        environ(**(variables(upstream) | {variable: ""}))
        with pytest.raises(NotConfigured, match=variable):
            await matcha.check()


@pytest.mark.parametrize("name", ["google", "anthropic", "openai", "huggingface"])
async def test_models_are_listed_over_all_pages_and_a_wrong_key_is_told(
    name: str, environ: Callable[..., None], upstream: Upstream
) -> None:
    """A check costs no tokens: it asks for the list."""
    provider = await provider_named(name)
    listed = await provider.list_models()
    assert listed
    assert all(model.upstream_id and not model.upstream_id.startswith("models/") for model in listed)
    await provider.check()
    key = {"google": "GOOGLE_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}.get(
        name, "HF_TOKEN"
    )
    environ(**(variables(upstream) | {key: "bad-key"}))
    with pytest.raises(ProviderAuthFailed):
        await provider.check()
    environ(**(variables(upstream) | {key: ""}))
    with pytest.raises(NotConfigured, match=key):
        await provider.list_models()


@pytest.mark.parametrize(
    ("name", "variable"),
    [("google", "GEMINI_BASE_URL"), ("anthropic", "ANTHROPIC_BASE_URL"), ("matcha", "MATCHA_BASE_URL")],
)
async def test_a_provider_that_is_not_there_is_unreachable(
    name: str, variable: str, environ: Callable[..., None], upstream: Upstream
) -> None:
    """Nobody listening is told as such and keeps its circuit open for a moment."""
    environ(**(variables(upstream) | {variable: "http://127.0.0.1:9"}))
    exchange = _exchange(route_to(name, "echo", upstream))
    _, error = await _spoken(exchange)
    assert type(error) is ProviderUnreachable
    assert exchange.attempts[0].open_seconds == 10


async def test_an_openai_like_host_is_one_row(
    environ: Callable[..., None], upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line in the registry is all it takes to chat through another host."""
    row = Host("groq", "https://api.groq.example/openai/v1", "GROQ_BASE_URL", "GROQ_API_KEY")
    monkeypatch.setitem(providers._PROVIDERS, row.name, OpenAiCompatible(row))  # noqa: SLF001 - as its row would
    monkeypatch.setenv("GROQ_BASE_URL", upstream.url("openai"))
    environ(GROQ_API_KEY="key-of-groq")
    route = replace(route_to("openai", "fixed", upstream), provider="groq", identifier="groq:fixed")
    exchange = _exchange(route)
    events, error = await _spoken(exchange)
    assert (error, _text(events)) == (None, "one two three")
    assert exchange.attempts[0].provider_key == "groq"
    assert upstream.calls_of(route.upstream_id)[0].headers["authorization"] == "Bearer key-of-groq"


async def test_a_node_without_an_address_or_on_a_forbidden_one_is_refused(environ: Callable[..., None]) -> None:
    """Whatever a row says, the connection looks again."""
    environ(ALLOW_PRIVATE_NODES="")
    client = await provider_named("client")
    for node in (None, Node(7, "http://node.example/v1"), Node(7, "https://127.0.0.1:8443/v1")):
        with pytest.raises(NodeFailed):
            [event async for event in client.stream(Call("m", QUESTION, 10, node=node))]
