"""The replay of a stored answer."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from functions.chat.replay import replayed
from shared.errors import ProviderError, ProviderTimeout
from shared.events import Text, Usage
from shared.routes import RouteChosen
from shared.run_turn import Failure, TurnEvent
from shared.turns import Receipt, Replay
from tests.functions.turns import ROUTE, turn

pytestmark = pytest.mark.anyio
REPLAY = Replay(
    "completed",
    Usage(10, 5, 2, 1),
    "client:7:llama",
    "Write to ada@example.com",
    message_id="message-1",
    duration_ms=900,
    ttft_ms=100,
    finish_reason="stop",
    agent_type="technical",
    cost_usd=0.002,
)
NODE = replace(ROUTE, identifier="client:7:llama")


async def _replayed(replay: Replay) -> list[TurnEvent]:
    """The events after the one that names the route."""
    serving, *events = [event async for event in replayed(turn(routes=(ROUTE, NODE)), replay)]
    assert isinstance(serving, RouteChosen)
    return events


async def test_the_model_that_served_is_named_again() -> None:
    """The replay of a turn with a fallback names the model that answered."""
    events = replayed(turn(routes=(ROUTE, NODE)), REPLAY)
    assert await anext(events) == RouteChosen(NODE)
    await events.aclose()


async def test_the_answer_comes_again_with_its_first_receipt() -> None:
    """Text, usage, cost and times are those of the first attempt."""
    text, receipt = await _replayed(REPLAY)
    assert text == Text("Write to ada@example.com")
    assert isinstance(receipt, Receipt)
    assert (receipt.message_id, receipt.cost_usd, receipt.logged) == ("message-1", 0.002, True)
    result = receipt.result
    assert (result.route, result.usage, result.agent_type) == (NODE, Usage(10, 5, 2, 1), "technical")
    assert (result.status, result.finish_reason, result.duration_ms, result.ttft_ms) == ("completed", "stop", 900, 100)


@pytest.mark.parametrize(("code", "kind"), [("provider_timeout", ProviderTimeout), ("code_of_long_ago", ProviderError)])
async def test_a_failed_turn_fails_again(code: str, kind: type[ProviderError]) -> None:
    """The same key gives the same outcome: the text so far, then the error."""
    text, failure, receipt = await _replayed(replace(REPLAY, status="partial", error_code=code, content="Hel"))
    assert text == Text("Hel")
    assert isinstance(failure, Failure)
    assert type(failure.error) is kind
    assert isinstance(receipt, Receipt)
    assert (receipt.result.status, receipt.result.error_code) == ("partial", code)


async def test_a_turn_without_text_has_only_its_receipt() -> None:
    """If the text was not stored, the replay has only the receipt."""
    (receipt,) = await _replayed(Replay())
    assert isinstance(receipt, Receipt)
    assert (receipt.result.route, receipt.result.usage, receipt.logged) == (ROUTE, Usage(0, 0), True)


async def test_a_replay_logs_one_line_with_both_ids(capsys: pytest.CaptureFixture[str]) -> None:
    """An operator finds a replayed request by its own request id, and by the id of the turn."""
    replaying = turn(routes=(ROUTE, NODE))
    async for _ in replayed(replaying, REPLAY):
        pass
    line = json.loads(capsys.readouterr().out)
    assert (line["event"], line["status"], line["model"]) == ("replay", "completed", "client:7:llama")
    assert (line["request_id"], line["turn_id"]) == (replaying.request_id, replaying.turn_id)
