"""Every provider through the gateway, its official SDK in the path, against the scripted upstream."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from shared import providers
from shared.errors import (
    NodeFailed,
    NotConfigured,
    ProviderAuthFailed,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from shared.events import Finish, Reasoning
from shared.messages import Message, ModelRequest, Node, Tool, ToolCall
from shared.provider_config import OPENAI_COMPATIBLE, VARIABLES, Host, is_configured
from shared.providers import SDKS, Provider, load_sdks, provider_named
from shared.providers.openai_compatible import OpenAiCompatible
from tests.providers import (
    KEYS,
    PROVIDERS,
    QUESTION,
    STREAMING,
    exchange_over,
    route_to,
    spoken,
    text_of,
    variables,
)
from tests.upstream import GOLDEN, HOSTILE_TOLD, Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("configured")]
TOOLS = (
    Tool("find", "Finds", {"type": "object", "properties": {"query": {"type": "string"}}}),
    Tool("count", "Counts", {"type": "object", "properties": {"query": {"type": "string"}}}),
)


def test_every_provider_has_a_row_and_unknown_ones_are_said_to_be() -> None:
    """The registry is the list of what may stand before the colon."""
    assert {*SDKS, "matcha", *(host.name for host in OPENAI_COMPATIBLE)} == set(PROVIDERS)
    with pytest.raises(ProviderUnavailable):
        asyncio.run(_named("nobody"))


async def _named(name: str) -> Provider:
    return await provider_named(name)


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("kind", ["fixed", "think"])
async def test_usage_is_the_golden_one_in_every_dialect(name: str, kind: str, upstream: Upstream) -> None:
    """Input includes what was cached, output includes the reasoning, whatever the provider adds up by itself."""
    exchange = exchange_over(route_to(name, kind, upstream))
    events, error = await spoken(exchange)
    assert error is None
    assert text_of(events) == "one two three"
    assert [e.text for e in events if isinstance(e, Reasoning)] == (["Let me think."] if kind == "think" else [])
    assert asdict(exchange.usage) == {**GOLDEN, "source": "provider"}
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "stop"


@pytest.mark.parametrize("name", STREAMING)
async def test_a_tool_call_and_its_result_run_through_every_provider(name: str, upstream: Upstream) -> None:
    """Parallel calls come whole, their results go back, and what only that provider understands goes with them."""
    exchange = exchange_over(route_to(name, "tools", upstream), tools=TOOLS)
    events, error = await spoken(exchange)
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
    asked = Message("assistant", text_of(events), calls, finish.native)
    results = tuple(Message("tool", f"{call.name} 42", tool_call_id=call.id) for call in calls)
    answer, error = await spoken(exchange, (*QUESTION, asked, *results))
    assert error is None
    assert "42" in text_of(answer)
    assert [attempt.ok for attempt in exchange.attempts] == [True, True]
    assert (finish.native is not None) is (name in SDKS)


@pytest.mark.parametrize("name", STREAMING)
async def test_a_tool_call_of_another_provider_can_be_answered_too(name: str, upstream: Upstream) -> None:
    """A conversation moves to another provider in the middle, without what only the first understands."""
    call = ToolCall("call_1", "find", {"query": "x"})
    asked = Message("assistant", "Let me check.", (call,))
    failed = Message("tool", "no such thing", tool_call_id="call_1", is_error=True)
    exchange = exchange_over(route_to(name, "echo", upstream, upstream_id="gemini-3-echo"), tools=TOOLS)
    events, error = await spoken(exchange, (*QUESTION, asked, failed))
    assert error is None
    assert "no such thing" in text_of(events)


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_provider_gets_its_own_key_and_nothing_else_of_ours(name: str, upstream: Upstream) -> None:
    """No user token, cookie, Supabase key or other provider's key travels, in no header and no body."""
    route = route_to(name, "echo", upstream)
    await spoken(exchange_over(route))
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
async def test_hostile_text_is_onlytext_of(name: str, upstream: Upstream) -> None:
    """Line ends of every kind, frames in words and halved emoji arrive as text that can be encoded."""
    events, error = await spoken(exchange_over(route_to(name, "hostile", upstream)))
    assert error is None
    assert text_of(events) == HOSTILE_TOLD


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize(
    ("kind", "reason"), [("filtered", "filtered"), ("promptblock", "filtered"), ("length", "length"), ("empty", "stop")]
)
async def test_ends_are_told_in_the_same_words(name: str, kind: str, reason: str, upstream: Upstream) -> None:
    """An answer that was blocked, was too long or says nothing is an answer, not a failure."""
    events, error = await spoken(exchange_over(route_to(name, kind, upstream)))
    assert error is None
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == reason


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_provider_that_counts_nothing_is_estimated(name: str, upstream: Upstream) -> None:
    """Missing usage is not free; it is flagged."""
    kind = "fixed" if name == "matcha" else "usage-none"
    exchange = exchange_over(route_to(name, kind, upstream))
    _, error = await spoken(exchange)
    assert error is None
    assert exchange.usage.source == "estimate"
    assert exchange.usage.input_tokens > 0
    assert exchange.usage.output_tokens > 0


@pytest.mark.parametrize("name", STREAMING)
async def test_nonsense_for_usage_is_not_believed(name: str, upstream: Upstream) -> None:
    """Negative counts neither earn money nor break the turn."""
    exchange = exchange_over(route_to(name, "usage-wrong", upstream))
    events, error = await spoken(exchange)
    assert error is None
    assert text_of(events) == "one two three"
    assert min(exchange.usage.input_tokens, exchange.usage.output_tokens) > 0
    assert exchange.usage.output_tokens <= 1000


@pytest.mark.parametrize("name", STREAMING)
async def test_a_temperature_is_sent_where_it_is_taken(name: str, upstream: Upstream) -> None:
    """Claude answers sampling parameters with 400, so it gets none, and the turn goes on."""
    route = route_to(name, "echo", upstream)
    _, error = await spoken(exchange_over(route, temperature=0.5))
    assert error is None
    (received,) = upstream.calls_of(route.upstream_id)
    assert ("0.5" in json.dumps(received.body)) is (name != "anthropic")


async def test_matcha_answers_in_one_piece(upstream: Upstream) -> None:
    """The whole conversation is one prompt, its mission goes along, and a web page is no answer."""
    route = route_to("matcha", "echo", upstream)
    events, error = await spoken(
        exchange_over(route), (*QUESTION[:1], Message("user", "Hi"), Message("assistant", "Yes?"), QUESTION[1])
    )
    assert error is None
    assert text_of(events).split() == ["one", "two", "three"]
    (received,) = [each for each in upstream.received if str(_llm_id(each.body)) == route.upstream_id]
    assert received.body == {
        "mission_id": 3,
        "llm_id": int(route.upstream_id),
        "input": "Be kind and brief in all you say.\n\nUser: Hi\n\nAssistant: Yes?\n\none two three",
    }
    for kind in ("html", "html-502", "status-500"):
        assert type((await spoken(exchange_over(route_to("matcha", kind, upstream))))[1]) is ProviderError
    assert type((await spoken(exchange_over(replace(route, upstream_id="gpt"))))[1]) is ProviderRefused


async def test_matcha_says_what_is_missing(environ: Callable[..., None], upstream: Upstream) -> None:
    """An operator reads which variable to set."""
    matcha = await provider_named("matcha")
    await matcha.check()
    for variable in ("MATCHA_MISSION_ID", "MATCHA_BASE_URL", "MATCHA_API_KEY"):
        environ(**(variables(upstream) | {variable: ""}))
        with pytest.raises(NotConfigured, match=variable):
            await matcha.check()


@pytest.mark.parametrize("name", ["google", "anthropic", "openai", "huggingface"])
async def test_a_provider_is_checked_and_a_wrong_key_is_told(
    name: str, environ: Callable[..., None], upstream: Upstream
) -> None:
    """A check costs no tokens: it asks for the list."""
    provider = await provider_named(name)
    await provider.check()
    key = {"google": "GOOGLE_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}.get(
        name, "HF_TOKEN"
    )
    environ(**(variables(upstream) | {key: "bad-key"}))
    with pytest.raises(ProviderAuthFailed):
        await provider.check()
    environ(**(variables(upstream) | {key: ""}))
    with pytest.raises(NotConfigured, match=key):
        await provider.check()


async def test_geminis_sdk_is_quiet_about_two_names_of_its_key(
    environ: Callable[..., None], upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """It reads both names itself and warns of them, unless it is given a key; ours is the one that is used."""
    environ(**(variables(upstream) | {"GEMINI_API_KEY": "bad-key"}))
    await (await provider_named("google")).check()
    assert "API_KEY" not in caplog.text
    environ(**(variables(upstream) | {"GEMINI_API_KEY": variables(upstream)["GOOGLE_API_KEY"], "GOOGLE_API_KEY": ""}))
    await (await provider_named("google")).check()


async def test_an_openai_like_host_is_one_row(
    environ: Callable[..., None], upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line in the registry is all it takes to chat through another host."""
    row = Host("groq", "https://api.groq.example/openai/v1", "GROQ_BASE_URL", "GROQ_API_KEY")
    monkeypatch.setitem(providers._PROVIDERS, row.name, OpenAiCompatible(row))  # noqa: SLF001 - as its row would
    monkeypatch.setenv("GROQ_BASE_URL", upstream.url("openai"))
    environ(GROQ_API_KEY="key-of-groq")
    route = replace(route_to("openai", "fixed", upstream), provider="groq", identifier="groq:fixed")
    exchange = exchange_over(route)
    events, error = await spoken(exchange)
    assert (error, text_of(events)) == (None, "one two three")
    assert exchange.attempts[0].provider_key == "groq"
    assert upstream.calls_of(route.upstream_id)[0].headers["authorization"] == "Bearer key-of-groq"


async def test_a_node_without_an_address_or_on_a_forbidden_one_is_refused(environ: Callable[..., None]) -> None:
    """Whatever a row says, the connection looks again."""
    environ(ALLOW_PRIVATE_NODES="")
    client = await provider_named("client")
    for node in (None, Node(7, "http://node.example/v1"), Node(7, "https://127.0.0.1:8443/v1")):
        with pytest.raises(NodeFailed):
            [event async for event in client.stream(ModelRequest("m", QUESTION, 10, node=node))]


def test_sdks_can_be_loaded_before_the_first_turn() -> None:
    """Whoever gives a function time to start names them; a name that is none of theirs loads nothing."""
    script = (
        "import sys; from shared.providers import load_sdks; load_sdks({names!r}); print('google.genai' in sys.modules)"
    )
    for names, is_loaded in ((["google"], "True"), (["openai", "nobody"], "False")):
        done = subprocess.run(
            [sys.executable, "-c", script.format(names=names)], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == is_loaded


@pytest.mark.parametrize("is_on", [True, False])
def test_loading_an_sdk_leaves_the_collector_as_it_was(monkeypatch: pytest.MonkeyPatch, *, is_on: bool) -> None:
    """Also when it fails: a function whose collector stays off would grow until it is killed."""
    monkeypatch.setitem(SDKS, "whole", ("json", "JSONDecoder"))
    monkeypatch.setitem(SDKS, "broken", ("json", "nothing"))
    monkeypatch.setattr(providers, "_PROVIDERS", {})
    was_on = gc.isenabled()
    try:
        (gc.enable if is_on else gc.disable)()
        load_sdks(["whole"])
        with pytest.raises(AttributeError):
            load_sdks(["broken"])
        assert gc.isenabled() is is_on
    finally:
        (gc.enable if was_on else gc.disable)()


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_is_configured_when_all_it_needs_is_set(
    name: str, environ: Callable[..., None], upstream: Upstream
) -> None:
    """Its key, and for MatchAI its address and mission; nodes need nothing, and nobody speaks what has no row."""
    assert is_configured(name)
    for variable in VARIABLES[name]:
        environ(**(variables(upstream) | {variable: " "}))
        assert not is_configured(name)
    assert set(VARIABLES) == set(PROVIDERS)
    assert not is_configured("nobody")
