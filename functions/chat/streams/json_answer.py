"""The whole answer as one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from shared.receipts import receipt_json
from shared.run_turn import TurnEvent
from shared.turns import Receipt


class TurnJson:
    """The answer is in the receipt; there is nothing to keep on the way."""

    def observe(self, event: TurnEvent) -> None:
        """Keeps nothing."""

    def encode(self, receipt: Receipt) -> dict[str, Any]:
        """The contract's JSON."""
        return whole_answer(receipt)


def whole_answer(receipt: Receipt) -> dict[str, Any]:
    """The JSON of a turn that was asked for without streaming."""
    entry, told = receipt.result, receipt_json(receipt)
    return {
        "id": entry.turn.turn_id,
        "conversation_id": entry.turn.conversation_id,
        "message": {"id": receipt.message_id, "role": "assistant", "content": entry.content},
        "route": told["route"],
        "agent": entry.agent_type,
        "usage": asdict(entry.usage),
        "cost_usd": receipt.cost_usd,
        "finish_reason": entry.finish_reason,
        "tools_used": list(entry.tools_used),
        "receipt": told,
    }
