"""Readable keys and names of models, from the ids of providers."""

from __future__ import annotations

import pytest

from functions.refresh.naming import key_of, name_of, without_date


@pytest.mark.parametrize(
    ("upstream_id", "key", "name"),
    [
        ("gpt-4o-mini", "gpt-4o-mini", "GPT-4o mini"),
        ("claude-sonnet-4-6", "claude-sonnet-4-6", "Claude Sonnet 4.6"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3-1-8b-instruct", "Llama 3.1 8B Instruct"),
        ("gemini-2.5-flash-lite", "gemini-2-5-flash-lite", "Gemini 2.5 Flash Lite"),
        ("gpt-4o-2024-08-06", "gpt-4o", "GPT-4o"),
    ],
)
def test_a_key_is_lower_case_and_a_name_is_readable(upstream_id: str, key: str, name: str) -> None:
    """Key and name contain neither the owner nor the date of a snapshot."""
    assert (key_of(upstream_id), name_of(upstream_id)) == (key, name)


@pytest.mark.parametrize("upstream_id", ["模型", "///", "-"])
def test_an_id_without_latin_letters_still_has_a_key(upstream_id: str) -> None:
    """The key is `model`; the merge makes it unique."""
    assert key_of(upstream_id) == "model"


def test_a_key_has_a_maximum_length() -> None:
    """A key has at most 120 characters and no hyphen at its end."""
    key = key_of("a" * 119 + "-" + "b" * 200)
    assert key == "a" * 119


def test_only_a_date_is_taken_off() -> None:
    """Versions and sizes at the end of an id stay."""
    ids = ["claude-haiku-4-5-20251001", "gpt-4-0613", "llama-3.1-8b", "model-2025-13-99"]
    assert [without_date(each) for each in ids] == [
        "claude-haiku-4-5",
        "gpt-4-0613",
        "llama-3.1-8b",
        "model-2025-13-99",
    ]
