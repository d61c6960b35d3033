"""The form and the tags of a note."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from functions.assist.preset import AssistOutput, Preset
from functions.assist.presets.note import NoteInput


class Form(AssistOutput):
    """How to improve the note's form, and its tags."""

    formatting: Annotated[list[str], Field(max_length=20)]
    tags: Annotated[list[str], Field(max_length=10)]


FORM = Preset(
    "note-form",
    (),
    "Suggestions for a note's form, and its tags.",
    "You edit notes. Suggest how to make the note easier to read: headings, lists, order, at most five suggestions. "
    "Then give one to seven tags, lower case, one or two words each, no '#'.",
    NoteInput,
    Form,
)
