"""OpenAI's own Python SDK against the running stack."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.fakes.providers import HALVES_SANITISED, HOSTILE_SANITISED, Script, Upstream
from tests.fakes.providers.wire import Tokens
from tests.providers import STREAMING, named
from tests.stack.conftest import Models
from tests.stack.people import Person, eventually, log_row
from tests.stack.turns import Database

_ABLE = {
    "context_window": 100_000,
    "max_output_tokens": 1000,
    "supports_tools": True,
    "supports_json": True,
    "supports_vision": True,
}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TWO_CALLS = Script(("Looking.",), calls=(("get_weather", {"city": "Wien"}), ("get_weather", {"city": "Graz"})))


class Verdict(BaseModel):
    """What the scripted model answers when it is asked for JSON."""

    answer: str
    score: int


class City(BaseModel):
    """What `get_weather` takes."""

    city: str


Client = Callable[[Person], openai.OpenAI]


@pytest.fixture
def client(chat_url: str) -> Iterator[Client]:
    """The SDK as a developer uses it, pointed at chat; it makes no retries."""
    opened: list[openai.OpenAI] = []

    def of(person: Person) -> openai.OpenAI:
        opened.append(openai.OpenAI(base_url=f"{chat_url}/v1", api_key=person.token, max_retries=0))
        return opened[-1]

    yield of
    for each in opened:
        each.close()


@pytest.fixture
def able(db: Database, model: Models) -> Callable[..., str]:
    """Registers a model that can do everything."""

    def register(kind: str, provider: str = "openai", **lacking: bool) -> str:
        identifier = model(named(kind, provider), provider=provider)
        db.execute(
            "update public.llm_models set capabilities = %s where identifier = %s",
            [json.dumps(_ABLE | lacking), identifier],
        )
        db.execute("update public.client_nodes set may_use_tools = true where id = (select node_id from "
                   "public.llm_models where identifier = %s)", [identifier])  # fmt: skip
        return identifier

    return register


def _png() -> str:
    """One red pixel."""

    def block(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    body = block(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)) + block(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + body + block(b"IEND", b"")).decode()


def _text(upstream: Upstream, identifier: str) -> dict[str, Any]:
    body: dict[str, Any] = upstream.calls_of(identifier.rpartition(":")[2])[-1].body
    return body


def test_a_completion_is_answered_logged_and_stored_nowhere_else(
    alice: Person, client: Client, able: Callable[..., str], upstream: Upstream, db: Database
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
    sent = _text(upstream, identifier)
    assert [m["role"] for m in sent["messages"]] == ["system", "user", "assistant", "user"]
    assert (sent["max_completion_tokens"], sent["temperature"], sent["stop"]) == (50, 0.5, ["END"])
    assert "tools" not in sent
    row = log_row(db, answer.id.removeprefix("chatcmpl-"))
    assert (row["endpoint"], row["status"], row["conversation_id"]) == ("chat.completions", "completed", None)
    assert (row["question"], row["response"]) == ("mail [email]", "mail [email] ")
    assert answer.usage is not None
    assert float(row["cost_usd"]) == pytest.approx(answer.usage.model_extra["cost"])  # type: ignore[index]
    assert alice.rows("messages") == alice.rows("llm_conversations") == []
    held = db.execute("select sum(reserved_usd) as usd from public.usage_counters where scope = %s", [alice.id])
    assert [float(each["usd"]) for each in held.fetchall()] == [0]


def test_words_that_are_not_to_be_stored_are_not_even_logged(
    alice: Person, client: Client, able: Callable[..., str], db: Database
) -> None:
    """With `store=False` the row has usage and cost but no text."""
    answer = client(alice).chat.completions.create(
        model=able("echo"), messages=[{"role": "user", "content": "Hi"}], store=False
    )
    assert answer.choices[0].message.content == "Hi "
    row = log_row(db, answer.id.removeprefix("chatcmpl-"))
    assert (row["question"], row["response"], row["status"]) == (None, None, "completed")


def test_a_stream_comes_in_chunks_and_tells_usage_when_asked(
    alice: Person, client: Client, able: Callable[..., str]
) -> None:
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


@pytest.mark.parametrize("provider", STREAMING)
def test_parallel_calls_come_to_the_caller_and_their_results_go_back(
    alice: Person, client: Client, able: Callable[..., str], upstream: Upstream, provider: str
) -> None:
    """At every provider the request has no tool of Parley and no agent's prompt."""
    identifier = able("echo", provider)
    upstream.plays[identifier.rpartition(":")[2]] = (TWO_CALLS, TWO_CALLS, Script(("Sunny.",)))
    completions = client(alice).chat.completions
    question: Any = {"role": "user", "content": "Weather in Wien and Graz?"}
    chosen: Any = {"type": "function", "function": {"name": "get_weather"}}
    asked = completions.create(model=identifier, messages=[question], tools=[WEATHER], tool_choice=chosen)
    choice = asked.choices[0]
    assert choice.finish_reason == "tool_calls"
    calls: Any = choice.message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Wien"}, {"city": "Graz"}]
    with completions.stream(model=identifier, messages=[question], tools=[WEATHER]) as stream:
        streamed: Any = stream.get_final_completion().choices[0].message.tool_calls
    assert [call.function.arguments for call in streamed] == [call.function.arguments for call in calls]
    results: list[Any] = [{"role": "tool", "tool_call_id": call.id, "content": "20 °C"} for call in calls]
    history = [question, choice.message.to_dict(), *results]
    final = completions.create(model=identifier, messages=history, tools=[WEATHER])
    assert final.choices[0].message.content == "Sunny."
    received = upstream.calls_of(identifier.rpartition(":")[2])[-1]
    assert received.asked is not None
    assert (received.asked.tools, received.asked.tool_results) == (("get_weather",), ("20 °C", "20 °C"))


def test_structured_output_is_parsed_by_the_sdk(alice: Person, client: Client, able: Callable[..., str]) -> None:
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
    alice: Person, client: Client, able: Callable[..., str], upstream: Upstream, provider: str
) -> None:
    """Each provider gets the image in its own format; a model without vision and an image URL are 422."""
    png = _png()

    def ask(identifier: str, url: str) -> Any:
        content: Any = [{"type": "text", "text": "Which colour?"}, {"type": "image_url", "image_url": {"url": url}}]
        return client(alice).chat.completions.create(model=identifier, messages=[{"role": "user", "content": content}])

    identifier = able("echo", provider)
    assert ask(identifier, f"data:image/png;base64,{png}").choices[0].message.content == "Which colour? "
    assert png in json.dumps(_text(upstream, identifier)).replace("-", "+").replace("_", "/")
    with pytest.raises(openai.UnprocessableEntityError, match="look at images"):
        ask(able("echo", provider, supports_vision=False), f"data:image/png;base64,{png}")
    with pytest.raises(openai.UnprocessableEntityError, match="send the image itself"):
        ask(identifier, "https://example.com/cat.png")


def test_policies_choose_among_models_that_can_be_asked(
    alice: Person, client: Client, able: Callable[..., str], db: Database
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
    with pytest.raises(openai.UnprocessableEntityError, match="use tools"):
        client(alice).chat.completions.create(model=blind, messages=question, tools=[WEATHER])
    schema: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    db.execute("update public.llm_models set capabilities = capabilities || '{\"supports_json\": false}'")
    wordy = client(alice).chat.completions.create(model="auto", messages=question, response_format=schema)
    assert wordy.choices[0].message.content  # by a model that gets the schema in words
    keyless = openai.OpenAI(base_url=f"{alice.stack['CHAT_URL']}/v1", api_key=alice.token, max_retries=0)
    with keyless:
        asked = keyless.chat.completions.with_raw_response.create(model="auto", messages=question, max_tokens=5)
        assert asked.headers["x-model"].startswith("client:")
        with pytest.raises(openai.NotFoundError, match="no key") as lacking:
            keyless.chat.completions.create(model=seeing, messages=question)
    assert lacking.value.code == "model_not_found"
    assert "OPENAI_API_KEY" not in str(lacking.value)


def test_every_refusal_is_the_sdks_own_exception(
    alice: Person, client: Client, able: Callable[..., str], chat_url: str, db: Database
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
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", None)
    with pytest.raises(openai.UnprocessableEntityError):
        ask(client(alice), n=2)
    with pytest.raises(openai.BadRequestError):
        ask(client(alice), messages=[{"role": "user", "content": "\0"}])
    with pytest.raises(openai.InternalServerError):
        ask(client(alice), model=able("status-500"))
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, 0)", [alice.id])
    with pytest.raises(openai.APIStatusError) as broke:
        ask(client(alice), model=able("echo"))
    assert (broke.value.status_code, broke.value.code) == (402, "budget_exceeded")
    db.execute("update public.usage_limits set daily_requests = 0 where scope = %s", [alice.id])
    with pytest.raises(openai.RateLimitError) as limited:
        ask(client(alice), model=able("echo"))
    assert limited.value.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("provider", STREAMING)
def test_what_a_provider_takes_for_wrong_is_the_callers_fault(
    alice: Person, client: Client, able: Callable[..., str], provider: str
) -> None:
    """A rejected request is not retried and is no 5xx, except at nodes, which have one error for every failure."""
    question: Any = [{"role": "user", "content": "Hi"}]
    if provider == "client":
        with pytest.raises(openai.InternalServerError):
            client(alice).chat.completions.create(model=able("status-400", provider), messages=question)
        return
    for streams in (False, True):
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            client(alice).chat.completions.create(model=able("status-400", provider), messages=question, stream=streams)
        assert refused.value.code == "provider_refused"
        assert refused.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.InternalServerError) as gone:
        client(alice).chat.completions.create(model=able("status-404", provider), messages=question)
    assert gone.value.status_code == 502


@pytest.mark.parametrize("provider", STREAMING)
def test_a_conversation_may_begin_in_the_middle(
    alice: Person, client: Client, able: Callable[..., str], provider: str
) -> None:
    """Every provider accepts a conversation with tool calls, unusual ids and an empty message."""
    call = {"id": "functions.get_weather:0", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    called: list[Any] = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "20 °C"},
    ]
    messages: list[Any] = [{"role": "user", "content": " "}, *called, {"role": "user", "content": "And now?"}, *called]
    answer = client(alice).chat.completions.create(model=able("echo", provider), messages=messages, tools=[WEATHER])
    assert answer.choices[0].message.content == "The tool said: 20 °C "


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the SDK's own, about what it parsed
def test_what_the_sdk_made_of_an_answer_goes_back_with_it(
    alice: Person, client: Client, able: Callable[..., str], upstream: Upstream
) -> None:
    """Messages with parsed arguments and parsed answers, as `parse` and `stream` return them, are accepted."""
    identifier = able("echo")
    upstream.plays[identifier.rpartition(":")[2]] = (TWO_CALLS, TWO_CALLS, Script(("Sunny.",)), Script(("Sunny.",)))
    completions = client(alice).chat.completions
    question: Any = {"role": "user", "content": "Weather in Wien and Graz?"}
    tool = openai.pydantic_function_tool(City, name="get_weather")
    parsed = completions.parse(model=identifier, messages=[question], tools=[tool]).choices[0].message
    with completions.stream(model=identifier, messages=[question], tools=[tool]) as stream:
        streamed = stream.get_final_completion().choices[0].message
    for message in (parsed, streamed):
        assert [call.function.parsed_arguments for call in message.tool_calls or ()] == [
            City(city="Wien"),
            City(city="Graz"),
        ]
        results: list[Any] = [
            {"role": "tool", "name": "get_weather", "tool_call_id": call.id, "content": "20 °C"}
            for call in message.tool_calls or ()
        ]
        history: Any = [question, message, *results]
        final = completions.create(model=identifier, messages=history, tools=[tool], logit_bias={}, top_logprobs=0)
        assert final.choices[0].message.content == "Sunny."
    assert _text(upstream, identifier)["tools"][0]["function"]["strict"] is True
    identifier = able("json")
    verdict = completions.parse(model=identifier, messages=[question], response_format=Verdict).choices[0].message
    again: Any = [question, verdict, {"role": "user", "content": "Sure?"}]
    assert completions.parse(model=identifier, messages=again, response_format=Verdict).choices[0].message.parsed
    wanted = _text(upstream, identifier)["response_format"]["json_schema"]
    assert (wanted["name"], wanted["strict"]) == ("Verdict", True)


def test_an_answer_that_breaks_off_is_an_exception_in_the_middle(
    alice: Person, client: Client, able: Callable[..., str], db: Database
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


def test_who_closes_the_stream_stops_the_model(
    alice: Person, client: Client, able: Callable[..., str], db: Database
) -> None:
    """The turn is booked as cancelled with the text so far, and its reservation is released."""
    question: Any = [{"role": "user", "content": "Hi"}]
    with client(alice).chat.completions.create(model=able("endless"), messages=question, stream=True) as stream:
        first = next(chunk for chunk in stream if chunk.choices[0].delta.content)
    turn_id = first.id.removeprefix("chatcmpl-")
    eventually(lambda: db.execute("select 1 from public.chat_logs where turn_id = %s", [turn_id]).fetchone())
    row = log_row(db, turn_id)
    assert (row["status"], row["response"].split()[0]) == ("cancelled", "on")
    held = db.execute("select sum(reserved_usd) as usd from public.usage_counters where scope = %s", [alice.id])
    assert [float(each["usd"]) for each in held.fetchall()] == [0]


def test_stop_reasons_are_openais(alice: Person, client: Client, able: Callable[..., str]) -> None:
    """An answer that was too long and one that was filtered say so."""
    question: Any = [{"role": "user", "content": "Hi"}]
    for kind, reason in (("length", "length"), ("filtered", "content_filter")):
        answer = client(alice).chat.completions.create(model=able(kind), messages=question)
        assert answer.choices[0].finish_reason == reason


def test_words_that_look_like_frames_arrive_intact(alice: Person, client: Client, able: Callable[..., str]) -> None:
    """Line ends of every kind, half emoji and whole frames are only ever text."""
    stream = client(alice).chat.completions.create(
        model=able("hostile"), messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == HOSTILE_SANITISED
    for kind, received in (("hostile", HOSTILE_SANITISED), ("halves", HALVES_SANITISED)):
        whole = client(alice).chat.completions.create(model=able(kind), messages=[{"role": "user", "content": "Hi"}])
        assert whole.choices[0].message.content == received


def test_the_reservation_covers_the_whole_conversation(
    alice: Person, client: Client, able: Callable[..., str], upstream: Upstream, db: Database
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
    assert refused.value.status_code == 402
    assert completions.create(model=identifier, messages=[question], max_tokens=10).choices[0].message.content == "ok"


def test_the_models_are_listed_where_the_sdk_looks(alice: Person, client: Client) -> None:
    """`models.list` and `models.retrieve`, and an unknown one is not found."""
    listed = [model.id for model in client(alice).models.list()]
    assert listed
    assert client(alice).models.retrieve(listed[0]).id == listed[0]
    with pytest.raises(openai.NotFoundError):
        client(alice).models.retrieve("no-such-model")
