"""The tasks in a note."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from functions.assist.preset import AssistOutput, Preset
from functions.assist.presets.note import NoteInput


class Tasks(AssistOutput):
    """Tasks in the order of the note."""

    tasks: Annotated[list[str], Field(max_length=50)]


TASKS = Preset(
    "note-tasks",
    (),
    "The tasks that a note contains.",
    "You find tasks in notes. List what has to be done according to the note, in its order, with names and dates "
    "where the note has them. The list is empty when there is nothing to do.",
    NoteInput,
    Tasks,
)
