"""Which parameters a model takes, and the header that names the others."""

from __future__ import annotations

from typing import Any

import pytest

from shared.messages import Message, ModelRequest
from shared.parameters import Wishes, ignored_header, taken
from shared.providers.anthropic_messages import request_arguments
from shared.providers.chat_completions import request_body
from shared.providers.gemini import _config  # the only place with the SDK's arguments
from shared.routes import Route

_ALL: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 5,
    "min_p": 0.1,
    "frequency_penalty": 1,
    "presence_penalty": 1,
    "logit_bias": {"1": 5},
    "seed": 7,
    "reasoning_effort": "low",
    "verbosity": "low",
    "service_tier": "flex",
    "prompt_cache_key": "k",
}
_NO_SAMPLING = {"supports_temperature": False}


def _route(provider: str, model: str = "model", **capabilities: Any) -> Route:
    return Route(f"{provider}:{model}", provider, model, 100, capabilities=capabilities)


@pytest.mark.parametrize(
    ("route", "names"),
    [
        (
            _route("openai", "gpt-4o"),
            "temperature top_p frequency_penalty presence_penalty logit_bias seed service_tier prompt_cache_key",
        ),
        (
            _route("openai", "gpt-5.1", **_NO_SAMPLING),
            "seed reasoning_effort verbosity service_tier prompt_cache_key",
        ),
        (_route("openai", "o3", **_NO_SAMPLING), "seed reasoning_effort service_tier prompt_cache_key"),
        (_route("anthropic", "claude-haiku-4-5"), ""),
        (_route("anthropic", "claude-sonnet-4-6"), "reasoning_effort"),
        (_route("google", "gemini-2.5-flash"), "temperature top_p top_k seed"),
        (_route("huggingface"), "temperature top_p frequency_penalty presence_penalty seed"),
        (_route("matcha", "28"), ""),
        (
            _route("client"),
            "temperature top_p top_k min_p frequency_penalty presence_penalty logit_bias seed reasoning_effort",
        ),
    ],
    ids=lambda value: getattr(value, "identifier", None),
)
def test_each_model_gets_what_it_takes(route: Route, names: str) -> None:
    """What the model's API rejects is left out, and named."""
    assert set(taken(_ALL, route)) == set(names.split())
    assert set(Wishes(parameters=_ALL).ignored(route)) == set(_ALL) - set(names.split())


@pytest.mark.parametrize(("tier", "is_sent"), [("auto", True), ("flex", True), ("priority", False)])
def test_a_tier_above_the_reserved_price_is_left_out(tier: str, is_sent: bool) -> None:
    """The reservation is made at the basic price."""
    assert bool(taken({"service_tier": tier}, _route("openai"))) is is_sent


@pytest.mark.parametrize(("provider", "count"), [("openai", 4), ("google", 5), ("anthropic", 6)])
def test_stop_sequences_are_cut_to_what_the_provider_takes(provider: str, count: int) -> None:
    """Each one that is cut is named by its place."""
    ignored = Wishes(stop=tuple("abcdef")).ignored(_route(provider))
    assert ignored == tuple(f"stop.{place}" for place in range(count, 6))


def test_names_cannot_break_a_header() -> None:
    """Names are percent-encoded and bounded in length and number; a name appears once."""
    header = ignored_header(["a\r\nSet-Cookie: x", "é", "a,b", "top_p", "top_p"])
    assert header == {"X-Ignored-Params": "a%0D%0ASet-Cookie%3A%20x, %C3%A9, a%2Cb, top_p"}
    many = ignored_header(["x" * 10_000, *map(str, range(1000))])["X-Ignored-Params"]
    assert len(many) < 1000
    assert ignored_header([]) == {}


def test_each_dialect_has_its_own_names() -> None:
    """OpenAI-compatible hosts get them as they are, Gemini and Claude in their own fields."""
    parameters = {"top_p": 0.5, "top_k": 5, "seed": 7, "reasoning_effort": "minimal"}
    call = ModelRequest("model", (Message("user", "Hi"),), 100, parameters=parameters)
    assert parameters.items() <= request_body(call).items()
    config = _config(call)
    assert (config.top_p, config.top_k, config.seed) == (0.5, 5, 7)
    assert request_arguments(call)["output_config"] == {"effort": "low"}
