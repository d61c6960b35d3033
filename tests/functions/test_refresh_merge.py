"""A list before the database merges it: names, fields, and which models may be added."""

from __future__ import annotations

import pytest

from functions.refresh.merge import MAX_ADDED_MODELS, Owner, as_row, mark_addable
from functions.refresh.naming import key_of, name_of
from functions.refresh.retirements import RETIREMENTS, retirements_of
from functions.refresh.sources import SOURCES, ProviderModel


@pytest.mark.parametrize(
    ("upstream_id", "key", "name"),
    [
        ("claude-sonnet-4-6", "claude-sonnet-4-6", "Claude Sonnet 4.6"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5", "Claude Haiku 4.5"),
        ("gemini-2.5-flash-lite", "gemini-2-5-flash-lite", "Gemini 2.5 Flash Lite"),
        ("gpt-4o-mini", "gpt-4o-mini", "GPT-4o mini"),
        ("gpt-4o-2024-08-06", "gpt-4o", "GPT-4o"),
        ("gpt-5.1", "gpt-5-1", "GPT-5.1"),
        ("o4-mini", "o4-mini", "o4 Mini"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3-1-8b-instruct", "Llama 3.1 8B Instruct"),
        ("openai/gpt-oss-120b", "gpt-oss-120b", "GPT-OSS 120b"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2-5-vl-7b-instruct", "Qwen2.5 VL 7B Instruct"),
        ("deepseek-ai/DeepSeek-V3", "deepseek-v3", "DeepSeek V3"),
        ("ü", "model", "Ü"),
    ],
)
def test_keys_and_names_can_be_read(upstream_id: str, key: str, name: str) -> None:
    """A key has no owner, date or capitals; a name has the maker's spelling."""
    assert (key_of(upstream_id), name_of(upstream_id)) == (key, name)


def test_a_snapshot_is_not_added_beside_its_model() -> None:
    """A snapshot without its model is added; a snapshot in the catalogue is kept in either case."""
    listed = [ProviderModel("gpt-4o"), ProviderModel("gpt-4o-2024-08-06"), ProviderModel("claude-haiku-4-5-20251001")]
    assert [model.is_addable for model in mark_addable(listed)] == [True, False, True]


def test_a_very_long_list_adds_only_so_many() -> None:
    """The first models are added; known models beyond the limit are still updated."""
    marked = mark_addable([ProviderModel(f"m{number}") for number in range(10_000)])
    assert len(marked) == 10_000
    assert [model.is_addable for model in marked] == [True] * MAX_ADDED_MODELS + [False] * (10_000 - MAX_ADDED_MODELS)


def test_a_nodes_model_is_named_by_its_node_and_has_no_price() -> None:
    """The owner of a node does not set a price."""
    row = as_row(Owner("client", 7), ProviderModel("gpt-4o", pricing={"input": 0, "output": 0}))
    assert (row["model_key"], row["model_name"], row["pricing"]) == ("client:7:gpt-4o", "gpt-4o", None)
    assert row["capabilities"] == {}


def test_what_a_list_does_not_tell_is_filled_in() -> None:
    """Missing names, prices, windows and abilities come from other sources; the list's own values come first."""
    row = as_row(Owner("openai"), ProviderModel("gpt-4o", capabilities={"supports_vision": False}))
    assert (row["model_name"], row["pricing"]) == ("GPT-4o", {"input": 2.5, "output": 10, "cached_input": 1.25})
    assert row["capabilities"]["context_window"] == 128_000
    assert (row["capabilities"]["supports_tools"], row["capabilities"]["supports_vision"]) == (True, False)
    assert as_row(Owner("openai"), ProviderModel("o4-mini"))["capabilities"]["supports_temperature"] is False
    assert as_row(Owner("matcha"), ProviderModel("28", "Claude 3.7 Sonnet"))["model_key"] == "claude-3-7-sonnet"
    assert as_row(Owner("acme"), ProviderModel("x"))["capabilities"] == {}


def test_retirements_name_providers_that_are_listed() -> None:
    """Each retirement belongs to a source, and no model replaces itself."""
    assert {each.provider for each in RETIREMENTS} <= {source.provider for source in SOURCES}
    assert all(key_of(each.upstream_id) != each.replaced_by for each in RETIREMENTS)
    assert {"upstream_id": "gemini-2.5-flash", "retires_on": "2026-12-01", "replaced_by": "gemini-3-8-flash"} in (
        retirements_of("google")
    )
