"""How urgent and important a task is."""

from __future__ import annotations

from typing import Literal

from functions.assist.preset import AssistOutput, Preset
from functions.assist.presets.task import TaskInput


class Priority(AssistOutput):
    """A level and its reason."""

    level: Literal["low", "medium", "high", "urgent"]
    reason: str


class SuggestedPriority(AssistOutput):
    """The priority."""

    priority: Priority


SUGGEST_PRIORITY = Preset(
    "suggest-priority",
    ("/tasks/suggest-priority",),
    "A task's priority with its reason.",
    "You sort work. Choose the priority of the task: low, medium, high or urgent. Judge by deadlines, by harm if it is "
    "not done, and by who waits for it. Without any such sign it is medium. Give the reason in one sentence.",
    TaskInput,
    SuggestedPriority,
)
