"""The answer of `chat_begin` as values."""

from __future__ import annotations

from typing import Any

import pytest

from shared.admitted_turn import admitted_turn
from shared.events import Usage
from shared.messages import Message
from shared.turns import Profile, Quote, Replay, Turn, TurnRequest

ADMISSION: dict[str, Any] = {
    "outcome": "new",
    "turn_id": "turn-1",
    "conversation_id": "conversation-1",
    "reason": "asked",
    "routes": [{"identifier": "openai:gpt-4o", "provider": "openai", "upstream_id": "gpt-4o", "max_output_tokens": 9}],
    "input_tokens_estimate": 12,
    "reserve_usd": 0.001,
    "least_usd": None,
}
ROW = {
    "status": "completed",
    "model_identifier": "client:7:llama",
    "response": "Write to [email]",
    "input_tokens": 10,
    "output_tokens": 5,
    "cached_tokens": 2,
    "reasoning_tokens": 1,
    "usage_source": "provider",
    "duration_ms": 900,
    "ttft_ms": 100,
    "finish_reason": "stop",
    "agent_type": "technical",
    "escalation_metadata": {"hand_offs": [{"from": "general", "to": "technical", "reason": "code"}]},
    "tools_used": [{"name": "analyze_data", "ok": True}],
    "cost_usd": 0.002,
}


def _turn(**changes: Any) -> Turn:
    return admitted_turn(ADMISSION | changes, TurnRequest("chat", "request-1", "Hi"), "worker-1", "user-1")


def _replay(**stored: Any) -> Replay:
    replay = _turn(outcome="replay", **stored).replay
    assert replay is not None
    return replay


def test_a_new_turn_has_a_quote_and_no_replay() -> None:
    """The estimate and both ends of the cost are there, with an unknown price as None."""
    turn = _turn()
    assert (turn.quote, turn.replay, turn.profile) == (Quote(12, None, 0.001), None, Profile())


def test_a_dry_run_has_the_id_of_its_request() -> None:
    """Without a row there is no turn id; the log lines still have one."""
    assert _turn(turn_id=None).turn_id == "request-1"


def test_a_history_of_several_users_names_its_speakers() -> None:
    """Each message with a name begins with it; the others are as they were written."""
    history = [{"role": "user", "content": "Hi", "name": "Ada"}, {"role": "assistant", "content": "Hello"}]
    assert _turn(history=history).history == (Message("user", "Ada: Hi"), Message("assistant", "Hello"))


def test_a_profile_is_read_where_it_is_set() -> None:
    """Missing and null fields are None."""
    assert _turn(profile={"skill_level": "expert", "communication_style": None}).profile == Profile("expert")


def test_a_replay_has_the_text_of_the_message_and_the_rest_of_the_row() -> None:
    """The text is the conversation's own, not the row's redacted one."""
    replay = _replay(log=ROW, message={"id": "message-1", "content": "Write to ada@example.com"})
    assert (replay.content, replay.message_id) == ("Write to ada@example.com", "message-1")
    assert (replay.usage, replay.cost_usd, replay.identifier) == (Usage(10, 5, 2, 1), 0.002, "client:7:llama")
    assert (replay.agents, replay.tools_used) == (("general", "technical"), ({"name": "analyze_data", "ok": True},))


def test_without_a_message_the_row_has_the_text() -> None:
    """A turn outside of a conversation replays its redacted text."""
    assert _replay(log=ROW).content == "Write to [email]"


@pytest.mark.parametrize("stored", [{}, {"log": None, "message": None}, {"log": {}, "message": {}}], ids=str)
def test_a_replay_of_nothing_is_empty(stored: dict[str, Any]) -> None:
    """A turn without stored text and row fields is completed, without usage."""
    assert _replay(**stored) == Replay()
