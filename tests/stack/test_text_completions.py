"""OpenAI's old completions through its Python SDK, which llama-index and older tools use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fakes.providers import Upstream
from tests.stack.conftest import Models
from tests.stack.openai_sdk import Client, last_request, sdk_clients
from tests.stack.people import Person, log_row
from tests.stack.turns import Database


@pytest.fixture
def client(chat_url: str) -> Iterator[Client]:
    """The SDK of a person, pointed at chat."""
    with sdk_clients(chat_url) as client_of:
        yield client_of


def test_a_prompt_is_answered_and_logged(
    alice: Person, client: Client, able: Models, upstream: Upstream, db: Database
) -> None:
    """The prompt is the user's only message; the row has the tokens and the cost of the answer."""
    identifier = able("echo")
    answer = client(alice).completions.create(model=identifier, prompt="Once upon", stop=["END"], temperature=0.1)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("Once upon ", "stop")
    sent = last_request(upstream, identifier)
    assert (sent["messages"], sent["stop"]) == ([{"role": "user", "content": "Once upon"}], ["END"])
    row = log_row(db, answer.id.removeprefix("cmpl-"))
    assert (row["endpoint"], row["status"], row["question"]) == ("completions", "completed", "Once upon")
    usage: Any = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (row["input_tokens"], row["output_tokens"])
    assert float(row["cost_usd"]) == usage.cost


def test_a_stream_comes_in_pieces_with_its_usage(alice: Person, client: Client, able: Models) -> None:
    """Reasoning is left out; the last chunk has the usage when it is asked for."""
    stream = client(alice).completions.create(
        model=able("think"), prompt=["Hi"], stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "one two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None


@pytest.mark.parametrize(
    "fields",
    [{"prompt": ["a", "b"]}, {"prompt": [1, 2]}, {"prompt": " "}, {"n": 2}, {"logprobs": 1}, {"echo": True}],
    ids=str,
)
def test_what_cannot_be_done_is_refused(alice: Person, client: Client, fields: dict[str, Any]) -> None:
    """The SDK raises its exception for a wrong request."""
    create: Any = client(alice).completions.create
    with pytest.raises(openai.BadRequestError):
        create(**({"model": "x", "prompt": "Hi"} | fields))


def test_a_stream_that_breaks_off_raises(alice: Person, client: Client, able: Models) -> None:
    """After the text so far."""
    stream = client(alice).completions.create(model=able("cut"), prompt="x", stream=True)
    texts: list[str] = []
    with pytest.raises(openai.APIError):
        texts.extend(chunk.choices[0].text for chunk in stream)
    assert "".join(texts) == "one two "
