"""The whole answer as one JSON object."""

from __future__ import annotations

import json
from dataclasses import replace

from functions.chat.streams.json_answer import whole_answer
from shared.receipts import receipt_json
from tests.functions.turns import ENTRY, RECEIPT


def test_a_whole_answer_reads_as_the_contract_says() -> None:
    """The object has message, route, agent, usage, cost and receipt, and no other fields."""
    answer = whole_answer(RECEIPT)
    received = receipt_json(RECEIPT)
    assert answer == {
        "id": "turn-1",
        "conversation_id": "conversation-1",
        "message": {"id": "message-1", "role": "assistant", "content": "Hello"},
        "route": received["route"],
        "agent": "general",
        "usage": received["usage"],
        "cost_usd": 0.002,
        "finish_reason": "stop",
        "tools_used": [],
        "receipt": received,
    }
    assert json.loads(json.dumps(answer)) == answer


def test_an_unknown_cost_is_null() -> None:
    """A model without a price has a null cost, never zero."""
    assert whole_answer(replace(RECEIPT, cost_usd=None, result=replace(ENTRY, finish_reason=None)))["cost_usd"] is None
