"""Refusals, failures and hang-ups as OpenAI's own Python SDK shows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fakes.providers import Script, Upstream
from tests.fakes.providers.wire import Tokens
from tests.providers import STREAMING
from tests.stack.conftest import Models
from tests.stack.openai_sdk import Client, sdk_clients
from tests.stack.people import Person, eventually, log_row
from tests.stack.turns import Database, reserved_usd


@pytest.fixture
def client(chat_url: str) -> Iterator[Client]:
    """The SDK of a person, pointed at chat."""
    with sdk_clients(chat_url) as client_of:
        yield client_of


def test_every_refusal_is_the_sdks_own_exception(
    alice: Person, client: Client, able: Models, chat_url: str, db: Database
) -> None:
    """Wrong key, unknown model, nonsense, a model that fails, no requests left, no money left."""
    question: Any = [{"role": "user", "content": "Hi"}]

    def ask(who: openai.OpenAI, **fields: Any) -> Any:
        return who.chat.completions.create(**({"model": "gpt-4o", "messages": question} | fields))

    with (
        openai.OpenAI(base_url=f"{chat_url}/v1", api_key="sk-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        ask(stranger)
    with pytest.raises(openai.NotFoundError) as unknown:
        ask(client(alice), model="no-such-model")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError):
        ask(client(alice), n=2)
    with pytest.raises(openai.BadRequestError):
        ask(client(alice), messages=[{"role": "user", "content": "\0"}])
    with pytest.raises(openai.InternalServerError):
        ask(client(alice), model=able("status-500"))
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, 0)", [alice.id])
    with pytest.raises(openai.APIStatusError) as broke:
        ask(client(alice), model=able("echo"))
    assert (broke.value.status_code, broke.value.code) == (429, "insufficient_quota")
    db.execute("update public.usage_limits set daily_requests = 0 where scope = %s", [alice.id])
    with pytest.raises(openai.RateLimitError) as limited:
        ask(client(alice), model=able("echo"))
    assert limited.value.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("provider", STREAMING)
def test_what_a_provider_takes_for_wrong_is_the_callers_fault(
    alice: Person, client: Client, able: Models, provider: str
) -> None:
    """A rejected request is not retried and is no 5xx, except at nodes, which have one error for every failure."""
    question: Any = [{"role": "user", "content": "Hi"}]
    if provider == "client":
        with pytest.raises(openai.InternalServerError):
            client(alice).chat.completions.create(model=able("status-400", provider), messages=question)
        return
    for streams in (False, True):
        with pytest.raises(openai.BadRequestError) as refused:
            client(alice).chat.completions.create(model=able("status-400", provider), messages=question, stream=streams)
        assert isinstance(refused.value.body, dict)
        assert refused.value.body["metadata"] == {"code": "provider_refused"}
        assert refused.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.InternalServerError) as gone:
        client(alice).chat.completions.create(model=able("status-404", provider), messages=question)
    assert gone.value.status_code == 502


def test_an_answer_that_breaks_off_is_an_exception_in_the_middle(
    alice: Person, client: Client, able: Models, db: Database
) -> None:
    """The client has the text before the exception, and the row is partial."""
    stream = client(alice).chat.completions.create(
        model=able("cut"), messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    words: list[str] = []

    def read() -> None:
        for chunk in stream:
            words.append(chunk.choices[0].delta.content or "")
            turn_ids.add(chunk.id)

    turn_ids: set[str] = set()
    with pytest.raises(openai.APIError) as broken:
        read()
    assert "".join(words) == "one two "
    assert broken.value.code == "answer_cut"
    assert log_row(db, turn_ids.pop().removeprefix("chatcmpl-"))["status"] == "partial"


def test_who_closes_the_stream_stops_the_model(alice: Person, client: Client, able: Models, db: Database) -> None:
    """The turn is booked as cancelled with the text so far, and its reservation is released."""
    question: Any = [{"role": "user", "content": "Hi"}]
    with client(alice).chat.completions.create(model=able("endless"), messages=question, stream=True) as stream:
        first = next(chunk for chunk in stream if chunk.choices[0].delta.content)
    turn_id = first.id.removeprefix("chatcmpl-")
    eventually(lambda: db.execute("select 1 from public.chat_logs where turn_id = %s", [turn_id]).fetchone())
    row = log_row(db, turn_id)
    assert (row["status"], row["response"].split()[0]) == ("cancelled", "on")
    assert reserved_usd(db, alice) == 0


def test_the_reservation_covers_the_whole_conversation(
    alice: Person, client: Client, able: Models, upstream: Upstream, db: Database
) -> None:
    """A long conversation with a short question is refused if the budget does not cover all of it."""
    identifier = able("echo")
    upstream.plays[identifier.rpartition(":")[2]] = (Script(("ok",), tokens=Tokens()),)
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, 0.01)", [alice.id])
    long: list[Any] = [{"role": "user", "content": "x " * 5000}, {"role": "assistant", "content": "Yes"}]
    question: Any = {"role": "user", "content": "Hi"}
    completions = client(alice).chat.completions
    with pytest.raises(openai.APIStatusError) as refused:
        completions.create(model=identifier, messages=[*long, question], max_tokens=10)
    assert refused.value.status_code == 429
    assert completions.create(model=identifier, messages=[question], max_tokens=10).choices[0].message.content == "ok"
