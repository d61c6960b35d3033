"""Labels of a task."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from functions.assist.preset import AssistOutput, Preset
from functions.assist.presets.task import TaskInput


class Labels(AssistOutput):
    """Labels, the best first."""

    labels: Annotated[list[str], Field(max_length=10)]


SUGGEST_LABELS = Preset(
    "suggest-labels",
    ("/tasks/suggest-labels",),
    "Labels that fit a task.",
    "You file work. Give one to five labels for the task, the best first: lower case, one or two words each, no '#'.",
    TaskInput,
    Labels,
)
