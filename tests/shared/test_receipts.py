"""The receipt of a turn as JSON."""

from __future__ import annotations

from dataclasses import replace

from shared.receipts import receipt_json
from shared.turns import Receipt
from tests.shared.ledger_values import ENTRY, ROUTE, TURN


def test_a_receipt_reads_as_the_contract_says() -> None:
    """Route, usage, cost, timings and whether it was logged; the other routes are its fallbacks."""
    other = replace(ROUTE, identifier="huggingface:m")
    entry = replace(
        ENTRY,
        turn=replace(TURN, routes=(ROUTE, other)),
        agents=("general", "technical"),
        tools_used=({"name": "analyze_data", "ms": 12, "ok": True},),
    )
    assert receipt_json(Receipt(entry, 0.002, logged=True)) == {
        "turn_id": "turn-1",
        "request_id": "request-1",
        "conversation_id": "conversation-1",
        "route": {
            "identifier": "openai:gpt-4o",
            "provider": "openai",
            "model": "gpt-4o",
            "node_id": None,
            "label": None,
            "reason": "asked",
            "fallbacks": ["huggingface:m"],
        },
        "agents": ["general", "technical"],
        "tools_used": [{"name": "analyze_data", "ms": 12, "ok": True}],
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "cached_tokens": 2,
            "reasoning_tokens": 1,
            "source": "provider",
            "cache_write_tokens": 0,
        },
        "cost_usd": 0.002,
        "duration_ms": 900,
        "ttft_ms": 100,
        "logged": True,
    }
