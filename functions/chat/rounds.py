"""The model calls of one turn: the model speaks, its tools answer, until it has said all or may not go on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from functions.chat.agents import AGENTS, Agent, prompt_for
from functions.chat.tools import available_tools, prepare
from functions.chat.tools.calling import Toolbox, ToolResult
from functions.chat.tools.contract import Tool, ToolAnswer, ToolRefusal, offer
from functions.chat.tools.hand_off import NAME as HAND_OFF
from functions.chat.tools.hand_off import HandOff
from shared import ledger
from shared.errors import BudgetExceeded
from shared.events import Finish, Message, ModelEvent, Native, Serving, Text, ToolCall
from shared.gateway import Exchange, Options
from shared.ledger import Turn
from shared.meter import most_tokens

MOST_ROUNDS: Final = 8
MOST_HAND_OFFS: Final = 2


@dataclass(frozen=True, slots=True)
class NextStep:
    """The model is asked again, with what its tools answered."""


RoundEvent = ModelEvent | Serving | ToolResult | NextStep


class _Step:
    """One model call as it goes: what it called, and how it ended."""

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self.reason: str | None = None
        self.native: Native | None = None

    @property
    def has_called(self) -> bool:
        return self.reason == "tool_calls" and bool(self.calls)

    def see(self, event: ModelEvent | Serving, words: list[str]) -> None:
        match event:
            case Text(text):
                words.append(text)
            case ToolCall():
                self.calls.append(event)
            case Finish():
                self.reason, self.native = event.reason, event.native
            case _:
                pass


class Rounds:
    """One turn's calls, and at any moment what was said, used and handed over.

    After eight rounds of tools the model is asked once more and may not call any. `reason` is why it ended, None until
    then: a model's stop reason, or `budget` when no money was left for another call.
    """

    def __init__(self, turn: Turn, exchange: Exchange, question: str, temperature: float | None) -> None:
        self.agent: Agent = AGENTS["general"]
        self.hand_offs: list[dict[str, str]] = []
        self.reason: str | None = None
        self.toolbox = Toolbox([*available_tools(), Tool(HAND_OFF, HandOff, self._hand_off)])
        self._turn, self._exchange, self._temperature = turn, exchange, temperature
        asked = f"{turn.speaker}: {question}" if turn.speaker else question
        self._messages = [*turn.history, Message("user", asked)]
        self._words: list[str] = []
        self._texts: list[str] = []
        self._parts: list[dict[str, Any]] = []
        self._has_handed_off = False

    @property
    def content(self) -> str:
        """The answer so far, the texts of its rounds as paragraphs."""
        return "\n\n".join(text for text in (*self._texts, "".join(self._words)) if text)

    @property
    def parts(self) -> tuple[dict[str, Any], ...] | None:
        """The answer as the parts of a UIMessage; None when its text is all there is."""
        return (*self._parts, *_step("".join(self._words))) if self._parts else None

    @property
    def agents(self) -> list[str]:
        """Who has spoken, in order."""
        return [*(each["from"] for each in self.hand_offs), self.agent.name]

    async def events(self) -> AsyncGenerator[RoundEvent, None]:
        """All that the models and tools say. Raises what the gateway raises, and what `ledger.extend` does."""
        if self._turn.routes[0].capabilities.get("supports_tools"):
            prepare(self.agent.tools)
        for number in range(MOST_ROUNDS + 1):
            options = self._options(may_call=number < MOST_ROUNDS)
            if number and not await self._is_covered(options):
                self.reason = "budget"
                return
            if number:
                yield NextStep()
            self._exchange.options = options
            step = _Step()
            async with aclosing(self._exchange.events(self._asked())) as events:
                async for event in events:
                    step.see(event, self._words)
                    yield event
            if not step.has_called:
                self.reason = step.reason
                return
            for result in await self._answered(step.calls, step.native):
                yield result

    async def _answered(self, calls: list[ToolCall], native: Native | None) -> list[ToolResult]:
        """Runs what the model called, and adds both to the conversation."""
        text, self._words = "".join(self._words), []
        self._texts.append(text)
        self._parts.extend(_step(text))
        self._has_handed_off = False
        results = await self.toolbox.results_of(calls, self.agent.tools)
        self._messages.append(Message("assistant", text, tuple(calls), native))
        for result in results:
            self._messages.append(result.message())
            self._parts.append(_part(result))
        return results

    def _asked(self) -> tuple[Message, ...]:
        return (Message("system", prompt_for(self.agent, self._turn.profile, self._turn.speaker)), *self._messages)

    def _options(self, *, may_call: bool) -> Options:
        return Options(self._temperature, self.toolbox.offered(self.agent.tools), may_call)

    async def _is_covered(self, options: Options) -> bool:
        """Whether another call's money is held now."""
        try:
            await ledger.extend(self._turn, most_tokens(self._asked(), options.tools))
        except BudgetExceeded:
            return False
        return True

    async def _hand_off(self, asked: HandOff) -> ToolAnswer:
        if self._has_handed_off:
            raise ToolRefusal("hand_off_twice", "You have just handed over.")
        if asked.agent == self.agent.name:
            raise ToolRefusal("hand_off_to_yourself", "You are this agent: answer.")
        if len(self.hand_offs) >= MOST_HAND_OFFS:
            raise ToolRefusal("hand_off_limit", "This turn has changed hands often enough: answer as well as you can.")
        self._has_handed_off = True
        self.hand_offs.append({"from": self.agent.name, "to": asked.agent, "reason": asked.reason})
        self.agent = AGENTS[asked.agent]
        return ToolAnswer({"agent": asked.agent, "told": "You are this agent now: go on with the answer."})


def _step(text: str) -> list[dict[str, Any]]:
    return [{"type": "step-start"}, *([{"type": "text", "text": text}] if text else [])]


def _part(result: ToolResult) -> dict[str, Any]:
    """A tool's part of a UIMessage, as the AI SDK keeps it."""
    call = {"type": f"tool-{result.call.name}", "toolCallId": result.call.id, "input": dict(result.call.arguments)}
    if result.is_error:
        return call | {"state": "output-error", "errorText": str(result.content["hint"])}
    return call | {"state": "output-available", "output": dict(result.content)}


def most_tool_tokens() -> int:
    """What being told of tools can take in at most, whoever speaks."""
    return most_tokens((), [*(tool.offered() for tool in available_tools()), offer(HAND_OFF, HandOff)])
