"""Subtasks of a task."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from functions.assist.preset import AssistOutput, Preset
from functions.assist.presets.task import TaskInput


class Subtasks(AssistOutput):
    """Steps in the order in which they are done."""

    subtasks: Annotated[list[str], Field(max_length=20)]


SUBTASKS = Preset(
    "subtasks",
    (),
    "Steps that lead to a task's end.",
    "You plan work. Split the task into three to seven subtasks, in the order in which they are done. Each begins with "
    "a verb, has at most twelve words and can be checked off. Add nothing that the task does not need.",
    TaskInput,
    Subtasks,
)
