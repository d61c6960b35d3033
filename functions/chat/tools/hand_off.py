"""The tool by which one agent gives a turn to another."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

NAME: Final = "hand_off"


class HandOff(BaseModel):
    """Gives this conversation to a colleague who goes on with your answer.

    Use it once you see that another agent is the better one for the question: `technical` for code and systems,
    `research` for data, sources and comparisons, `general` for everything else.
    """

    model_config = ConfigDict(extra="forbid")

    agent: Literal["general", "technical", "research"] = Field(description="who goes on")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=300)] = Field(description="why, in a sentence")
