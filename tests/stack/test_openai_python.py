"""OpenAI's own Python SDK against the running stack: questions, streams, images and model lists."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fakes.providers import HALVES_SANITISED, HOSTILE_SANITISED, Upstream
from tests.stack.conftest import Models
from tests.stack.openai_sdk import WEATHER, Client, Verdict, last_request, sdk_clients
from tests.stack.people import Person, log_row
from tests.stack.turns import Database, reserved_usd


@pytest.fixture
def client(chat_url: str) -> Iterator[Client]:
    """The SDK of a person, pointed at chat."""
    with sdk_clients(chat_url) as client_of:
        yield client_of


def _png() -> str:
    """One red pixel."""

    def block(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    body = block(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)) + block(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + body + block(b"IEND", b"")).decode()


def test_a_completion_is_answered_logged_and_stored_nowhere_else(
    alice: Person, client: Client, able: Models, upstream: Upstream, db: Database
) -> None:
    """The model gets the conversation as it is; the log row has redacted text and the exact cost; no message is new."""
    identifier = able("echo")
    answer = client(alice).chat.completions.create(
        model=identifier,
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": [{"type": "text", "text": "mail ada@example.com"}]},
        ],
        max_completion_tokens=50,
        temperature=0.5,
        stop=["END"],
        user="somebody",
    )
    assert answer.choices[0].message.content == "mail ada@example.com "
    assert (answer.choices[0].finish_reason, answer.model, answer.object) == ("stop", identifier, "chat.completion")
    sent = last_request(upstream, identifier)
    assert [m["role"] for m in sent["messages"]] == ["system", "user", "assistant", "user"]
    assert (sent["max_completion_tokens"], sent["temperature"], sent["stop"]) == (50, 0.5, ["END"])
    assert "tools" not in sent
    row = log_row(db, answer.id.removeprefix("chatcmpl-"))
    assert (row["endpoint"], row["status"], row["conversation_id"]) == ("chat.completions", "completed", None)
    assert (row["question"], row["response"]) == ("mail [email]", "mail [email] ")
    assert answer.usage is not None
    assert float(row["cost_usd"]) == pytest.approx(answer.usage.model_extra["cost"])  # type: ignore[index]
    assert alice.rows("messages") == alice.rows("llm_conversations") == []
    assert reserved_usd(db, alice) == 0


def test_words_that_are_not_to_be_stored_are_not_even_logged(
    alice: Person, client: Client, able: Models, db: Database
) -> None:
    """With `store=False` the row has usage and cost but no text."""
    answer = client(alice).chat.completions.create(
        model=able("echo"), messages=[{"role": "user", "content": "Hi"}], store=False
    )
    assert answer.choices[0].message.content == "Hi "
    row = log_row(db, answer.id.removeprefix("chatcmpl-"))
    assert (row["question"], row["response"], row["status"]) == (None, None, "completed")


def test_a_stream_comes_in_chunks_and_tells_usage_when_asked(alice: Person, client: Client, able: Models) -> None:
    """The stream has text chunks, one stop reason, and a last chunk with usage and without choices."""
    identifier = able("think")
    asked: Any = {"model": identifier, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    chunks = list(client(alice).chat.completions.create(**asked, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "one two three"
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 12)
    assert {chunk.model for chunk in chunks} == {identifier}
    plain = list(client(alice).chat.completions.create(**asked))
    assert all(chunk.choices and chunk.usage is None for chunk in plain)


def test_structured_output_is_parsed_by_the_sdk(alice: Person, client: Client, able: Models) -> None:
    """`parse` with a pydantic model, and `json_object`."""
    identifier = able("json")
    question: Any = [{"role": "user", "content": "The answer?"}]
    parsed = client(alice).chat.completions.parse(model=identifier, messages=question, response_format=Verdict)
    assert parsed.choices[0].message.parsed == Verdict(answer="forty-two", score=3)
    plain = client(alice).chat.completions.create(
        model=identifier, messages=question, response_format={"type": "json_object"}
    )
    assert json.loads(plain.choices[0].message.content or "")["score"] == 3


@pytest.mark.parametrize("provider", ["google", "anthropic", "openai"])
def test_an_image_reaches_a_model_that_can_see(
    alice: Person, client: Client, able: Models, upstream: Upstream, provider: str
) -> None:
    """Each provider gets the image in its own format; a model without vision and an image URL are 400."""
    png = _png()

    def ask(identifier: str, url: str) -> Any:
        content: Any = [{"type": "text", "text": "Which colour?"}, {"type": "image_url", "image_url": {"url": url}}]
        return client(alice).chat.completions.create(model=identifier, messages=[{"role": "user", "content": content}])

    identifier = able("echo", provider)
    assert ask(identifier, f"data:image/png;base64,{png}").choices[0].message.content == "Which colour? "
    assert png in json.dumps(last_request(upstream, identifier)).replace("-", "+").replace("_", "/")
    with pytest.raises(openai.BadRequestError, match="look at images"):
        ask(able("echo", provider, supports_vision=False), f"data:image/png;base64,{png}")
    with pytest.raises(openai.BadRequestError, match="send the image itself"):
        ask(identifier, "https://example.com/cat.png")


def test_policies_choose_among_models_that_can_be_asked(
    alice: Person, client: Client, able: Models, db: Database
) -> None:
    """`auto` and an alias skip models whose provider has no key and models that lack an ability."""
    blind, seeing = able("echo", supports_tools=False), able("echo")
    db.execute('update public.llm_models set pricing = \'{"input": 0, "output": 0}\' where identifier = %s', [blind])
    rank = (
        'update public.llm_models set pricing = \'{"input": 0, "output": 0}\', display_order = 0 where identifier = %s'
    )
    db.execute(rank, [seeing])
    question: Any = [{"role": "user", "content": "Hi"}]
    received = client(alice).chat.completions.create(model="auto", messages=question, tools=[WEATHER])
    assert received.model == seeing
    alias = f"arms-{seeing.rpartition('~')[2]}"
    db.execute(
        "insert into public.llm_routes (alias, model_key, fallback_order) values (%(a)s, %(b)s, 0), (%(a)s, %(s)s, 1)",
        {"a": alias, "b": blind, "s": seeing},
    )
    for streams in (False, True):
        raw = client(alice).chat.completions.with_raw_response.create(
            model=alias, messages=question, tools=[WEATHER], stream=streams
        )
        assert (raw.headers["x-model"], raw.headers["x-fallbacks"]) == (seeing, "0")
    assert client(alice).chat.completions.create(model=alias, messages=question).model == blind
    with pytest.raises(openai.BadRequestError, match="use tools"):
        client(alice).chat.completions.create(model=blind, messages=question, tools=[WEATHER])
    keyless = openai.OpenAI(base_url=f"{alice.stack['CHAT_URL']}/v1", api_key=alice.token, max_retries=0)
    with keyless:
        asked = keyless.chat.completions.with_raw_response.create(model="auto", messages=question, max_tokens=5)
        assert asked.headers["x-model"].startswith("client:")
        with pytest.raises(openai.NotFoundError, match="no key") as lacking:
            keyless.chat.completions.create(model=seeing, messages=question)
    assert lacking.value.code == "model_not_found"
    assert "OPENAI_API_KEY" not in str(lacking.value)


def test_auto_gives_a_schema_in_words_when_no_model_takes_one(alice: Person, client: Client, db: Database) -> None:
    """A turn with a response format succeeds although no model supports it."""
    taking = db.execute(
        """update public.llm_models set capabilities = capabilities || '{"supports_json": false}'
           where capabilities @> '{"supports_json": true}' returning id"""
    ).fetchall()
    schema: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    try:
        answer = client(alice).chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "Hi"}], response_format=schema
        )
    finally:
        db.execute(
            """update public.llm_models set capabilities = capabilities || '{"supports_json": true}'
               where id = any(%s)""",
            [[row["id"] for row in taking]],
        )
    assert answer.choices[0].message.content


def test_stop_reasons_are_openais(alice: Person, client: Client, able: Models) -> None:
    """An answer that was too long and one that was filtered say so."""
    question: Any = [{"role": "user", "content": "Hi"}]
    for kind, reason in (("length", "length"), ("filtered", "content_filter")):
        answer = client(alice).chat.completions.create(model=able(kind), messages=question)
        assert answer.choices[0].finish_reason == reason


def test_words_that_look_like_frames_arrive_intact(alice: Person, client: Client, able: Models) -> None:
    """Line ends of every kind, half emoji and whole frames are only ever text."""
    stream = client(alice).chat.completions.create(
        model=able("hostile"), messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == HOSTILE_SANITISED
    for kind, received in (("hostile", HOSTILE_SANITISED), ("halves", HALVES_SANITISED)):
        whole = client(alice).chat.completions.create(model=able(kind), messages=[{"role": "user", "content": "Hi"}])
        assert whole.choices[0].message.content == received


def test_the_models_are_listed_where_the_sdk_looks(alice: Person, client: Client) -> None:
    """`models.list` and `models.retrieve`, and an unknown one is not found."""
    listed = [model.id for model in client(alice).models.list()]
    assert listed
    assert client(alice).models.retrieve(listed[0]).id == listed[0]
    with pytest.raises(openai.NotFoundError):
        client(alice).models.retrieve("no-such-model")
