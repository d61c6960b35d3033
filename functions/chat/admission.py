"""Admission of a turn: the requests of chat to the ledger."""

from __future__ import annotations

import hashlib
from typing import Final

from starlette.requests import Request

from functions.chat.agents import AGENTS, longest_prompt
from functions.chat.protocols.stateless import StatelessRequest
from functions.chat.request import ChatRequest
from functions.chat.tools import max_tool_tokens
from shared.body import idempotency_key
from shared.errors import ContextExceeded, Unprocessable
from shared.provider_config import deployment
from shared.structured import schema_tool
from shared.token_bounds import MAX_RESERVED_TOKENS, token_upper_bound
from shared.turns import TurnRequest

ENDPOINTS: Final = {"/chat/stream": "chat_stream", "/ai/chat": "ai_chat"}
"""The `endpoint` of a log row by the path of its request; every other path is `chat`."""


def chat_turn(asked: ChatRequest, request: Request) -> TurnRequest:
    """The request to the ledger for a chat turn. Raises InvalidRequest, Unprocessable for a wrong Idempotency-Key."""
    key = idempotency_key(request)
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
        files=asked.files,
    )


def stateless_turn(asked: StatelessRequest, request: Request) -> TurnRequest:
    """The request to the ledger for an answer of a borrowed protocol.

    An Idempotency-Key, which OpenAI's SDKs send with every call, is ignored: there is no stored answer to replay.
    Raises ContextExceeded when the conversation is too long to reserve money for.
    """
    options = asked.options
    prompt = token_upper_bound(asked.conversation) + token_upper_bound((), (schema_tool(options),))
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
