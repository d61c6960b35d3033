"""The tries of a structured answer: what each one costs, and when there is none."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from shared.errors import AnswerCut, BudgetExceeded, OutputInvalid
from shared.events import NextStep, Text
from shared.gateway import BeforeRetry
from shared.messages import Message
from shared.model_request import Options
from shared.routes import Route
from shared.sse import frame
from shared.structured import StructuredAnswer, schema_of
from tests.fakes.openai import OpenAiHost, chunk

pytestmark = pytest.mark.anyio
_QUESTION = (Message("user", "What is the answer?"),)
_GOOD = '{"answer": "a", "score": 1}'


class Verdict(BaseModel):
    """What the model has to give."""

    model_config = ConfigDict(extra="ignore")

    answer: str
    score: int


class Reserve:
    """Keeps the reserved tokens; refuses when there is no money."""

    def __init__(self, *, has_money: bool = True) -> None:
        self.tokens: list[int] = []
        self._has_money = has_money

    async def __call__(self, tokens: int) -> None:
        if not self._has_money:
            raise BudgetExceeded("There is no money left.")
        self.tokens.append(tokens)


def _answer(reserve: BeforeRetry, *, halves: bool = True, **able: bool) -> StructuredAnswer[Verdict]:
    route = Route("openai:m", "openai", "m", 1000, capabilities={"supports_json": True} | able)
    options = Options(output_schema=schema_of(Verdict), has_schema_tool=True)
    return StructuredAnswer(Verdict, (route,), options, time.monotonic(), reserve, halves_first=halves)


async def _run(answer: StructuredAnswer[Verdict]) -> list[Any]:
    async with asyncio.timeout(10):
        return [event async for event in answer.events(_QUESTION)]


def _says(text: str, reason: str = "stop") -> tuple[int, list[bytes]]:
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return 200, [frame(chunk({"content": text})), frame(chunk({}, reason) | {"usage": usage})]


async def test_a_repair_reserves_its_own_call(host: OpenAiHost) -> None:
    """Each further call of a charged turn reserves its prompt; the events of two tries have NextStep between them."""
    host.script = [_says("No."), _says(_GOOD)]
    reserve = Reserve()
    answer = _answer(reserve)
    events = await _run(answer)
    assert (answer.value, answer.reason) == (Verdict(answer="a", score=1), "stop")
    assert [type(event) for event in events if isinstance(event, Text | NextStep)] == [Text, NextStep, Text]
    assert len(reserve.tokens) == 1
    assert len(answer.attempts) == 2


async def test_without_money_there_is_no_repair(host: OpenAiHost) -> None:
    """The error is that of the budget, and the first call stays counted."""
    host.script = [_says("No."), _says(_GOOD)]
    answer = _answer(Reserve(has_money=False))
    with pytest.raises(BudgetExceeded):
        await _run(answer)
    assert len(answer.attempts) == 1


async def test_a_cut_answer_gets_one_try_with_all_tokens(host: OpenAiHost) -> None:
    """The first call may use half of the tokens, the second all; a limit of the client is never exceeded."""
    host.script = [_says('{"ans', reason="length"), _says(_GOOD)]
    answer = _answer(Reserve())
    await _run(answer)
    assert [each.json()["max_completion_tokens"] for each in host.received] == [500, 1000]
    assert answer.route.max_output_tokens == 1000
    host.script = [_says('{"ans', reason="length"), _says(_GOOD)]
    with pytest.raises(AnswerCut):
        await _run(_answer(Reserve(), halves=False))


async def test_the_last_valid_object_is_the_answer(host: OpenAiHost) -> None:
    """Drafts, braces in prose and objects that do not fit are passed over."""
    host.script = [_says(f'{{one}} {{"answer": "draft"}} then {_GOOD} or {{"x": 1}}')]
    answer = _answer(Reserve())
    await _run(answer)
    assert answer.value == Verdict(answer="a", score=1)
    assert len(answer.attempts) == 1


async def test_there_is_one_try_of_each_kind(host: OpenAiHost) -> None:
    """A cut answer, then two that do not fit: three calls, and the error of the schema."""
    host.script = [_says("{", reason="length"), _says("No."), _says("No."), _says(_GOOD)]
    answer = _answer(Reserve())
    with pytest.raises(OutputInvalid):
        await _run(answer)
    assert len(answer.attempts) == 3
    assert answer.value is None
