"""The agents: their names, tools and system prompts."""

from __future__ import annotations

from itertools import product

import pytest

from functions.chat.agents import AGENTS, longest_prompt, prompt_for
from functions.chat.tools.hand_off import HandOff
from shared.turns import Profile

_SKILLS = (None, "beginner", "intermediate", "advanced", "expert")
_STYLES = (None, "concise", "balanced", "detailed")


def test_every_agent_can_be_handed_to() -> None:
    """The tool's choices are the agents, and every agent has the tool."""
    assert set(AGENTS) == set(HandOff.model_json_schema()["properties"]["agent"]["enum"])
    assert all("hand_off" in agent.tools for agent in AGENTS.values())


def test_a_prompt_is_fitted_to_the_person() -> None:
    """Skill and style each add a sentence; without them the prompt is the agent's own."""
    agent = AGENTS["technical"]
    plain = prompt_for(agent, Profile(), None)
    assert plain == agent.prompt
    received = prompt_for(agent, Profile("beginner", "concise"), None)
    assert received.startswith(plain)
    assert "explain every term" in received
    assert "short" in received


def test_a_prompt_names_the_speaker_of_a_group() -> None:
    """The prompt has the user's name and explains that other users' messages begin with theirs."""
    assert "Ada asks" in prompt_for(AGENTS["general"], Profile(), "Ada")


@pytest.mark.parametrize("profile", [Profile("wizard"), Profile(None, "florid")])
def test_a_profile_of_another_version_is_no_failure(profile: Profile) -> None:
    """An unknown value of a profile adds nothing to the prompt."""
    assert prompt_for(AGENTS["general"], profile, None) == AGENTS["general"].prompt


def test_money_is_held_for_the_longest_prompt() -> None:
    """No prompt of an agent with a profile and a name is longer than the reserved bound."""
    for agent, skill, style in product(AGENTS.values(), _SKILLS, _STYLES):
        profile = Profile(skill, style)
        assert len(prompt_for(agent, profile, "\U0001f600" * 60).encode()) <= longest_prompt()
