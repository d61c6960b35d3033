"""All suggestions for a task at once."""

from __future__ import annotations

from functions.assist.preset import Bundle
from functions.assist.presets.tasks_estimate_time import ESTIMATE_TIME
from functions.assist.presets.tasks_subtasks import SUBTASKS
from functions.assist.presets.tasks_suggest_labels import SUGGEST_LABELS
from functions.assist.presets.tasks_suggest_priority import SUGGEST_PRIORITY

SUGGEST = Bundle(
    "suggest",
    ("/tasks/suggest",),
    "Subtasks, time, priority and labels of a task: four model calls at once.",
    (SUBTASKS, ESTIMATE_TIME, SUGGEST_PRIORITY, SUGGEST_LABELS),
)
