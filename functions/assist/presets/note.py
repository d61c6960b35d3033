"""The input of the presets about a note."""

from __future__ import annotations

from functions.assist.preset import AssistInput, Content


class NoteInput(AssistInput):
    """A note."""

    content: Content
