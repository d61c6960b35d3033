"""The headers of an admitted turn, and the response to a dry run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.admission import dry_run_json
from shared.limit_headers import limit_headers
from shared.turns import Quote, Replay
from tests.functions.turns import LIMITS, ROUTE, TURN, turn

QUOTE = Quote(12, 0.0001, 0.001)


def test_headers_say_who_serves_and_what_is_left() -> None:
    """Limits have the header names that OpenAI's clients know; the reset time is in whole seconds."""
    resets = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    headers = limit_headers(turn(limits=replace(LIMITS, requests_reset_at=resets)))
    assert headers.pop("x-ratelimit-reset-requests") in {"7200s", "7199s", "7198s"}
    assert headers == {
        "X-Model": "openai:gpt-4o",
        "X-Fallbacks": "0",
        "x-ratelimit-limit-requests": "50",
        "x-ratelimit-remaining-requests": "49",
        "x-budget-remaining-usd": "0.500000000",
    }


def test_a_cap_that_does_not_exist_has_no_header() -> None:
    """A limit that does not exist has no header."""
    headers = limit_headers(turn(limits=replace(LIMITS, requests_limit=None, budget_remaining_usd=None)))
    assert set(headers) == {"X-Model", "X-Fallbacks"}
    assert set(limit_headers(turn(limits=None))) == {"X-Model", "X-Fallbacks"}


@pytest.mark.parametrize("remaining", [0, -3, None])
def test_nothing_left_is_never_less_than_zero(remaining: int | None) -> None:
    """An exceeded cap and a reset time in the past give zero."""
    headers = limit_headers(
        turn(limits=replace(LIMITS, requests_remaining=remaining, requests_reset_at="2020-01-01T00:00:00+00:00"))
    )
    assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-reset-requests"]) == ("0", "0s")


@pytest.mark.parametrize(("budget", "text"), [(0.0000001, "0.000000100"), (12, "12.000000000"), (0, "0.000000000")])
def test_small_budgets_are_no_powers_of_ten(budget: float, text: str) -> None:
    """A small number in a header has no exponent."""
    assert limit_headers(turn(limits=replace(LIMITS, budget_remaining_usd=budget)))["x-budget-remaining-usd"] == text


@pytest.mark.parametrize(
    ("identifier", "header"),
    [
        ("huggingface:meta-llama/Llama-3.1-8B", "huggingface:meta-llama/Llama-3.1-8B"),
        ("client:7:\u043c\u043e\u0434", "client:7:%D0%BC%D0%BE%D0%B4"),
        ("client:7:a\r\nSet-Cookie: b", "client:7:a%0D%0ASet-Cookie: b"),
    ],
)
def test_a_models_name_fits_into_a_header(identifier: str, header: str) -> None:
    """A name in any script, or with line ends, is encoded into one header."""
    named = limit_headers(turn(routes=(replace(ROUTE, identifier=identifier),)))["X-Model"]
    assert named == header
    assert named.isascii()


def test_a_replayed_turn_says_that_it_is() -> None:
    """A replay has the header Idempotent-Replayed."""
    assert limit_headers(turn(replay=Replay()))["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in limit_headers(TURN)


def test_a_dry_run_tells_route_estimate_and_limits() -> None:
    """The response has the route, the estimate and the limits."""
    node = replace(ROUTE, identifier="client:7:llama", provider="client", upstream_id="llama", node_id=7)
    assert dry_run_json(turn(routes=(ROUTE, node), quote=QUOTE)) == {
        "route": {
            "identifier": "openai:gpt-4o",
            "provider": "openai",
            "model": "gpt-4o",
            "node_id": None,
            "reason": "asked",
            "fallbacks": ["client:7:llama"],
        },
        "estimate": {
            "input_tokens": 12,
            "max_output_tokens": 1000,
            "cost_usd": {"least": 0.0001, "most": 0.001},
        },
        "limits": {
            "requests_remaining": 49,
            "requests_reset_at": "2026-11-22T00:00:00+00:00",
            "budget_remaining_usd": 0.5,
        },
    }


def test_a_model_without_a_price_has_no_estimate_of_cost() -> None:
    """Unknown values are null, and so are limits that are not set."""
    answer = dry_run_json(turn(routes=(replace(ROUTE, pricing=None),), quote=QUOTE, limits=None))
    assert (answer["estimate"]["cost_usd"], answer["limits"]) == (None, None)
