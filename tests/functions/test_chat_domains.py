"""The domain of a question, by rules and by a model."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from functions.chat.domains import Classification, asked_of_model, classified
from shared.errors import OutputInvalid
from shared.gateway import ModelSession
from shared.model_request import Options
from shared.routes import Route
from shared.structured import schema_of
from tests.fakes.openai import OpenAiHost, serving_models, text_chunk


@pytest.mark.parametrize(
    ("question", "domain"),
    [
        ("My FastAPI endpoint answers with a 500 error since I deployed it with docker", "technical"),
        ("TypeError: undefined is not a function in app.tsx", "technical"),
        ("How do I write a function in Python?", "technical"),
        ("```\nfor x in y: pass\n``` why does this SQL script crash", "technical"),
        ("What was the average close price per day of ES last week?", "research"),
        ("Compare vitamin D studies and cite sources", "research"),
        ("What should I cook for dinner?", "general"),
        ("Hello there!", "general"),
        ("Write a poem for my mother's birthday", "general"),
    ],
)
def test_the_rules_are_sure_of_plain_questions(question: str, domain: str) -> None:
    """The rules' domain needs no model to confirm it."""
    found = classified(question)
    assert (found.name, found.is_sure, found.by) == (domain, True, "rules")
    assert classified(question) == found


@pytest.mark.parametrize("question", ["Why?", "Tell me more", "", "Is the market server slow?", "Pourquoi le ciel ?"])
def test_the_rules_say_when_they_are_not_sure(question: str) -> None:
    """Without a hit, or with equal scores, the domain is not sure."""
    assert not classified(question).is_sure


@pytest.mark.anyio
async def test_a_model_may_be_asked(environ: Callable[..., None], sessions: None) -> None:  # noqa: ARG001 - closes them
    """The model's domain has its own confidence; an invalid answer is an error after a second try."""
    async with serving_models() as host:
        environ(OPENAI_BASE_URL=host.url, OPENAI_API_KEY="sk-ours")
        host.pieces = [text_chunk('{"domain": "research", "confidence": 0.9}')]
        found = await asked_of_model(_exchange(), "Tell me more")
        assert (found.name, found.confidence, found.by) == ("research", 0.9, "model")
        await _refused(host, '{"domain": "cooking", "confidence": 0.9}')
        await _refused(host, '{"domain": "research", "confidence": 9}')


async def _refused(host: OpenAiHost, answer: str) -> None:
    host.pieces = [text_chunk(answer)]
    with pytest.raises(OutputInvalid):
        await asked_of_model(_exchange(), "Tell me more")


def _exchange() -> ModelSession:
    route = Route("openai:m", "openai", "m", 100, capabilities={"supports_json": True})
    return ModelSession((route,), Options(output_schema=schema_of(Classification)), time.monotonic())
