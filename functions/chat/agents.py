"""The agents a turn can be given to, as data."""

from __future__ import annotations

from typing import Final

PROMPTS: Final = {
    "general": "You are a helpful assistant. Answer clearly and briefly.",
    "technical": "You are a careful engineer. Answer with exact steps and working code.",
    "research": "You are a careful researcher. Separate what is known from what is guessed, and say how sure you are.",
}


def agent_named(asked: str | None) -> str:
    """The agent that takes the turn; `auto` and none mean the general one."""
    return asked if asked in PROMPTS else "general"
