"""Structured answers of every provider."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from shared.errors import OutputInvalid
from shared.gateway import ModelSession
from shared.messages import Message
from shared.model_request import Options
from shared.routes import Route
from shared.structured import ask_for, schema_of
from tests.fakes.openai import OpenAiHost, text_chunk
from tests.fakes.providers import Upstream
from tests.providers import PROVIDERS, STREAMING, route_to, variables

pytestmark = pytest.mark.anyio
QUESTION = (Message("user", "What is the answer?"),)


class Verdict(BaseModel):
    """What the scripted upstream answers with."""

    model_config = ConfigDict(extra="forbid")

    answer: str
    score: int


@pytest.fixture
def configured(environ: Callable[..., None], upstream: Upstream, sessions: None) -> None:  # noqa: ARG001 - order
    """Every provider is the scripted upstream."""
    environ(**variables(upstream))


def _session(route: Route) -> ModelSession:
    return ModelSession((route,), Options(output_schema=schema_of(Verdict)), time.monotonic())


async def _asked(session: ModelSession) -> Verdict:
    async with asyncio.timeout(10):
        return await ask_for(Verdict, session, QUESTION)


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("name", PROVIDERS)
async def test_every_provider_answers_with_a_value(name: str, upstream: Upstream) -> None:
    """A provider gets the schema in its own field; MatchAI gets it as text."""
    session = _session(route_to(name, "json", upstream))
    assert await _asked(session) == Verdict(answer="forty-two", score=3)
    assert len(session.attempts) == 1
    asked = upstream.received[-1].asked
    assert asked is not None
    assert asked.wants_schema is (name != "matcha")
    if name == "matcha":
        assert '"score"' in upstream.received[-1].body["input"]


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("name", STREAMING)
async def test_an_answer_that_does_not_fit_is_repaired_once(name: str, upstream: Upstream) -> None:
    """The model gets its answer and the error; the usage of both calls is counted."""
    session = _session(route_to(name, "json-bad-once", upstream))
    assert await _asked(session) == Verdict(answer="forty-two", score=3)
    assert len(session.attempts) == 2
    assert session.usage.output_tokens == sum(a.usage.output_tokens for a in session.attempts if a.usage)


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("name", STREAMING)
async def test_an_answer_that_never_fits_is_a_clear_error(name: str, upstream: Upstream) -> None:
    """There is one repair only; the error has no text of the model, and the session has its usage."""
    session = _session(route_to(name, "json-bad", upstream))
    with pytest.raises(OutputInvalid) as caught:
        await _asked(session)
    assert "rather" not in caught.value.message
    assert len(session.attempts) == 2
    assert session.usage.output_tokens > 0


@pytest.mark.parametrize(
    "answer",
    ['{"answer": "a", "score": 1}', '```json\n{"answer": "a", "score": 1}\n```', '\n {"answer": "a", "score": 1} \n'],
)
async def test_json_in_a_fence_is_still_json(host: OpenAiHost, answer: str) -> None:
    """The JSON of an answer is found inside a fence or prose."""
    host.pieces = [text_chunk(answer)]
    assert (await _asked(_session(Route("openai:m", "openai", "m", 50)))).score == 1


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ('{"answer": "a"}', "score: Field required"),
        ('{"answer": "a", "score": "many"}', "score: "),
        ('{"answer": "a", "score": 1, "more": 2}', "more: "),
        ("no json", "answer: Invalid JSON"),
    ],
)
async def test_the_model_gets_the_fault_and_its_place(host: OpenAiHost, answer: str, complaint: str) -> None:
    """The second prompt has the first answer, the place of the error and the reason."""
    host.script = [(200, [text_chunk(answer)]), (200, [text_chunk('{"answer": "a", "score": 1}')])]
    await _asked(_session(Route("openai:m", "openai", "m", 50)))
    messages: list[dict[str, Any]] = host.received[1].json()["messages"]
    assert messages[-2] == {"role": "assistant", "content": answer}
    assert complaint in messages[-1]["content"]
