"""Token counts in the shapes and with the names of all providers."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types as gemini_types

from shared.events import Usage
from shared.providers import gemini_messages
from shared.providers.token_counts import parse_usage, read_usage


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ((10, 4, 3, 2), Usage(10, 4, 3, 2)),
        ((0, 0, None, None), Usage(0, 0)),
        ((10, 4, -1, "x"), Usage(10, 4)),
        ((10.0, 4.0, None, None), Usage(10, 4)),
        ((10**30, 1, 0, 0), Usage(100_000_000, 1)),
        ((-5, 1, 0, 0), Usage(0, 1)),
        ((None, 1, 0, 0), Usage(0, 1)),
        ((5, "1", 0, 0), Usage(5, 0)),
        ((True, 1.5, 0, 0), None),
        ((None, None, 3, 4, 7), None),
    ],
)
def test_counts_are_bounded_or_left_to_an_estimate(counts: tuple[Any, ...], usage: Usage | None) -> None:
    """Huge counts are limited; a wrong count is 0, which the meter estimates, and None when both are wrong."""
    assert parse_usage(*counts) == usage


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ((20, 7, 0, 5, 27), Usage(20, 7, 0, 5)),  # within
        ((20, 7, 0, 50, 77), Usage(20, 57, 0, 50)),  # reasoning on top
        ((20, 7, 80, 0, 107), Usage(100, 7, 80, 0)),  # cached on top
        ((20, 7, 80, 50, 157), Usage(100, 57, 80, 50)),  # both on top
        ((20, 7, 30, 30, 57), Usage(20, 37, 20, 30)),  # in doubt the dearer
        ((20, 7, 0, 0, 60), Usage(20, 40)),  # reasoning that no count names
        ((0, 7, 0, 0, 27), Usage(20, 7)),
        ((20, None, None, None, 27), Usage(20, 7)),
    ],
)
def test_the_total_decides_what_a_count_includes(counts: tuple[Any, ...], usage: Usage) -> None:
    """Reasoning and cached tokens come on top of the other counts exactly when the total needs them there."""
    assert parse_usage(*counts) == usage


def test_without_a_total_larger_parts_come_on_top() -> None:
    """A part cannot be larger than what includes it; a total that cannot be is ignored."""
    assert parse_usage(10, 4, 90, 50) == Usage(100, 54, 90, 50)
    assert parse_usage(10, 4, 90, 50, 1) == Usage(100, 54, 90, 50)


@pytest.mark.parametrize(
    "names",
    [
        {"prompt_tokens_details": {"cached_tokens": 30}},
        {"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 30, "prompt_cache_miss_tokens": 10},
        {"cached_tokens": 30, "prompt_tokens_details": None},
        {"cache_read_input_tokens": 30},
        {"input_tokens_details": {"cached_tokens": 30}},
    ],
)
def test_cached_tokens_are_found_by_every_name(names: dict[str, Any]) -> None:
    """Hosts put them beside or into the details of the prompt."""
    assert read_usage({"prompt_tokens": 40, "completion_tokens": 2} | names) == Usage(40, 2, 30)


def test_reasoning_and_the_counts_themselves_have_two_names() -> None:
    """Some hosts use the names of OpenAI's other API, or leave out the details."""
    assert read_usage({"input_tokens": 40, "output_tokens": 9, "reasoning_tokens": 5}) == Usage(40, 9, 0, 5)
    details = {"output_tokens_details": {"reasoning_tokens": 5}}
    assert read_usage({"prompt_tokens": 0, "input_tokens": 40, "output_tokens": 9} | details) == Usage(40, 9, 0, 5)


@pytest.mark.parametrize("usage", [None, {}, [], {"prompt_tokens": "many", "completion_tokens": None}, "5"])
def test_wrong_counts_are_left_to_an_estimate(usage: Any) -> None:
    """They do not count as zero."""
    assert read_usage(usage) is None


@pytest.mark.parametrize(("total", "output"), [(90, 50), (None, 50), (50, 10), (40, 50)])
def test_geminis_thoughts_come_on_top_unless_the_total_includes_them(total: int | None, output: int) -> None:
    """Proxies count them within the candidates."""
    metadata = gemini_types.GenerateContentResponseUsageMetadata(
        prompt_token_count=40, candidates_token_count=10, thoughts_token_count=40, total_token_count=total
    )
    usage = gemini_messages.usage_of(metadata)
    assert usage is not None
    assert usage.output_tokens == output
