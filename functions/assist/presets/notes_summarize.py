"""Everything about a note at once."""

from __future__ import annotations

from functions.assist.preset import Bundle
from functions.assist.presets.notes_form import FORM
from functions.assist.presets.notes_summary import SUMMARY
from functions.assist.presets.notes_tasks import TASKS

SUMMARIZE = Bundle(
    "summarize",
    ("/notes/summarize",),
    "Summary, tasks, form and tags of a note: three model calls at once.",
    (SUMMARY, TASKS, FORM),
)
