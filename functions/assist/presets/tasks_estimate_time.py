"""How long a task takes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from functions.assist.preset import AssistOutput, Preset
from functions.assist.presets.task import TaskInput

Minutes = Annotated[int, Field(ge=0, le=1_000_000)]


class Range(AssistOutput):
    """Minutes of work."""

    low: Minutes
    likely: Minutes
    high: Minutes

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if not self.low <= self.likely <= self.high:
            raise ValueError("low is at most likely, and likely is at most high")
        return self


class Estimate(AssistOutput):
    """The estimate."""

    estimated_minutes: Range


ESTIMATE_TIME = Preset(
    "estimate-time",
    ("/tasks/estimate-time",),
    "Minutes that a task takes, with a range.",
    "You estimate work. Give the minutes of focused work that one experienced person needs for the task: low if all "
    "goes well, likely, and high if it does not. low is at most likely, likely is at most high.",
    TaskInput,
    Estimate,
)
