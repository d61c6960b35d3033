"""The whole answer as one JSON object."""

from __future__ import annotations

from typing import Any

from shared.receipts import receipt_json
from shared.records import fields_of
from shared.run_turn import TurnEvent
from shared.turns import Receipt


class TurnJson:
    """Encodes a turn as one JSON object, from its receipt alone."""

    def observe(self, event: TurnEvent) -> None:
        """Keeps nothing."""

    def encode(self, receipt: Receipt) -> dict[str, Any]:
        """The contract's JSON."""
        return whole_answer(receipt)


def whole_answer(receipt: Receipt) -> dict[str, Any]:
    """The JSON of a turn without streaming."""
    result, receipt_object = receipt.result, receipt_json(receipt)
    return {
        "id": result.turn.turn_id,
        "conversation_id": result.turn.conversation_id,
        "message": {"id": receipt.message_id, "role": "assistant", "content": result.content},
        "route": receipt_object["route"],
        "agent": result.agent_type,
        "usage": fields_of(result.usage),
        "cost_usd": receipt.cost_usd,
        "finish_reason": result.finish_reason,
        "tools_used": list(result.tools_used),
        "receipt": receipt_object,
    }
