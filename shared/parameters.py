"""Which parameters of a model call a model takes, by OpenAI's names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from shared.provider_config import PROVIDERS
from shared.routes import Route

SAMPLING: Final = {"temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "logit_bias"}
"""The parameters that a model without `supports_temperature` rejects."""
_MAX_NAMES, _MAX_NAME = 40, 64  # of a header, which many proxies limit to 8 KB in all
_BASIC_TIERS = {"auto", "default", "flex"}  # the others cost more than the price that is reserved
_WITH_EFFORT = re.compile(r"claude-(opus-4-[5-9]|sonnet-4-[6-9]|(opus|sonnet)-[5-9])")


def is_taken(name: str, value: Any, route: Route) -> bool:
    """Whether the route's model takes the parameter with this value."""
    provider = PROVIDERS.get(route.provider)
    if provider is None or name not in provider.parameters:
        return False
    samples = bool(route.capabilities.get("supports_temperature", True))
    if name in SAMPLING:
        return samples
    if name == "service_tier":
        return value in _BASIC_TIERS
    if name in {"reasoning_effort", "verbosity"}:
        return _reasons(name, route, samples=samples)
    return True


def _reasons(name: str, route: Route, *, samples: bool) -> bool:
    """Whether the model takes a parameter of reasoning models; OpenAI's are those that reject a temperature."""
    if route.provider == "openai":
        return not samples and (name == "reasoning_effort" or route.upstream_id.startswith("gpt-"))
    return route.provider != "anthropic" or bool(_WITH_EFFORT.match(route.upstream_id))


def taken(parameters: Mapping[str, Any], route: Route) -> dict[str, Any]:
    """The parameters that the route's model takes."""
    return {name: value for name, value in parameters.items() if is_taken(name, value, route)}


def stops_taken(stop: tuple[str, ...], route: Route) -> tuple[str, ...]:
    """The first stop sequences, as many as the provider takes."""
    provider = PROVIDERS.get(route.provider)
    return stop if provider is None else stop[: provider.max_stops]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request asks for that may have no effect: unknown `fields`, model `parameters`, and stop sequences."""

    fields: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stop: tuple[str, ...] = ()

    def ignored(self, route: Route) -> tuple[str, ...]:
        """The names without effect if this route answers; a stop sequence is `stop.<place>`."""
        left_out = [name for name, value in self.parameters.items() if not is_taken(name, value, route)]
        cut = range(len(stops_taken(self.stop, route)), len(self.stop))
        return (*self.fields, *left_out, *(f"stop.{place}" for place in cut))

    def headers(self, route: Route) -> dict[str, str]:
        """The response header `X-Ignored-Params`; none when everything has an effect."""
        return ignored_header(self.ignored(route))


NO_WISHES: Final = Wishes()


def ignored_header(names: Iterable[str]) -> dict[str, str]:
    """`X-Ignored-Params` with at most 40 names of at most 64 characters, percent-encoded; empty without names."""
    shown = [quote(name[:_MAX_NAME], safe="._-$[]")[: 3 * _MAX_NAME] for name in dict.fromkeys(names)]
    return {"X-Ignored-Params": ", ".join(shown[:_MAX_NAMES])} if shown else {}
