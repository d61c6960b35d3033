"""What a preset is: its prompt, its input and output, and how long and for whom its answers are kept."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

HOUR_SECONDS: Final = 3600
_FRAME_BYTES = 600  # of the rules for every preset, the schema's instruction and the marks around messages

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Content = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")]


class AssistInput(BaseModel):
    """The options of every preset. Unknown fields have no effect; `X-Ignored-Params` names them."""

    model_config = ConfigDict(extra="allow", strict=True, defer_build=True)

    model: Annotated[str, StringConstraints(min_length=1, max_length=300)] | None = None
    max_tokens: int | None = Field(
        default=None, ge=1, le=1_000_000, description="The maximum of output tokens of each model call."
    )
    locale: Locale | None = Field(
        default=None, description="The language of the answer, such as `de-AT`; by default that of the input."
    )
    dry_run: bool = False


class AssistOutput(BaseModel):
    """An answer. Every field is required, and what a model adds is left out."""

    model_config = ConfigDict(
        extra="ignore", allow_inf_nan=False, defer_build=True, json_schema_extra={"additionalProperties": False}
    )


OPTIONS: Final = frozenset(AssistInput.model_fields)
"""The fields of a body that are no input of a preset."""


@dataclass(frozen=True)
class Preset:
    """One structured answer.

    `version` changes with the prompt. `ttl_seconds` is how long an answer is kept. A public answer is shared by all
    users if its input has nothing personal. `aliases` are models or aliases that serve when neither the request nor
    the user's profile names a model, the first that exists. `paths` are its routes, also with `/ai` before them.
    """

    name: str
    paths: tuple[str, ...]
    summary: str
    prompt: str
    input: type[AssistInput]
    output: type[AssistOutput]
    version: str = "1"
    ttl_seconds: int = HOUR_SECONDS
    is_public: bool = False
    aliases: tuple[str, ...] = ()

    @functools.cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the output."""
        return self.output.model_json_schema()

    @functools.cached_property
    def schema_hash(self) -> str:
        """A hash that changes with the schema."""
        return hashlib.sha256(json.dumps(self.schema, sort_keys=True).encode()).hexdigest()

    @functools.cached_property
    def prompt_bound(self) -> int:
        """The most tokens of the prompt with the schema: one for each byte."""
        return len(self.prompt.encode()) + len(json.dumps(self.schema)) + _FRAME_BYTES

    @property
    def wanted_models(self) -> list[str]:
        """The aliases, then `assist.<name>` and `assist`, which an operator may define."""
        return [*self.aliases, f"assist.{self.name}", "assist"]


@dataclass(frozen=True)
class Bundle:
    """Several presets with the same input, asked at once; the answer has the fields of all."""

    name: str
    paths: tuple[str, ...]
    summary: str
    parts: tuple[Preset, ...]

    @property
    def input(self) -> type[AssistInput]:
        """The input of every part."""
        return self.parts[0].input


Offer = Preset | Bundle
