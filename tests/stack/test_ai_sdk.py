"""The AI SDK from npm against the running stack: its own transport, parser and chat."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from tests.fakes.providers import HOSTILE_SANITISED, Script, Upstream
from tests.stack.assists import plays
from tests.stack.conftest import Models
from tests.stack.javascript import run
from tests.stack.people import Person, eventually, log_row
from tests.stack.turns import Database

_HAND_OVER = Script(("A moment.",), calls=(("hand_off", {"agent": "technical", "reason": "It is about code."}),))


class Chats:
    """The SDK's chat of one person with scripted models."""

    def __init__(self, person: Person, url: str, able: Models, upstream: Upstream, ai: str) -> None:
        self.person, self.url, self._ai = person, url, ai
        self._able, self._upstream = able, upstream

    def model(self, kind: str, *acts: Script) -> str:
        """A model that can use tools, of that kind or with these acts."""
        identifier = self._able(kind)
        return plays(self._upstream, identifier, *acts) if acts else identifier

    def go(self, identifier: str, *steps: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
        """What a frontend shows after each step."""
        received = {
            "ai": self._ai,
            "api": self.url,
            "token": self.person.token,
            "id": uuid.uuid4().hex,
            "body": {"model": identifier},
        }
        shown: list[dict[str, Any]] = run("use_chat", **(received | fields), steps=steps)
        return shown

    def stored(self, chat_id: str) -> list[dict[str, Any]]:
        """The conversation as a returning client loads it."""
        response = self.person.rest("POST", "rpc/ui_messages", json={"chat_id": chat_id})
        assert response.status_code == 200, response.text
        messages: list[dict[str, Any]] = response.json()
        return messages


@pytest.fixture(params=["ai", "ai7"])
def chats(request: pytest.FixtureRequest, alice: Person, chat_url: str, able: Models, upstream: Upstream) -> Chats:
    """Alice's, with AI SDK 6 and 7."""
    return Chats(alice, chat_url, able, upstream, request.param)


def _texts(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(m["role"], "".join(p["text"] for p in m["parts"] if p["type"] == "text")) for m in messages]


def _kinds(message: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(part["type"], part.get("state")) for part in message["parts"]]


def test_a_conversation_with_tools_is_shown_part_by_part_and_comes_back_from_the_database(chats: Chats) -> None:
    """Steps, tool input and output, text, receipt and metadata; stored messages are what was shown."""
    chat_id = uuid.uuid4().hex
    identifier = chats.model("echo", _HAND_OVER, Script(("Use ", "a lock.")), Script(("You are welcome.",)))
    shown = chats.go(identifier, {"send": "How do I protect this?"}, {"send": "Thanks"}, id=chat_id)
    assert [(each["status"], each["error"]) for each in shown] == [("ready", None)] * 2
    answer = shown[0]["messages"][1]
    assert _kinds(answer) == [
        ("step-start", None),
        ("text", "done"),
        ("tool-hand_off", "output-available"),
        ("step-start", None),
        ("text", "done"),
        ("data-receipt", None),
    ]
    metadata = answer["metadata"]
    assert (metadata["model"], metadata["agent"], metadata["agents"]) == (
        identifier,
        "technical",
        ["general", "technical"],
    )
    assert metadata["cost_usd"] == answer["parts"][-1]["data"]["cost_usd"] > 0
    assert shown[0]["finished"] == {"isAbort": False, "isError": False, "finishReason": "stop"}
    stored = chats.stored(chat_id)
    assert _texts(stored) == _texts(shown[1]["messages"])
    assert stored[1]["id"] == answer["id"]
    assert _kinds(stored[1]) == [
        (kind, state if kind.startswith("tool-") else None) for kind, state in _kinds(answer)[:-1]
    ]
    assert stored[1]["metadata"].items() >= {"model": identifier, "agent": "technical", "status": "completed"}.items()
    assert stored[1]["metadata"]["cost_usd"] == metadata["cost_usd"]


def test_a_returning_client_goes_on_with_what_it_loaded(chats: Chats, bob: Person, upstream: Upstream) -> None:
    """Loaded messages are the chat's first ones; no other user can load them, and none is an empty list."""
    chat_id, identifier = uuid.uuid4().hex, chats.model("echo")
    chats.go(identifier, {"send": "my name is Ada"}, id=chat_id)
    loaded = chats.stored(chat_id)
    shown = chats.go(identifier, {"send": "again"}, id=chat_id, messages=loaded)
    assert [role for role, _ in _texts(shown[0]["messages"])] == ["user", "assistant"] * 2
    sent = upstream.calls_of(identifier.removeprefix("openai:"))[-1].body["messages"][1:]
    assert [m["content"] for m in sent] == ["my name is Ada", "my name is Ada ", "again"]
    theirs = bob.rest("POST", "rpc/ui_messages", json={"chat_id": loaded[1]["metadata"]["conversation_id"]})
    assert (theirs.status_code, theirs.json()) == (200, [])
    assert chats.stored(loaded[1]["metadata"]["conversation_id"])[:2] == loaded


def test_a_regenerated_answer_replaces_the_old_one(chats: Chats, upstream: Upstream) -> None:
    """`regenerate`: the prompt leaves out the old answer, and one question with one answer is stored."""
    chat_id = uuid.uuid4().hex
    identifier = chats.model("echo", Script(("Hello",)), Script(("First",)), Script(("Second",)))
    steps = ({"send": "Hi"}, {"send": "Which?"}, {"regenerate": True})
    shown = chats.go(identifier, *steps, id=chat_id)
    received = [("user", "Hi"), ("assistant", "Hello"), ("user", "Which?"), ("assistant", "Second")]
    assert _texts(shown[-1]["messages"]) == _texts(chats.stored(chat_id)) == received
    sent = upstream.calls_of(identifier.removeprefix("openai:"))[-1].body["messages"][1:]
    assert [m["content"] for m in sent] == ["Hi", "Hello", "Which?"]


def test_the_old_answer_stands_until_there_is_a_new_one(chats: Chats) -> None:
    """A failed try changes nothing; the next successful one replaces the old answer."""
    chat_id = uuid.uuid4().hex
    good, bad = chats.model("echo", Script(("First",)), Script(("Second",))), chats.model("status-400")
    chats.go(good, {"send": "Which?"}, id=chat_id)
    loaded = chats.stored(chat_id)
    failed = chats.go(bad, {"regenerate": True}, id=chat_id, messages=loaded)
    assert failed[0]["status"] == "error"
    assert _texts(chats.stored(chat_id)) == [("user", "Which?"), ("assistant", "First")]
    chats.go(good, {"regenerate": True}, id=chat_id, messages=loaded)
    assert _texts(chats.stored(chat_id)) == [("user", "Which?"), ("assistant", "Second")]


@pytest.mark.parametrize("is_loaded", [False, True])
@pytest.mark.parametrize("place", [0, 1])
def test_any_of_equal_questions_is_regenerated_in_its_place(
    chats: Chats, upstream: Upstream, is_loaded: bool, place: int
) -> None:
    """`regenerate({messageId})`, of a question or its answer, before and after the page is reloaded."""
    chat_id, identifier = uuid.uuid4().hex, chats.model("echo")
    asking = [{"send": "go on"}, {"send": "other"}, {"send": "go on"}]
    if is_loaded:
        chats.go(identifier, *asking, id=chat_id)
        shown = chats.go(identifier, {"regenerate": place}, id=chat_id, messages=chats.stored(chat_id))
    else:
        shown = chats.go(identifier, *asking, {"regenerate": place}, id=chat_id)
    received = [("user", "go on"), ("assistant", "go on ")]
    assert _texts(shown[-1]["messages"]) == _texts(chats.stored(chat_id)) == received
    sent = upstream.calls_of(identifier.removeprefix("openai:"))[-1].body["messages"][1:]
    assert [m["content"] for m in sent] == ["go on"]


@pytest.mark.parametrize("is_loaded", [False, True])
def test_an_edited_question_is_kept_as_it_is_shown(chats: Chats, upstream: Upstream, is_loaded: bool) -> None:
    """Two edits by `sendMessage({messageId})`, with a failure between, remove what followed the old question."""
    chat_id, identifier, bad = uuid.uuid4().hex, chats.model("echo"), chats.model("status-400")
    asking = [{"send": "one"}, {"send": "tow"}, {"send": "three"}]
    editing = [
        {"send": "too", "edit": 2},
        {"send": "twoo", "edit": 2, "body": {"model": bad}},
        {"send": "two", "edit": 2},
    ]
    if is_loaded:
        chats.go(identifier, *asking, id=chat_id)
        shown = chats.go(identifier, *editing, id=chat_id, messages=chats.stored(chat_id))
    else:
        shown = chats.go(identifier, *asking, *editing, id=chat_id)
    assert [each["status"] for each in shown[-3:]] == ["ready", "error", "ready"]
    received = [("user", "one"), ("assistant", "one "), ("user", "two"), ("assistant", "two ")]
    assert _texts(shown[-1]["messages"]) == _texts(chats.stored(chat_id)) == received
    sent = upstream.calls_of(identifier.removeprefix("openai:"))[-1].body["messages"][1:]
    assert [m["content"] for m in sent] == ["one", "one ", "two"]


def test_an_error_in_the_middle_keeps_the_text_so_far(chats: Chats, db: Database) -> None:
    """The chat has the error, its message, the text so far and the receipt, and can send another message."""
    shown = chats.go(
        chats.model("echo", Script(("one ", "two "), "torn"), Script(("All well.",))), {"send": "Hi"}, {"send": "Again"}
    )
    assert (shown[0]["status"], shown[0]["error"]) == ("error", "The model's answer broke off before its end.")
    half = shown[0]["messages"][1]
    assert _texts([half]) == [("assistant", "one two ")]
    receipt = half["parts"][-1]["data"]
    assert log_row(db, receipt["turn_id"])["status"] == "partial"
    assert (shown[1]["status"], _texts(shown[1]["messages"])[-1]) == ("ready", ("assistant", "All well."))


def test_a_refusal_before_the_first_word_is_an_error_with_our_json(chats: Chats) -> None:
    """The chat's error contains the JSON of Parley's error."""
    (shown,) = chats.go("no-such-model", {"send": "Hi"}, body={"model": "no-such-model", "strict_model": True})
    assert shown["status"] == "error"
    assert '"code":"model_not_found"' in shown["error"]


def test_a_stopped_answer_stays_in_the_client_and_in_the_conversation(chats: Chats) -> None:
    """After `stop()` the chat keeps the text so far, the model stops, and the answer is stored as cancelled."""
    chat_id = uuid.uuid4().hex
    (shown,) = chats.go(chats.model("endless"), {"send": "Hi", "stop": True}, id=chat_id)
    assert (shown["status"], shown["finished"]["isAbort"]) == ("ready", True)
    stored = eventually(lambda: [m for m in chats.stored(chat_id) if m["role"] == "assistant"])
    assert stored[0]["metadata"]["status"] == "cancelled"
    assert _texts(stored)[0][1].startswith("on ")


def test_broken_arguments_and_refused_tools_are_parts_the_sdk_understands(chats: Chats) -> None:
    """The SDK's parser accepts every state of a tool part; reasoning is in parts of its own."""
    slips = Script(("Hm.",), calls=(("hand_off", '{"agent":'), ("hand_off", {"agent": "nobody", "reason": "x"})))
    identifier = chats.model("echo", slips, Script(("Sorry.",), reasoning="Let me think."))
    received = run("read_stream", api=chats.url, token=chats.person.token, body={"model": identifier}, text="Hi")
    assert received["errors"] == []
    parts = received["last"]["parts"]
    failed = [part for part in parts if part["type"] == "tool-hand_off"]
    assert [part["state"] for part in failed] == ["output-error"] * 2
    assert all(part["errorText"] for part in failed)
    assert ["tool-hand_off", "input-available"] in [part for state in received["states"] for part in state]
    assert [(p["type"], p.get("text")) for p in parts if p["type"] in {"reasoning", "text"}] == [
        ("text", "Hm."),
        ("reasoning", "Let me think."),
        ("text", "Sorry."),
    ]


def test_there_is_never_a_stream_to_resume(chats: Chats) -> None:
    """`resume` of `useChat` finds no stream, which is no error; a request without a token is refused."""
    for base in ("", "/chat", "/chat/stream", "/ai/chat"):
        address = f"{chats.url}{base}/{uuid.uuid4().hex}/stream"
        assert httpx.get(address, headers=chats.person.headers).status_code == 204
        assert httpx.get(address).status_code == 401
    assert httpx.get(f"{chats.url}/chat/stream", headers=chats.person.headers).status_code == 405


def test_words_that_look_like_frames_arrive_intact(chats: Chats) -> None:
    """Line ends of every kind, half emoji and whole frames are only ever text."""
    received = run(
        "read_stream", api=chats.url, token=chats.person.token, body={"model": chats.model("hostile")}, text="Hi"
    )
    assert _texts([received["last"]]) == [("assistant", HOSTILE_SANITISED)]
