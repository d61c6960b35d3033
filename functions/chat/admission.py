"""Admission of a turn: the request to the ledger, and the response to a dry run."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Final

from starlette.requests import Request

from functions.chat.agents import AGENTS, longest_prompt
from functions.chat.protocols.stateless import StatelessRequest
from functions.chat.request import ChatRequest
from functions.chat.tools import max_tool_tokens
from shared import ledger
from shared.auth import Person
from shared.errors import BudgetExceeded, ContextExceeded, InvalidRequest, QuotaExceeded, TurnInProgress, Unprocessable
from shared.gateway import Options
from shared.identifiers import is_idempotency_key
from shared.limit_headers import refusal_with_limits
from shared.messages import Tool
from shared.provider_config import deployment
from shared.routes import Route
from shared.token_bounds import MAX_RESERVED_TOKENS, token_upper_bound
from shared.turns import Quote, Turn, TurnRequest

ENDPOINTS: Final = {"/chat/stream": "chat_stream", "/ai/chat": "ai_chat"}
"""The `endpoint` of a log row by the path of its request; every other path is `chat`."""


_PAUSES: Final = (0.15, 0.3, 0.5)  # seconds


async def admit(person: Person, turn_request: TurnRequest) -> Turn:
    """The admitted turn, after the end of the user's own turn before it if that ends within a second.

    Raises what `ledger.begin` raises; QuotaExceeded and BudgetExceeded have limit headers.
    """
    pauses = iter(_PAUSES)
    while True:
        try:
            return await ledger.begin(person, turn_request)
        except (QuotaExceeded, BudgetExceeded) as refusal:
            raise refusal_with_limits(refusal) from None
        except TurnInProgress as running:  # a client that stops an answer may send the next question before its end
            pause = next(pauses, None) if running.metadata.get("yours") else None
            if pause is None:
                raise
            await asyncio.sleep(pause)


def chat_turn(asked: ChatRequest, request: Request) -> TurnRequest:
    """The request to the ledger for a chat turn. Raises InvalidRequest, Unprocessable for a wrong Idempotency-Key."""
    key = _idempotency_key(request)
    if key is not None and not asked.store:
        raise Unprocessable("An Idempotency-Key needs a stored answer: leave out store or the key.", param="store")
    return TurnRequest(
        endpoint=ENDPOINTS.get(request.scope["path"].rstrip("/"), "chat"),
        request_id=request.state.request_id,
        message=asked.question,
        conversation_id=asked.conversation_id,
        client_id=asked.id,
        channel_id=asked.channel_id,
        thread_ts=asked.thread_ts,
        model=asked.model,
        agent=asked.likely_agent,
        asked_agent=asked.agent,
        agent_models={name: agent.models for name, agent in AGENTS.items() if agent.models},
        **deployment(),
        max_tokens=asked.max_tokens,
        prompt_tokens=longest_prompt(),
        tool_tokens=max_tool_tokens(),
        idempotency_key=key,
        body_hash=hashlib.sha256(request.state.body).hexdigest() if key else None,
        store=asked.store,
        strict_model=asked.strict_model,
        dry_run=asked.dry_run,
        question_id=asked.question_id,
        message_id=None if asked.messageId is None else str(asked.messageId),
        regenerate=asked.trigger == "regenerate-message",
        metadata=asked.metadata or {},
        resumable=asked.resumable,
    )


def stateless_turn(asked: StatelessRequest, request: Request) -> TurnRequest:
    """The request to the ledger for an answer of a borrowed protocol.

    An Idempotency-Key, which OpenAI's SDKs send with every call, is ignored: there is no stored answer to replay.
    Raises ContextExceeded when the conversation is too long to reserve money for.
    """
    options = asked.options
    prompt = token_upper_bound(asked.conversation) + token_upper_bound((), (_schema_as_tool(options),))
    tools = token_upper_bound((), options.tools)
    if max(prompt, tools) > MAX_RESERVED_TOKENS:
        raise ContextExceeded(
            "The request exceeds the maximum of 1,000,000 reserved tokens.",
            param="messages",
            metadata={"context_window": MAX_RESERVED_TOKENS},
        )
    return TurnRequest(
        endpoint=asked.endpoint,
        request_id=request.state.request_id,
        message=asked.question,
        model=asked.model,
        needs=asked.needs,
        **deployment(),
        max_tokens=asked.max_tokens,
        prompt_tokens=max(0, prompt - len(asked.question.encode())),
        tool_tokens=tools,
        conversation_id=asked.conversation_id,
        channel_id=asked.channel,
        store=asked.is_stored,
        log_words=asked.log_words,
        strict_model=True,
        metadata=asked.metadata,
    )


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not is_idempotency_key(key):
        raise InvalidRequest("Idempotency-Key takes 1 to 255 printable ASCII characters.", param="Idempotency-Key")
    return key


def _schema_as_tool(options: Options) -> Tool:
    """A tool that takes as many tokens as the output schema with its instruction."""
    instruction = "Answer with JSON only, without any other text. It must fit this JSON Schema:"
    text = f"{options.output_format.name} {options.output_format.description or ''} {instruction}"
    return Tool("schema", text, options.output_schema or {})


def dry_run_json(turn: Turn) -> dict[str, Any]:
    """The route with its fallbacks, the estimated tokens, the range of the cost, and what is left of the limits."""
    routes = [
        {"identifier": r.identifier, "provider": r.provider, "model": r.upstream_id, "node_id": r.node_id}
        for r in turn.routes
    ]
    limits = turn.limits
    return {
        "route": routes[0] | {"reason": turn.reason, "fallbacks": [r["identifier"] for r in routes[1:]]},
        "estimate": _estimate_json(turn.quote, turn.routes[0]) if turn.quote else None,
        "limits": {
            "requests_remaining": limits.requests_remaining,
            "requests_reset_at": limits.requests_reset_at,
            "budget_remaining_usd": limits.budget_remaining_usd,
        }
        if limits
        else None,
    }


def _estimate_json(quote: Quote, route: Route) -> dict[str, Any]:
    """The estimated tokens, and the range of the cost; null when the route has no known price."""
    cost = {"least": quote.least_usd, "most": quote.reserve_usd} if route.pricing else None
    return {"input_tokens": quote.input_tokens, "max_output_tokens": route.max_output_tokens, "cost_usd": cost}
