"""A turn, its request and its result, as tests of the ledger use them."""

from __future__ import annotations

from typing import Any

from shared.auth import Person
from shared.events import Usage
from shared.routes import Attempt, Route
from shared.turns import Turn, TurnRequest, TurnResult

ROUTE = Route("openai:gpt-4o", "openai", "gpt-4o", 1000, pricing={"input": 1})
TURN = Turn("turn-1", "request-1", "worker-1", "conversation-1", (ROUTE,), "asked")
ENTRY = TurnResult(
    TURN,
    "completed",
    ROUTE,
    "Write to ada@example.com",
    Usage(10, 5, 2, 1),
    duration_ms=900,
    ttft_ms=100,
    finish_reason="stop",
    attempts=(Attempt("openai:gpt-4o", "openai", ok=True, ms=800),),
    agent_type="general",
)
PERSON = Person("11111111-2222-4333-8444-555555555555", "t0ken", is_anonymous=False, is_admin=False)
ASK = TurnRequest("chat", "request-1", "I am ada@example.com", metadata={"from": "ada@example.com", "n": 1})
PLANTED = (
    "ada@example.com",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "+49 170 1234567",
    "sk-proj-" + "a1" * 20,
    "hf_" + "A1b2" * 9,
)
HARMLESS = ("$4,111.50", "ESZ6", "2026-11-21", "14:30", "gpt-4o", "claude-3-7-sonnet-20250219")
BEGIN, FINISH = "/rest/v1/rpc/chat_begin", "/rest/v1/rpc/chat_finish"
ADMITTED: dict[str, Any] = {
    "outcome": "admitted",
    "turn_id": "turn-1",
    "conversation_id": "conversation-1",
    "reason": "asked",
    "routes": [
        {
            "identifier": "client:7:llama",
            "provider": "client",
            "upstream_id": "llama",
            "max_output_tokens": 500,
            "node_id": 7,
            "base_url": "https://node.example/v1",
            "pricing": None,
            "capabilities": {},
            "something_new": True,
        }
    ],
    "history": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
    "limits": {
        "requests_limit": 50,
        "requests_remaining": 49,
        "requests_reset_at": "2026-11-22T00:00:00+00:00",
        "budget_remaining_usd": 0.5,
    },
    "input_tokens_estimate": 12,
    "reserve_usd": 0.001,
    "least_usd": 0.0001,
}
