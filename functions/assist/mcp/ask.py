"""The tool `ask`: one turn with a model, admitted, limited, priced and logged as a turn of chat."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from functions.assist.mcp.tool import Caller, McpTool, Output
from shared import ledger
from shared.admission import admit
from shared.errors import ContextExceeded, ParleyError
from shared.events import Finish, Refusal, Text
from shared.gateway import ModelSession
from shared.messages import Message
from shared.model_request import Options
from shared.provider_config import deployment
from shared.receipts import receipt_json
from shared.run_turn import Failure, RunEvent, TurnEnd, run_turn
from shared.sanitize import sanitize_text
from shared.token_bounds import MAX_RESERVED_TOKENS, token_upper_bound
from shared.turns import Receipt, Turn, TurnRequest, TurnResult

ENDPOINT = "mcp.ask"


class Ask(BaseModel):
    """One question."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000_000)] = Field(
        description="The question, with all that the model needs to know."
    )
    model: Annotated[str, StringConstraints(min_length=1, max_length=300)] | None = Field(
        None, description="A model, alias or policy such as `cheap`; without it the user's default."
    )
    conversation: (
        Literal["new"]
        | Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
        | None
    ) = Field(
        None,
        description="The id of a conversation of the user to go on with, or `new` to begin one. Without it the turn is "
        "not stored.",
    )
    max_tokens: int | None = Field(None, ge=1, le=1_000_000, description="The maximum of output tokens.")


class Asked(BaseModel):
    """The answer. `conversation_id` is null when the turn is not stored, `cost_usd` when the price is unknown."""

    answer: str
    model: str
    finish_reason: str | None
    conversation_id: str | None
    turn_id: str
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    budget_remaining_usd: float | None = Field(
        description="What the turn left of the tightest budget, its own highest cost included; null without a budget."
    )


class PromptRun:
    """The turn of one prompt: one model call after the history of the conversation."""

    def __init__(self, turn: Turn, prompt: str, arrived: float) -> None:
        self.turn, self.arrived = turn, arrived
        asked = f"{turn.speaker}: {prompt}" if turn.speaker else prompt
        self._messages = (*turn.history, Message("user", asked))
        self._session = ModelSession(turn.routes, Options(), arrived, functools.partial(ledger.extend, turn))
        self._texts: list[str] = []
        self._reason: str | None = None

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """The events of the model. Raises what the gateway raises."""
        async with aclosing(self._session.events(self._messages)) as events:
            async for event in events:
                if isinstance(event, Text | Refusal):
                    self._texts.append(event.text)
                elif isinstance(event, Finish):
                    self._reason = event.reason
                yield event

    def result(self, end: TurnEnd) -> TurnResult:
        """The answer and its usage until now."""
        session = self._session
        return TurnResult(
            turn=self.turn,
            status=end.status(self._reason),
            route=session.route,
            content="".join(self._texts),
            usage=session.usage,
            duration_ms=end.duration_ms,
            ttft_ms=end.ttft_ms,
            finish_reason=self._reason,
            error_code=end.error_code,
            attempts=tuple(session.attempts),
        )


async def ask(caller: Caller, asked: Ask) -> Output:
    """The answer to a prompt. Raises what `admit` raises, and what the turn ended with."""
    turn = await admit(caller.person, _wish(caller, asked))
    failure: ParleyError | None = None
    receipt: Receipt | None = None
    async with aclosing(run_turn(PromptRun(turn, asked.prompt, caller.arrived))) as events:
        async for event in events:
            if isinstance(event, Failure):
                failure = event.error
            elif isinstance(event, Receipt):
                receipt = event
    if failure is not None:
        raise failure
    assert receipt is not None  # noqa: S101 - run_turn ends with one
    return _output(receipt)


def _wish(caller: Caller, asked: Ask) -> TurnRequest:
    """The request to the ledger. Raises ContextExceeded for a prompt that is too long to reserve money for."""
    bound = token_upper_bound((Message("user", asked.prompt),))
    if bound > MAX_RESERVED_TOKENS:
        raise ContextExceeded(
            "The prompt exceeds the maximum of 1,000,000 reserved tokens.",
            param="prompt",
            metadata={"context_window": MAX_RESERVED_TOKENS},
        )
    return TurnRequest(
        endpoint=ENDPOINT,
        request_id=caller.request_id,
        message=asked.prompt,
        conversation_id=None if asked.conversation == "new" else asked.conversation,
        model=asked.model,
        **deployment(),
        max_tokens=asked.max_tokens,
        prompt_tokens=max(0, bound - len(asked.prompt.encode())),
        store=asked.conversation is not None,
        log_words=True,
        strict_model=asked.model is not None,
    )


def _output(receipt: Receipt) -> Output:
    result, turn = receipt.result, receipt.result.turn
    answer = sanitize_text(result.content)
    value: dict[str, Any] = {
        "answer": answer,
        "model": result.route.identifier,
        "finish_reason": result.finish_reason,
        "conversation_id": turn.conversation_id if turn.is_stored and turn.conversation_id else None,
        "turn_id": turn.turn_id,
        "input_tokens": result.usage.input_tokens,
        "output_tokens": result.usage.output_tokens,
        "cost_usd": receipt.cost_usd,
        "budget_remaining_usd": turn.limits.budget_remaining_usd if turn.limits else None,
    }
    return Output(value, answer, receipt_json(receipt))


ASK = McpTool(
    "ask",
    "Ask a model",
    "Asks a model of this Parley deployment one question. The user pays for it, within their limits and those of this "
    "client. Use it for a second opinion, another model, or work that a cheaper model can do.",
    "chat",
    Ask,
    Asked.model_json_schema,
    ask,
)
