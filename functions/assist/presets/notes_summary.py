"""The summary of a note."""

from __future__ import annotations

from functions.assist.preset import AssistOutput, Preset
from functions.assist.presets.note import NoteInput


class Summary(AssistOutput):
    """The summary."""

    summary: str


SUMMARY = Preset(
    "note-summary",
    (),
    "A note in short.",
    "You summarise notes. Give the note in one to four sentences, with its results and open questions. Add nothing.",
    NoteInput,
    Summary,
)
