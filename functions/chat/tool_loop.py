"""The model calls of one turn: model and tools alternate until the answer is complete or a limit ends it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from functions.chat.agents import AGENTS, Agent, prompt_for
from functions.chat.context import fit
from functions.chat.tools import available_tools, prepare
from functions.chat.tools.calling import MAX_ANSWER_BYTES, Toolbox
from functions.chat.tools.contract import Tool, ToolAnswer, ToolRefusal
from functions.chat.tools.hand_off import NAME as HAND_OFF
from functions.chat.tools.hand_off import HandOff
from functions.chat.ui_parts import call_part, result_part, step_parts
from shared import ledger
from shared.errors import BudgetExceeded
from shared.events import CallPiece, Finish, ModelEvent, NextStep, Refusal, Text, ToolResult
from shared.fallback import MIN_SECONDS
from shared.files import message_with
from shared.gateway import ModelSession
from shared.growing_text import GrowingText
from shared.messages import Message, ProviderPayload, ToolCall
from shared.model_request import Options
from shared.providers.tool_calls import fresh_id
from shared.routes import RouteChosen
from shared.run_turn import RunEvent
from shared.token_bounds import context_window, estimate_prompt, token_upper_bound
from shared.turns import Turn

MAX_TOOL_ROUNDS: Final = 8
MAX_HAND_OFFS: Final = 2


class _Step:
    """One model call: its tool calls, and how it ended."""

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self.reason: str | None = None
        self.native: ProviderPayload | None = None

    @property
    def has_called(self) -> bool:
        return self.reason == "tool_calls" and bool(self.calls)

    def observe(self, event: ModelEvent | RouteChosen, written: GrowingText) -> None:
        match event:
            case Text(text) | Refusal(text):
                written.add(text)
            case ToolCall():
                self.calls.append(event)
            case Finish():
                self.reason, self.native = event.reason, event.native
            case _:
                pass


class ToolLoop:
    """The model calls of one turn. At any moment it has the text, the used tools and the hand-offs so far.

    After eight rounds with tools there is one last model call, which may not call tools. `reason` says why the loop
    ended, None before that: a model's stop reason, or `budget` or `time` when the budget or the time did not allow
    another call. `dropped` is the number of history messages that were removed to make room for results of tools.
    """

    def __init__(
        self, turn: Turn, session: ModelSession, agent: Agent, question: str, temperature: float | None
    ) -> None:
        self.agent = agent
        self.hand_offs: list[dict[str, str]] = []
        self.reason: str | None = None
        self.dropped = 0
        self.toolbox = Toolbox((), 0.0)
        self._turn, self._session, self._temperature = turn, session, temperature
        asked = f"{turn.speaker}: {question}" if turn.speaker else question
        self._history = list(turn.history)
        self._messages = [message_with(turn.files, asked) if turn.files else Message("user", asked)]
        self._ids: set[str] = set()
        self._id_of: dict[str, str] = {}  # of the calls that the model is writing
        self._text = GrowingText()  # of this model call
        self._texts: list[str] = []
        self._parts: list[dict[str, Any]] = []
        self._has_handed_off = False

    @property
    def content(self) -> str:
        """The answer so far: the texts of the model calls as paragraphs."""
        return "\n\n".join(text for text in (*self._texts, self._text.text()) if text)

    @property
    def parts(self) -> tuple[dict[str, Any], ...] | None:
        """The answer as the parts of a UIMessage; None when it has only text."""
        text = self._text.text()
        return (*self._parts, *(step_parts(text) if text else ())) if self._parts else None

    @property
    def agents(self) -> list[str]:
        """The agents that answered, in order."""
        return [*(each["from"] for each in self.hand_offs), self.agent.name]

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """The events of models and tools. Raises what the gateway and `ledger.extend` raise."""
        self.toolbox = self._filled_toolbox()
        for number in range(MAX_TOOL_ROUNDS + 1):
            options = self._options(may_call=number < MAX_TOOL_ROUNDS)
            if number:
                if (reason := await self._refusal(options)) is not None:
                    self.reason = reason
                    return
                yield NextStep()
            step = _Step()
            async with aclosing(self._session.events(self._prompt_messages(), options)) as events:
                async for each in events:
                    event = self._named(each) if isinstance(each, CallPiece | ToolCall) else each
                    step.observe(event, self._text)
                    yield event
            if not step.has_called:
                self.reason = step.reason
                return
            for result in await self._answered(step.calls, step.native):
                yield result

    async def _answered(self, calls: list[ToolCall], native: ProviderPayload | None) -> list[ToolResult]:
        """Runs the tool calls, and adds calls and results to the messages."""
        text, self._text = self._text.text(), GrowingText()
        self._texts.append(text)
        self._parts.extend([*step_parts(text), *map(call_part, calls)])  # for the result, if the client hangs up now
        self._has_handed_off = False
        results = await self.toolbox.results_of(calls, self.agent.tools)
        self._parts[-len(calls) :] = map(result_part, results)
        self._messages.extend([Message("assistant", text, tuple(calls), native), *(each.message() for each in results)])
        return results

    def _filled_toolbox(self) -> Toolbox:
        """The tools of the turn. A result may take a quarter of the context window."""
        route = self._turn.routes[0]
        if route.capabilities.get("supports_tools"):
            prepare(self.agent.tools)
        max_bytes = min(MAX_ANSWER_BYTES, context_window(route.capabilities) * 3 // 4)
        tools = [*available_tools(), Tool(HAND_OFF, HandOff, self._hand_off)]
        return Toolbox(tools, self._session.deadline - MIN_SECONDS, max_bytes)

    def _named(self, call: CallPiece | ToolCall) -> CallPiece | ToolCall:
        """The call, or its piece, with an id that no earlier call has: some hosts repeat ids in every answer."""
        call_id = self._id_of.get(call.id) or (fresh_id() if call.id in self._ids else call.id)
        self._ids.add(call_id)
        if isinstance(call, ToolCall):
            self._id_of.pop(call.id, None)
        else:
            self._id_of[call.id] = call_id
        return call if call_id == call.id else replace(call, id=call_id)

    def _prompt_messages(self) -> tuple[Message, ...]:
        return (*self._prompt(), *self._history, *self._messages)

    def _prompt(self) -> tuple[Message]:
        return (Message("system", prompt_for(self.agent, self._turn.profile, self._turn.speaker)),)

    def _options(self, *, may_call: bool) -> Options:
        return Options(self._temperature, self.toolbox.offered(self.agent.tools), may_call)

    async def _refusal(self, options: Options) -> str | None:
        """Why there is no further call: `time` or `budget`. None when its money is reserved and its messages fit."""
        if not self._session.has_time:
            return "time"
        route = self._session.route
        fixed = estimate_prompt(self._prompt(), options.tools)
        self.dropped += fit(
            self._history, self._messages, context_window(route.capabilities) - route.max_output_tokens - fixed
        )
        try:
            await ledger.extend(self._turn, token_upper_bound(self._prompt_messages(), options.tools))
        except BudgetExceeded:
            return "budget"
        return None

    async def _hand_off(self, asked: HandOff) -> ToolAnswer:
        if self._has_handed_off:
            raise ToolRefusal("hand_off_twice", "You have just handed over.")
        if asked.agent == self.agent.name:
            raise ToolRefusal("hand_off_to_yourself", "You are this agent: answer.")
        if len(self.hand_offs) >= MAX_HAND_OFFS:
            raise ToolRefusal("hand_off_limit", "This turn has changed hands often enough: answer as well as you can.")
        self._has_handed_off = True
        self.hand_offs.append({"from": self.agent.name, "to": asked.agent, "reason": asked.reason})
        self.agent = AGENTS[asked.agent]
        return ToolAnswer({"agent": asked.agent, "instruction": "You are this agent now: continue the answer."})
