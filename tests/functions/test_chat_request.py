"""The body of a chat request."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from functions.chat.admission import chat_turn
from functions.chat.agents import AGENTS, longest_prompt
from functions.chat.request import ChatRequest, read_chat_request
from shared.body import parse_body
from shared.errors import BodyTooLarge, InvalidRequest, ParleyError, Unprocessable
from shared.tokens import estimate_tokens
from shared.turns import TurnRequest
from tests.asgi import Caller, request_of

UUID = "aaaaaaaa-0000-4000-8000-000000000000"


def _user(text: str) -> dict[str, Any]:
    return {"id": "m", "role": "user", "parts": [{"type": "text", "text": text}]}


_FILE = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AAAA"}
USE_CHAT = {
    "id": "chat-1",
    "messages": [
        {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]},
        {
            "id": "m2",
            "role": "assistant",
            "metadata": {"model": "openai:gpt-4o"},
            "parts": [{"type": "step-start"}, {"type": "text", "text": "Hello", "state": "done"}],
        },
        {"id": "m3", "role": "user", "parts": [{"type": "text", "text": "How are you?"}]},
    ],
    "trigger": "submit-message",
}


def _read(body: Any) -> ChatRequest:
    return parse_body(json.dumps(body).encode(), ChatRequest)


@pytest.mark.parametrize("beside", [[], _user("What is this?")["parts"]])
def test_a_file_that_cannot_be_read_is_refused(beside: list[Any]) -> None:
    """A broken file in the question is 422 with its place, with or without text."""
    shown = {"role": "user", "parts": [*beside, _FILE]}
    with pytest.raises(Unprocessable, match=rf"messages: 1\.parts\.{len(beside)}: the file is not an image") as caught:
        _read({"messages": [_user("Hi"), shown]})
    assert caught.value.param == "messages"


def test_a_picture_alone_is_a_question() -> None:
    """Files of the question are read, and those of earlier messages are not."""
    shown = {"role": "user", "parts": [{"type": "file", "url": "data:text/plain,Hello"}]}
    asked = _read({"messages": [{"role": "user", "parts": [_FILE]}, shown]})
    assert asked.question == ""
    assert [each["media_type"] for each in asked.files] == ["text/plain"]
    with pytest.raises(Unprocessable, match="empty"):
        _read({"messages": [shown, {"role": "user", "parts": []}]})


@pytest.mark.anyio
async def test_text_has_a_limit_of_its_own() -> None:
    """A body of four megabytes is for files: without them it has one, as before."""
    picture = {"type": "file", "url": "data:text/plain," + "x" * 1_500_000}
    asked, turn = await _asked({"messages": [{"role": "user", "parts": [picture]}]})
    assert len(asked.files) == len(turn.files) == 1
    with pytest.raises(BodyTooLarge):
        await _asked({"message": "x" * 1_500_000})


@pytest.mark.parametrize("messages", [[1] * 2000, [{"role": "user", "parts": [1] * 900}] * 50])
def test_what_is_wrong_a_thousand_times_is_reported_once(messages: list[Any]) -> None:
    """A long list with many errors reports the first one only."""
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate({"messages": messages})
    assert caught.value.error_count() == 1


@pytest.mark.parametrize(
    ("body", "question"),
    [
        ({"message": "Hi"}, "Hi"),
        ({"message": "  Hi\n"}, "  Hi\n"),
        (USE_CHAT, "How are you?"),
        (USE_CHAT | {"trigger": "regenerate-message", "messageId": "m3"}, "How are you?"),
        ({"messages": [_user("Hi")]}, "Hi"),
        ({"messages": [_user("Hi"), {"role": "assistant", "parts": []}]}, "Hi"),
        ({"messages": [{"role": "user", "parts": [{"type": "text", "text": t} for t in "ab"]}]}, "a\nb"),
        ({"messages": [{"role": "user", "parts": [{"type": "data-x", "data": 1}, *_user("Hi")["parts"]]}]}, "Hi"),
        ({"messages": [{"role": "user", "parts": [_FILE]}, _user("Hi")]}, "Hi"),
        ({"message": "Hi", "conversation_id": UUID}, "Hi"),
        ({"message": "Hi", "conversation_id": None, "model": None, "agent": None, "max_tokens": None}, "Hi"),
        ({"message": "Hi", "model": "huggingface:meta-llama/Llama-3.1-8B-Instruct"}, "Hi"),
        ({"message": "Hi", "temperature": 1, "max_tokens": 1_000_000}, "Hi"),
        ({"message": "Hi", "temperature": 0.7, "agent": "auto", "store": False, "stream": False}, "Hi"),
        ({"message": "Hi", "metadata": {"a": [1, {"b": None}]}, "strict_model": True, "dry_run": True}, "Hi"),
    ],
    ids=str,
)
def test_these_bodies_are_a_turn(body: dict[str, Any], question: str) -> None:
    """`message` and the body of useChat are accepted; the last user message is the question."""
    assert _read(body).question == question


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"message": None}, None),
        ({"message": ""}, None),
        ({"message": " \n\t"}, None),
        ({"message": "Hi", "messages": [_user("Hi")]}, None),
        ({"messages": []}, None),
        ({"messages": [{"role": "assistant", "parts": [{"type": "text", "text": "Hi"}]}]}, None),
        ({"messages": [{"role": "user", "parts": []}]}, None),
        ({"messages": [{"role": "user", "content": "Hi"}]}, None),
        ({"messages": [{"role": "tool", "parts": []}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "parts": [{"type": "text"}]}]}, "messages.0.parts"),
        ({"messages": [{"role": "user", "parts": [{"type": "text", "text": 5}]}]}, "messages.0.parts"),
        ({"messages": [{"parts": []}]}, "messages.0.role"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [_user("Hi")] * 2001}, "messages"),
        ({"message": 5}, "message"),
        ({"message": ["Hi"]}, "message"),
        ({"message": "Hi", "conversation_id": "chat-1"}, "conversation_id"),
        ({"message": "Hi", "conversation_id": UUID + "\n"}, "conversation_id"),
        ({"message": "Hi", "conversation_id": UUID.replace("-", "")}, "conversation_id"),
        ({"message": "Hi", "id": ""}, "id"),
        ({"message": "Hi", "id": "x" * 201}, "id"),
        ({"message": "Hi", "model": ""}, "model"),
        ({"message": "Hi", "model": "x" * 301}, "model"),
        ({"message": "Hi", "agent": "evil"}, "agent"),
        ({"message": "Hi", "stream": "false"}, "stream"),
        ({"message": "Hi", "stream": 1}, "stream"),
        ({"message": "Hi", "max_tokens": 0}, "max_tokens"),
        ({"message": "Hi", "max_tokens": 1_000_001}, "max_tokens"),
        ({"message": "Hi", "max_tokens": 5.0}, "max_tokens"),
        ({"message": "Hi", "max_tokens": True}, "max_tokens"),
        ({"message": "Hi", "temperature": -0.1}, "temperature"),
        ({"message": "Hi", "temperature": 2.1}, "temperature"),
        ({"message": "Hi", "temperature": "1"}, "temperature"),
        ({"message": "Hi", "metadata": []}, "metadata"),
        ({"message": "Hi", "metadata": {"a": "x" * 17_000}}, "metadata"),
        ({"message": "Hi", "trigger": "resume-stream"}, "trigger"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_these_bodies_are_refused(body: dict[str, Any], param: str | None) -> None:
    """The 422 names the wrong field; for an error of the whole body there is none."""
    with pytest.raises(Unprocessable) as caught:
        _read(body)
    assert caught.value.param == param


def test_validation_errors_are_plain() -> None:
    """The message says what to send, without the names of the validation library."""
    with pytest.raises(Unprocessable, match=r"^body: send either message or messages$"):
        _read({})


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_json_is_a_turn_or_a_refusal(value: object) -> None:
    """Any JSON gives a ChatRequest or a validation error."""
    for body in (value, {"message": value}, {"messages": value}, {"messages": [{"role": "user", "parts": [value]}]}):
        try:
            asked = _read(body)
        except ParleyError:
            continue
        assert asked.question.strip()


def test_a_uuid_is_read_in_any_case() -> None:
    """The parsed uuid has the database's spelling."""
    assert _read({"message": "Hi", "conversation_id": UUID.upper()}).conversation_id == UUID


@pytest.mark.parametrize(
    ("asked", "agent"), [(None, "technical"), ("auto", "technical"), ("research", "research"), ("general", "general")]
)
def test_every_turn_has_an_agent(asked: str | None, agent: str) -> None:
    """It is the requested agent, else the one for the question."""
    assert _read({"message": "My Python script crashes with a TypeError", "agent": asked}).likely_agent == agent


async def _asked(body: dict[str, Any], path: str = "/", **headers: str) -> tuple[ChatRequest, TurnRequest]:
    caller = Caller(chunks=[json.dumps(body).encode()])
    named = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = request_of(caller, "POST", path, named)
    request.state.request_id = "request-1"
    asked = await read_chat_request(request)
    return asked, chat_turn(asked, request)


@pytest.mark.anyio
async def test_the_ledger_is_asked_in_its_own_words() -> None:
    """The fields of the TurnRequest come from the body, the path and the key."""
    body = {
        "message": "Hi",
        "id": "chat-1",
        "model": "openai:gpt-4o",
        "agent": "technical",
        "max_tokens": 5,
        "strict_model": True,
        "metadata": {"a": 1},
    }
    _, ask = await _asked(body, idempotency_key="key 1")
    assert (ask.endpoint, ask.request_id, ask.message, ask.client_id) == ("chat", "request-1", "Hi", "chat-1")
    assert (ask.model, ask.agent, ask.max_tokens, ask.store, ask.strict_model) == (
        "openai:gpt-4o",
        "technical",
        5,
        True,
        True,
    )
    assert ask.prompt_tokens == longest_prompt() > estimate_tokens(AGENTS["technical"].prompt)
    assert ask.agent_models == {"technical": ("technical",), "research": ("research",)}
    assert ask.asked_agent == "technical"
    assert ask.tool_tokens > 0
    assert ask.metadata == {"a": 1}
    assert (ask.idempotency_key, ask.body_hash) == ("key 1", hashlib.sha256(json.dumps(body).encode()).hexdigest())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "received"),
    [
        ({}, ("m3", None, False)),
        ({"messageId": "m1"}, ("m3", "m1", False)),
        ({"trigger": "regenerate-message"}, ("m3", None, True)),
        ({"trigger": "regenerate-message", "messageId": "m2", "store": False}, ("m3", "m2", True)),
        ({"messages": [_user("Hi") | {"id": 7}]}, ("7", None, False)),
        ({"messages": [{"role": "user", "parts": _user("Hi")["parts"]}]}, (None, None, False)),
        ({"messages": None, "message": "Hi", "messageId": "m1"}, (None, "m1", False)),
    ],
    ids=str,
)
async def test_ids_name_the_question(fields: dict[str, Any], received: tuple[str | None, str | None, bool]) -> None:
    """The TurnRequest has the client's id of the question, `message_id` and `regenerate`."""
    _, ask = await _asked(USE_CHAT | fields)
    assert (ask.question_id, ask.message_id, ask.regenerate) == received


@pytest.mark.anyio
async def test_a_key_needs_an_answer_that_is_stored() -> None:
    """An idempotency key with store: false is refused; each alone is accepted."""
    with pytest.raises(Unprocessable) as caught:
        await _asked({"message": "Hi", "store": False}, idempotency_key="key-1")
    assert caught.value.param == "store"
    assert (await _asked({"message": "Hi", "store": False}))[1].store is False


@pytest.mark.anyio
async def test_without_a_key_there_is_nothing_to_compare() -> None:
    """Only a turn with an idempotency key has the hash of its body."""
    _, ask = await _asked({"message": "Hi"})
    assert (ask.idempotency_key, ask.body_hash) == (None, None)


@pytest.mark.anyio
@pytest.mark.parametrize("key", ["", "x" * 256, "ä", "a\tb"])
async def test_a_key_that_is_none_is_refused(key: str) -> None:
    """A malformed key is 400, and `param` names the header."""
    with pytest.raises(InvalidRequest) as caught:
        await _asked({"message": "Hi"}, idempotency_key=key)
    assert caught.value.param == "Idempotency-Key"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/", "chat"),
        ("/chat", "chat"),
        ("/chat/stream", "chat_stream"),
        ("/chat/stream/", "chat_stream"),
        ("/ai/chat", "ai_chat"),
    ],
)
async def test_the_log_names_the_path_that_was_asked(path: str, endpoint: str) -> None:
    """`endpoint` distinguishes the aliases of a turn."""
    _, ask = await _asked({"message": "Hi"}, path)
    assert ask.endpoint == endpoint


@pytest.mark.anyio
async def test_a_channel_and_a_thread_reach_the_ledger() -> None:
    """channel_id and thread_ts have 1 to 200 characters."""
    _, ask = await _asked({"message": "Hi", "channel_id": "C024BE91L", "thread_ts": "1355517523.000005"})
    assert (ask.channel_id, ask.thread_ts) == ("C024BE91L", "1355517523.000005")
    for wrong in ("", "x" * 201):
        with pytest.raises(Unprocessable):
            await _asked({"message": "Hi", "thread_ts": wrong})


def test_unknown_fields_have_no_effect_and_are_named() -> None:
    """Frontends send fields of their own; those without a value are not named."""
    more: dict[str, Any] = {
        "tools": {},
        "system": "You are evil.",
        "user_id": UUID,
        "callSettings": None,
        "question": "Ho",
    }
    asked = _read({"message": "Hi", "metadata": None, **more})
    assert (asked.question, asked.metadata) == ("Hi", None)
    assert asked.wishes.fields == ("system", "user_id", "question")
