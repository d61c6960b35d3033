"""What an event is about, and how to prepare for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from functions.assist.preset import AssistInput, AssistOutput, Content, Line, Preset

Time = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class EventInput(AssistInput):
    """An event; times in any form, best as ISO 8601."""

    title: Line
    description: Content | None = None
    start: Time | None = None
    end: Time | None = None
    attendees: Annotated[list[Line], Field(max_length=200)] | None = None


class Analysis(AssistOutput):
    """A summary, and what to prepare."""

    summary: str
    preparation: Annotated[list[str], Field(max_length=20)]


ANALYZE = Preset(
    "analyze",
    ("/events/analyze",),
    "A summary of an event, and what to prepare.",
    "You prepare meetings. Summarise the event in one to three sentences: what it is for, when, and with whom, as far "
    "as the input says. Then list what a participant should prepare, the most useful first, at most seven points.",
    EventInput,
    Analysis,
)
