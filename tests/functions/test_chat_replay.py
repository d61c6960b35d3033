"""The stored answer of a turn that was asked again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functions.chat.replay import replayed
from shared.errors import ProviderError, ProviderTimeout
from shared.events import Text, Usage
from shared.routes import RouteChosen
from shared.run_turn import Failure, TurnEvent
from shared.turns import Receipt
from tests.functions.turns import ROUTE, turn

pytestmark = pytest.mark.anyio
LOG = {
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
    "cost_usd": 0.002,
}
NODE = replace(ROUTE, identifier="client:7:llama")


async def _replayed(stored: dict[str, Any]) -> list[TurnEvent]:
    """What follows the word about who served."""
    serving, *events = [event async for event in replayed(turn(routes=(ROUTE, NODE), replay=stored))]
    assert isinstance(serving, RouteChosen)
    return events


async def test_the_model_that_served_is_named_again() -> None:
    """A turn that fell back shows so in its replay too."""
    events = replayed(turn(routes=(ROUTE, NODE), replay={"log": LOG}))
    assert await anext(events) == RouteChosen(NODE)
    await events.aclose()


async def test_the_answer_comes_again_with_its_first_receipt() -> None:
    """The words are the conversation's own, not the log's redacted ones; usage and cost are what they were then."""
    text, receipt = await _replayed({"log": LOG, "message": {"id": "message-1", "content": "Write to ada@example.com"}})
    assert text == Text("Write to ada@example.com")
    assert isinstance(receipt, Receipt)
    assert (receipt.message_id, receipt.cost_usd, receipt.logged) == ("message-1", 0.002, True)
    entry = receipt.result
    assert (entry.route, entry.usage, entry.agent_type) == (NODE, Usage(10, 5, 2, 1), "technical")
    assert (entry.status, entry.finish_reason, entry.duration_ms, entry.ttft_ms) == ("completed", "stop", 900, 100)


async def test_without_a_message_the_log_has_to_do() -> None:
    """A turn that stood in no conversation gives what its row holds."""
    assert (await _replayed({"log": LOG}))[0] == Text("Write to [email]")


@pytest.mark.parametrize(("code", "kind"), [("provider_timeout", ProviderTimeout), ("code_of_long_ago", ProviderError)])
async def test_a_turn_that_broke_off_breaks_off_again(code: str, kind: type[ProviderError]) -> None:
    """The same key gives the same outcome: the text so far, then the error."""
    log = LOG | {"status": "partial", "error_code": code}
    text, failure, receipt = await _replayed({"log": log, "message": {"id": "message-1", "content": "Hel"}})
    assert text == Text("Hel")
    assert isinstance(failure, Failure)
    assert type(failure.error) is kind
    assert isinstance(receipt, Receipt)
    assert (receipt.result.status, receipt.result.error_code) == ("partial", code)


@pytest.mark.parametrize("stored", [{}, {"log": None, "message": None}, {"log": {}, "message": {}}], ids=str)
async def test_a_turn_without_words_has_only_its_receipt(stored: dict[str, Any]) -> None:
    """What was not stored cannot come again, but the caller learns that the turn was booked."""
    (receipt,) = await _replayed(stored)
    assert isinstance(receipt, Receipt)
    assert (receipt.result.route, receipt.result.usage, receipt.logged) == (ROUTE, Usage(0, 0), True)
