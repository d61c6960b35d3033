"""The fields that both of OpenAI's completions have: how the model writes, and how the answer is sent and logged."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, field_validator

from functions.chat.protocols.completions.tools import Open
from functions.chat.request import Name, unknown_fields, within_bounds
from shared.parameters import Wishes

_PARAMETERS = (
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "seed",
    "reasoning_effort",
    "verbosity",
    "service_tier",
    "prompt_cache_key",
)
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "top_p": (None, 1),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "min_p": (None, 0),
    "top_k": (None, 0, -1),  # -1: all, as vLLM writes it
    "logit_bias": (None, {}),
    "service_tier": (None, "auto", "default"),
}

StopText = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class StreamOptions(Open):
    """What a stream sends besides the answer."""

    include_usage: bool = False
    include_obfuscation: bool | None = None


Unit = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Level = Annotated[str, StringConstraints(min_length=1, max_length=20)]


class Sampling(Open):
    """Parameters that go to models that take them; unknown fields are ignored and named."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": True})

    model: Name
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    stop: StopText | Annotated[list[StopText], Field(max_length=64, fail_fast=True)] | None = None
    top_p: Unit | None = None
    top_k: int | None = Field(default=None, ge=-1, le=1_000_000)
    min_p: Unit | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=1024)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    reasoning_effort: Level | None = None
    verbosity: Level | None = None
    service_tier: Level | None = None
    prompt_cache_key: Annotated[str, StringConstraints(max_length=1024)] | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None

    @field_validator("metadata")
    @classmethod
    def _is_short(cls, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        return within_bounds(metadata)

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @cached_property
    def wishes(self) -> Wishes:
        """What may have no effect: unknown fields, parameters and stop sequences."""
        temperature = {} if self.temperature is None else {"temperature": self.temperature}
        return Wishes(unknown_fields(self), self.parameters | temperature, self.stops)

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop sequences."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The further parameters of the model call; a neutral value is left out, as some models reject it."""
        asked = {name: getattr(self, name) for name in _PARAMETERS}
        return {name: value for name, value in asked.items() if value not in _NEUTRAL.get(name, (None,))}
