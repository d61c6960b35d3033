"""The agents that can take a turn, as data, and the system prompt of each."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from functions.chat.tools.hand_off import NAME as HAND_OFF
from shared.turns import Profile


@dataclass(frozen=True, slots=True)
class Agent:
    """A role of the model: its prompt, its tools, and the models that serve it best.

    `models` are keys, identifiers or aliases. A turn that names no model uses the first of them that the catalogue has.
    An agent's own name is an alias without arms until an operator adds some, so that no answer costs more by default.
    """

    name: str
    prompt: str
    tools: tuple[str, ...] = (HAND_OFF,)
    models: tuple[str, ...] = ()


_DATA = ("describe_data", "analyze_data", HAND_OFF)

AGENTS: Final = {
    agent.name: agent
    for agent in (
        Agent("general", "You are a helpful assistant. Answer clearly and briefly.", _DATA),
        Agent(
            "technical",
            "You are a careful engineer. Answer with exact steps and working code.",
            models=("technical",),
        ),
        Agent(
            "research",
            "You are a careful researcher. Separate what is known from what is guessed, and say how sure you are.",
            _DATA,
            ("research",),
        ),
    )
}

_SKILLS: Final = {
    "beginner": "The person is new to this: explain every term, and leave out what can wait.",
    "intermediate": "The person knows the basics: explain only what is unusual.",
    "advanced": "The person knows the field well: skip the basics.",
    "expert": "The person is an expert: be exact, and go straight to the point.",
}
_STYLES: Final = {
    "concise": "Keep it short.",
    "balanced": "Say as much as the question needs.",
    "detailed": "Go into detail, with examples.",
}
_SPEAKERS: Final = "Several people take part; each of their messages begins with who says it. Now {speaker} asks."
_MAX_NAME = 60


def prompt_for(agent: Agent, profile: Profile, speaker: str | None) -> str:
    """The system prompt: the agent's own, adapted to the user's profile, with the name of the speaker."""
    lines = (
        agent.prompt,
        _SKILLS.get(profile.skill_level or "", ""),
        _STYLES.get(profile.communication_style or "", ""),
        _SPEAKERS.format(speaker=speaker) if speaker else "",
    )
    return " ".join(line for line in lines if line)


@functools.cache
def longest_prompt() -> int:
    """Bytes of the longest possible prompt, for the reservation before the profile is known."""
    longest = sum(max(len(line.encode()) for line in lines.values()) + 1 for lines in (_SKILLS, _STYLES))
    return max(len(a.prompt.encode()) for a in AGENTS.values()) + longest + len(_SPEAKERS) + 4 * _MAX_NAME
