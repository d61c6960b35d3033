"""Each provider's list, parsed, and fetched from the scripted server within limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.refresh.sources import SOURCES, HostOffer, ProviderModel, fetch, fetching
from functions.refresh.sources.matcha import TABLE
from functions.refresh.sources.openai import read_any
from shared.errors import ProviderAuthFailed, ProviderError, ProviderTimeout
from shared.provider_config import KEYED_PROVIDERS
from shared.providers.provider_errors import PARSE_ERRORS
from tests.fakes.providers import Shelf, Upstream, entry
from tests.providers import variables

BY_NAME = {source.provider: source for source in SOURCES}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture
def shelves(upstream: Upstream, environ: Callable[..., None], sessions: None) -> Iterator[dict[str, Shelf]]:  # noqa: ARG001 - order
    """Every provider is the scripted upstream; what is put here is its list for this test."""
    environ(**variables(upstream))
    yield upstream.shelves
    upstream.shelves.clear()


def _page(provider: str, *models: Any) -> Any:
    return {"google": {"models": list(models)}, "matcha": {"llms": list(models)}}.get(provider, {"data": list(models)})


def _names(provider: str, *models: Any) -> list[str]:
    return [model.upstream_id for model in BY_NAME[provider].read(_page(provider, *models))]


def test_every_provider_with_a_key_has_a_source() -> None:
    """Refresh lists the models of every provider that has a key."""
    assert {(row.name, row.key_variable) for row in KEYED_PROVIDERS} == {
        (name, source.key_variable) for name, source in BY_NAME.items()
    }


def test_gemini_chat_models_are_distinguished_from_others() -> None:
    """The method and the name decide; a chat model has its windows, a plain id and the provider's title."""
    embeds = entry("google", "gemini-embedding-001", supportedGenerationMethods=["embedContent"])
    others = [
        *("gemini-2.5-flash-preview-tts", "gemini-2.5-flash-image", "gemini-3.8-live", "gemma-3-27b-it", "veo-3"),
        *("deep-research-max-preview", "gemini-3.8-agent", "gemini-2.5-computer-use"),
    ]
    shown = entry("google", "gemini-3.8-flash", "Gemini 3.8 Flash")
    (model,) = BY_NAME["google"].read(_page("google", shown, embeds, *(entry("google", name) for name in others)))
    assert (model.upstream_id, model.name) == ("gemini-3.8-flash", "Gemini 3.8 Flash")
    assert model.capabilities == {"context_window": 1_048_576, "max_output_tokens": 65_536}


def test_claude_tells_what_it_can_and_when_it_ends() -> None:
    """A model has abilities, windows and a retirement day; it does not support a temperature."""
    listed = entry("anthropic", "claude-x-1", "Claude X 1", retires_at="2027-03-01T00:00:00Z")
    (model,) = BY_NAME["anthropic"].read(_page("anthropic", listed))
    assert model.retires_on == date(2027, 3, 1)
    assert model.capabilities == {
        "context_window": 200_000,
        "max_output_tokens": 64_000,
        "supports_vision": True,
        "supports_files": True,
        "supports_json": True,
        "supports_tools": True,
        "supports_temperature": False,
    }


def test_open_ai_names_are_sorted_out() -> None:
    """Chat models and fine-tuned models are kept; models for other tasks or for the Responses API are not."""
    chat = ["gpt-4o", "gpt-5.1", "chatgpt-4o-latest", "o4-mini", "ft:gpt-4o-mini:acme::abc", "gpt-4o-2024-08-06"]
    others = [
        *("text-embedding-3-small", "whisper-1", "tts-1-hd", "dall-e-3", "omni-moderation-latest", "davinci-002"),
        *("gpt-4o-audio-preview", "gpt-realtime", "gpt-4o-transcribe", "gpt-image-1", "gpt-3.5-turbo-instruct"),
        *("o1-pro", "gpt-5-pro-2025-10-06", "gpt-5.3-codex", "o3-deep-research", "gpt-4o-search-preview", "sora-2"),
    ]
    assert _names("openai", *(entry("openai", name) for name in chat + others)) == chat


def test_another_hosts_list_is_taken_as_it_is() -> None:
    """Any model name is read, with the context window when the list has it."""
    (one, other) = read_any({"data": [{"id": "acme-large"}, {"id": "b", "max_model_len": 4096}, {"id": None}]})
    assert (one.upstream_id, one.capabilities, other.capabilities) == ("acme-large", {}, {"context_window": 4096})


def test_a_router_promises_what_every_live_host_can() -> None:
    """A model has the smallest window, the abilities of all live hosts, and every host's offer."""
    hosts: list[dict[str, Any]] = [
        {"provider": "a", "status": "live", "context_length": 100, "pricing": {"input": 1, "output": 2}},
        {"provider": "b", "status": "live", "context_length": 50, "supports_tools": True},
        {"provider": "c", "status": "staging", "context_length": 10},
    ]
    for host, can in zip(hosts, (True, True, False), strict=True):
        host |= {"supports_tools": can, "supports_structured_output": host["provider"] == "a"}
    waiting = entry("huggingface", "x/y", providers=hosts[2:])
    (model,) = BY_NAME["huggingface"].read(_page("huggingface", entry("huggingface", "o/m", providers=hosts), waiting))
    assert model.capabilities == {
        "context_window": 50,
        "supports_vision": False,
        "supports_tools": True,
        "supports_json": False,
    }
    assert model.offers == (HostOffer("a", {"input": 1, "output": 2}), HostOffer("b"))


def test_a_listed_price_of_zero_is_unknown() -> None:
    """A host that lists 0 for input and output has no price; 0 for one of them is a price."""
    prices = {"zero": {"input": 0, "output": 0}, "half": {"input": 0, "output": 2}}
    hosts = [{"provider": name, "status": "live", "pricing": pricing} for name, pricing in prices.items()]
    (model,) = BY_NAME["huggingface"].read(_page("huggingface", entry("huggingface", "o/m", providers=hosts)))
    assert model.offers == (HostOffer("zero"), HostOffer("half", {"input": 0, "output": 2}))


def test_matcha_lists_are_read_in_both_forms() -> None:
    """The list may be in an object, and a field may have either name."""
    one, other = {"id": 28, "name": "Claude 3.7 Sonnet"}, {"llm_id": 41, "model_name": "New"}
    assert _names("matcha", one, other) == ["28", "41"]
    assert [model.name for model in BY_NAME["matcha"].read([one, other])] == ["Claude 3.7 Sonnet", "New"]


@pytest.mark.parametrize("provider", BY_NAME)
def test_odd_entries_do_not_cost_the_others_theirs(provider: str) -> None:
    """Nulls, numbers and entries without a name are skipped."""
    name = "77" if provider == "matcha" else "gemini-9" if provider == "google" else "gpt-9"
    odd = (
        {"id": None, "name": None},
        {"id": 0, "providers": 5, "meta": 7},
        {"id": "x", "name": [], "providers": {"a": 1}},
    )
    names = _names(provider, None, *odd[:2], entry(provider, name, "N"), 7, {}, [], odd[2], "x")
    assert [known for known in names if known != "x"] == [name]


@pytest.mark.parametrize("provider", BY_NAME)
@given(page=json_values, field=st.sampled_from(["data", "models", "llms"]))
def test_any_json_is_read_or_refused(provider: str, page: Any, field: str) -> None:
    """Any JSON gives models with valid names, or an error that fetch() handles."""
    for answer in (page, {field: page}, {field: [page, {"id": page, "name": page, "providers": page}]}):
        try:
            found = BY_NAME[provider].read(answer)
            BY_NAME[provider].after(answer)
        except PARSE_ERRORS:
            continue
        assert all(isinstance(model, ProviderModel) and 0 < len(model.upstream_id) <= 200 for model in found)


@pytest.mark.anyio
@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize("provider", BY_NAME)
async def test_the_usual_list_is_fetched_over_all_pages(provider: str, upstream: Upstream) -> None:
    """The requests have the provider's key and no other header of Parley."""
    before = len(upstream.lists_of(provider))
    listed = [model.upstream_id for model in await fetch(BY_NAME[provider])]
    expected = {
        "google": ["gemini-2.5-flash-lite", "gemini-3.5-flash-lite", "gemini-3.8-flash"],
        "anthropic": ["claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"],
        "openai": ["gpt-4o", "gpt-4o-mini"],
        "huggingface": ["meta-llama/Llama-3.1-8B-Instruct"],
        "matcha": [str(number) for number, _ in TABLE],
    }
    assert listed == expected[provider]
    for received in upstream.lists_of(provider)[before:]:
        assert f"key-of-{provider}" in json.dumps(received.headers)


@pytest.mark.anyio
@pytest.mark.parametrize("provider", BY_NAME)
@pytest.mark.parametrize(
    "shelf",
    [Shelf(text="<html>", status=200), Shelf(text="{}", status=200), Shelf(text="[1", status=200)]
    + [Shelf(text="secret words", status=status) for status in (302, 401, 429, 500, 503)],
    ids=lambda shelf: f"{shelf.status} {shelf.text}",
)
async def test_what_is_no_list_is_an_error(provider: str, shelf: Shelf, shelves: dict[str, Shelf]) -> None:
    """The error has no text of the provider."""
    shelves[provider] = shelf
    with pytest.raises(ProviderError) as failed:
        await fetch(BY_NAME[provider])
    assert "secret" not in failed.value.message
    assert isinstance(failed.value, ProviderAuthFailed) is (shelf.status == 401)


@pytest.mark.anyio
async def test_a_list_that_does_not_come_is_given_up(
    shelves: dict[str, Shelf], upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline is for all pages together."""
    monkeypatch.setattr(fetching, "LIST_SECONDS", 0.05)
    shelves["openai"] = Shelf(is_held=True)
    with pytest.raises(ProviderTimeout):
        await fetch(BY_NAME["openai"])
    upstream.release()


@pytest.mark.anyio
async def test_ten_thousand_models_are_read_and_doubles_once(shelves: dict[str, Shelf]) -> None:
    """Ten pages are read; of two entries with one name the first counts."""
    entries = [entry("google", f"gemini-{number}", "First") for number in range(10_000)]
    shelves["google"] = Shelf([*entries, entry("google", "gemini-7", "Second")])
    listed = await fetch(BY_NAME["google"])
    assert len(listed) == 10_000
    assert {model.name for model in listed} == {"First"}


@pytest.mark.anyio
async def test_pages_without_end_and_lists_without_bound_are_refused(
    shelves: dict[str, Shelf], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many pages and too many bytes are an error."""
    shelves["google"] = Shelf(text='{"models": [], "nextPageToken": "again"}')
    with pytest.raises(ProviderError, match="not a model list"):
        await fetch(BY_NAME["google"])
    monkeypatch.setattr(fetching, "_MAX_BYTES", 1000)
    shelves["openai"] = Shelf([entry("openai", f"gpt-{number}") for number in range(100)])
    with pytest.raises(ProviderError, match="not a model list"):
        await fetch(BY_NAME["openai"])


@pytest.mark.anyio
async def test_a_platform_without_a_list_has_its_table(shelves: dict[str, Shelf]) -> None:
    """The five models are used only if the platform has no list; a list that fails is an error."""
    listed = await fetch(BY_NAME["matcha"])
    assert [(int(model.upstream_id), model.name) for model in listed] == list(TABLE)
    shelves["matcha"] = Shelf([entry("matcha", "99", "New")])
    assert [model.upstream_id for model in await fetch(BY_NAME["matcha"])] == ["99"]
    shelves["matcha"] = Shelf(text="down", status=500)
    with pytest.raises(ProviderError):
        await fetch(BY_NAME["matcha"])
