"""The input of the presets about a task."""

from __future__ import annotations

from functions.assist.preset import AssistInput, Content, Line


class TaskInput(AssistInput):
    """A task."""

    title: Line
    description: Content | None = None
