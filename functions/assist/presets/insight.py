"""The input and output of the insights, and what all their prompts say."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from functions.assist.preset import AssistInput, AssistOutput, Line

Confidence = Annotated[float, Field(ge=0, le=1)]


class InsightInput(AssistInput):
    """A market; with `context` the answer is the user's own, without it everyone may share it."""

    market: Line
    keywords: Annotated[list[Line], Field(max_length=50)] = Field(default_factory=list)
    context: dict[str, Any] | None = None


class Finding(AssistOutput):
    """A statement, what supports it, and how sure the model is, from 0 to 1."""

    statement: str
    evidence: str
    confidence: Confidence


class Insight(AssistOutput):
    """A headline, findings with the most important first, and what to do."""

    headline: str
    findings: Annotated[list[Finding], Field(max_length=20)]
    actions: Annotated[list[str], Field(max_length=20)]


RULES: Final = (
    " Give a headline of at most fifteen words, two to six findings with the most important first, and one to five "
    "actions that begin with a verb. Each finding has its evidence: data from the input, or general knowledge that you "
    "name as such. confidence is from 0 to 1; it is below 0.5 without data in the input. Invent no numbers."
)
