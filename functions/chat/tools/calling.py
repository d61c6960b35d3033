"""Runs tool calls concurrently, each with a time limit. The model gets every failure as a result."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import anyio
from pydantic import ValidationError

from functions.chat.tools.contract import Tool, ToolAnswer, ToolRefusal
from shared.events import ToolResult
from shared.log import log
from shared.messages import Tool as OfferedTool
from shared.messages import ToolCall
from shared.tracing import current as current_trace
from shared.validation import describe

MAX_CALLS: Final = 8  # of one model call; the model can call more after these results
TOOL_SECONDS: Final = 30.0
MAX_ANSWER_BYTES: Final = 64 * 1024  # the user pays for it with every later call of the turn
_MAX_ERRORS = 5
# Errors after which the same call may succeed.
_PASSING = {"tool_timeout", "tool_failed", "data_unavailable"}


class Toolbox:
    """The tools of one turn, and the record of their calls.

    No call runs beyond `deadline` (by time.monotonic()), and no result is longer than `max_bytes`.
    """

    def __init__(
        self, tools: Iterable[Tool[Any]], deadline: float = math.inf, max_bytes: int = MAX_ANSWER_BYTES
    ) -> None:
        self.used: list[dict[str, Any]] = []
        self._deadline, self._max_bytes = deadline, max_bytes
        self._turns = asyncio.Semaphore(1)
        self._tools = {tool.name: tool for tool in tools}
        self._asked: set[tuple[str, str]] = set()

    def offered(self, names: Iterable[str]) -> tuple[OfferedTool, ...]:
        """The definitions of the available tools among `names`."""
        return tuple(self._tools[name].offered() for name in names if name in self._tools)

    async def results_of(self, calls: Sequence[ToolCall], names: Iterable[str]) -> list[ToolResult]:
        """The results in the order of the calls; only tools in `names` may be called."""
        allowed = [name for name in names if name in self._tools]
        results: dict[int, ToolResult] = {}

        async def take(place: int, call: ToolCall) -> None:
            started = time.monotonic()
            try:
                answer = await self._answer_of(call, place, allowed)
            except ToolRefusal as refusal:
                results[place] = ToolResult(call, {"error": refusal.code, "hint": refusal.hint}, is_error=True)
                self._note(call, started, ok=False, error=refusal.code)
            except BaseException:  # the turn was cancelled
                self._note(call, started, ok=False, error="cancelled")
                raise
            else:
                results[place] = ToolResult(call, answer.content)
                self._note(call, started, ok=True, **({} if answer.rows is None else {"rows": answer.rows}))

        async with anyio.create_task_group() as tasks:
            for place, call in enumerate(calls):
                tasks.start_soon(take, place, call)
        return [result for _, result in sorted(results.items())]

    async def _answer_of(self, call: ToolCall, place: int, allowed: list[str]) -> ToolAnswer:
        """The tool's result. Raises ToolRefusal for every failure."""
        if place >= MAX_CALLS:
            raise ToolRefusal("too_many_calls", f"At most {MAX_CALLS} calls at once; this one was not made.")
        if call.name not in allowed:
            raise ToolRefusal("unknown_tool", f"There is no tool of this name. There are: {', '.join(allowed)}.")
        if call.broken is not None:
            raise ToolRefusal("invalid_arguments", "The arguments were no JSON object.")
        asked = (call.name, json.dumps(dict(call.arguments), sort_keys=True))
        if asked in self._asked:
            raise ToolRefusal("repeated_call", "You have made this very call before: use its answer, or ask otherwise.")
        self._asked.add(asked)
        try:
            answer = await self._run(self._tools[call.name], dict(call.arguments))
        except ToolRefusal as refusal:
            if refusal.code in _PASSING:
                self._asked.discard(asked)
            raise
        if len(json.dumps(answer.content, default=str)) > self._max_bytes:
            raise ToolRefusal("result_too_large", "The result is too large: ask for less at once.")
        return answer

    async def _run(self, tool: Tool[Any], written: dict[str, Any]) -> ToolAnswer:
        try:
            arguments = tool.arguments.model_validate(written)
        except ValidationError as error:
            raise ToolRefusal("invalid_arguments", "; ".join(describe(error, "arguments", _MAX_ERRORS))) from error
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                if not tool.takes_turns:
                    return await self._in_time(tool, arguments)
                async with self._turns:  # the time limit of a call starts when the call before it has ended
                    return await self._in_time(tool, arguments)
        except TimeoutError as error:
            hint = "It took too long, or others kept it busy: ask for less at once, or once more."
            raise ToolRefusal("tool_timeout", hint) from error
        except ToolRefusal:
            raise
        except Exception as error:
            log("crash", tool=tool.name, error=type(error).__name__)
            raise ToolRefusal("tool_failed", "The tool is broken. Go on without it.") from error

    async def _in_time(self, tool: Tool[Any], arguments: Any) -> ToolAnswer:
        async with asyncio.timeout(TOOL_SECONDS):
            return await tool.run(arguments)

    def _note(self, call: ToolCall, started: float, *, ok: bool, **more: Any) -> None:
        name = call.name if call.name in self._tools else "unknown"  # an invented name may contain any text
        self.used.append({"name": name, "ms": round((time.monotonic() - started) * 1000), "ok": ok, **more})
        if (trace := current_trace()) is not None:
            trace.add_tool(self.used[-1], started)
