"""The registry: which providers exist, are configured, checked and loaded."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from shared import providers
from shared.errors import (
    NodeFailed,
    NotConfigured,
    ProviderAuthFailed,
    ProviderUnavailable,
)
from shared.messages import ModelRequest, Node
from shared.provider_config import OPENAI_COMPATIBLE, ProviderConfig, is_configured
from shared.provider_config import PROVIDERS as ROWS
from shared.providers import SDKS, Provider, load_sdks, provider_named
from shared.providers.openai_compatible import OpenAiCompatible
from tests.fakes.providers import Upstream
from tests.providers import (
    PROVIDERS,
    QUESTION,
    events_of,
    route_to,
    session_over,
    text_of,
    variables,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("configured")]


def test_every_provider_has_a_client_and_unknown_names_are_an_error() -> None:
    """The registry has every provider; another name raises ProviderUnavailable."""
    assert {*SDKS, "matcha", *(host.name for host in OPENAI_COMPATIBLE)} == set(PROVIDERS)
    with pytest.raises(ProviderUnavailable):
        asyncio.run(_named("nobody"))


async def _named(name: str) -> Provider:
    return await provider_named(name)


@pytest.mark.parametrize("name", ["google", "anthropic", "openai", "huggingface"])
async def test_a_check_recognises_a_wrong_key(name: str, environ: Callable[..., None], upstream: Upstream) -> None:
    """A check lists models, so that it uses no tokens."""
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


async def test_geminis_sdk_does_not_warn_of_two_key_variables(
    environ: Callable[..., None], upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK reads both names and warns; the key that we pass is used."""
    environ(**(variables(upstream) | {"GEMINI_API_KEY": "bad-key"}))
    await (await provider_named("google")).check()
    assert "API_KEY" not in caplog.text
    environ(**(variables(upstream) | {"GEMINI_API_KEY": variables(upstream)["GOOGLE_API_KEY"], "GOOGLE_API_KEY": ""}))
    await (await provider_named("google")).check()


async def test_an_openai_like_host_is_one_row(
    environ: Callable[..., None], upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of the registry is enough to chat through another host."""
    row = ProviderConfig("groq", "GROQ_API_KEY", "https://api.groq.example/openai/v1", "GROQ_BASE_URL")
    monkeypatch.setitem(providers._PROVIDERS, row.name, OpenAiCompatible(row))  # noqa: SLF001 - as its row would
    monkeypatch.setenv("GROQ_BASE_URL", upstream.url("openai"))
    environ(GROQ_API_KEY="key-of-groq")
    route = replace(route_to("openai", "fixed", upstream), provider="groq", identifier="groq:fixed")
    session = session_over(route)
    events, error = await events_of(session)
    assert (error, text_of(events)) == (None, "one two three")
    assert session.attempts[0].provider_key == "groq"
    assert upstream.calls_of(route.upstream_id)[0].headers["authorization"] == "Bearer key-of-groq"


async def test_a_node_with_a_missing_or_forbidden_url_fails(environ: Callable[..., None]) -> None:
    """The URL is checked again before the connection."""
    environ(ALLOW_PRIVATE_NODES="")
    client = await provider_named("client")
    for node in (None, Node(7, "http://node.example/v1"), Node(7, "https://127.0.0.1:8443/v1")):
        with pytest.raises(NodeFailed):
            [event async for event in client.stream(ModelRequest("m", QUESTION, 10, node=node))]


def test_sdks_can_be_loaded_before_the_first_turn() -> None:
    """PRELOAD_PROVIDERS names the SDKs; other names load nothing."""
    script = (
        "import sys; from shared.providers import load_sdks; load_sdks({names!r}); print('google.genai' in sys.modules)"
    )
    for names, is_loaded in ((["google"], "True"), (["openai", "nobody"], "False")):
        done = subprocess.run(
            [sys.executable, "-c", script.format(names=names)], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == is_loaded


@pytest.mark.parametrize("is_on", [True, False])
def test_loading_an_sdk_restores_the_garbage_collector(monkeypatch: pytest.MonkeyPatch, *, is_on: bool) -> None:
    """Also after a failure, as a function without the collector grows until it is killed."""
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
def test_a_provider_is_configured_when_its_variables_are_set(
    name: str, environ: Callable[..., None], upstream: Upstream
) -> None:
    """A key, and for MatchAI its URL and mission; client nodes need none."""
    assert is_configured(name)
    for variable in ROWS[name].required_variables:
        environ(**(variables(upstream) | {variable: " "}))
        assert not is_configured(name)
    assert set(ROWS) == set(PROVIDERS)
    assert not is_configured("nobody")
