"""Resumable turns: they outlive their client, are followed and stopped by other requests, and are booked once."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest

from functions.chat.resumable.watching import MAX_OF_PERSON
from tests.fakes.providers import Script, Upstream
from tests.providers import variables
from tests.stack.conftest import Models
from tests.stack.javascript import run
from tests.stack.keys import new_key, revoke
from tests.stack.people import Person, Stack, eventually, frames, log_row, text_of
from tests.stack.regenerations import join, shown_messages, texts_of
from tests.stack.turns import Database, die, reserved_usd, sweep, words_left

WORDS = tuple(f"word{n} " for n in range(40))
PACED = Script(WORDS, pause_seconds=0.02)


class Reader:
    """A stream that is read in a thread of its own; `close` drops its connection."""

    def __init__(self, person: Person, method: str, url: str, body: dict[str, Any] | None = None) -> None:
        self.text = ""
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(person, method, url, body), daemon=True)
        self._thread.start()

    def _read(self, person: Person, method: str, url: str, body: dict[str, Any] | None) -> None:
        with (
            contextlib.suppress(httpx.TransportError),  # the instance was killed
            httpx.stream(method, url, json=body, headers=person.headers, timeout=60) as response,
        ):
            for piece in response.iter_text():
                self.text += piece
                if self._leave.is_set():
                    return

    def until(self, text: str) -> None:
        """Waits until the stream has this text."""
        eventually(lambda: text in self.text)

    def close(self) -> None:
        """Drops the connection at the next piece."""
        self._leave.set()

    def end(self) -> str:
        """The whole stream, after its end."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.text


@pytest.fixture
def chat(chat_url: str) -> str:
    """The address of chat without a slash."""
    return chat_url.rstrip("/")


def _body(chat_id: str, model: str, text: str = "Tell me.", **fields: Any) -> dict[str, Any]:
    return {"id": chat_id, "message": text, "model": model, "resumable": True} | fields


@pytest.fixture
def paced(able: Models, upstream: Upstream) -> str:
    """A model that takes a second for its forty words."""
    identifier = able("paced")
    upstream.plays[_name(identifier)] = (PACED,)
    return identifier


def _name(identifier: str) -> str:
    return identifier.partition(":")[2]


def _answers(db: Database, person: Person) -> list[dict[str, Any]]:
    return db.execute(
        """select m.content, m.status, l.status as logged, l.cost_usd, m.turn_id from public.messages as m
           left join public.chat_logs as l on l.turn_id = m.turn_id
           where m.role = 'assistant' and m.conversation_id in (
             select id from public.llm_conversations where user_id = %s) order by m.created_at""",
        [person.id],
    ).fetchall()


def test_an_answer_goes_on_after_its_client_has_left_and_another_reads_it_whole(
    alice: Person, chat: str, paced: str, db: Database
) -> None:
    """The follower gets the stream from its first frame to its last; there is one message and one log row."""
    chat_id = uuid.uuid4().hex
    first = Reader(alice, "POST", chat, _body(chat_id, paced))
    first.until("word3 ")
    first.close()
    follower = Reader(alice, "GET", f"{chat}/{chat_id}/stream")
    events = frames(follower.end())
    assert text_of(events) == "".join(WORDS)
    assert [events[0]["type"], events[-1]["type"]] == ["start", "finish"]
    assert [event["type"] for event in events].count("data-receipt") == 1
    (answer,) = _answers(db, alice)
    assert (answer["content"], answer["status"], answer["logged"]) == ("".join(WORDS), "completed", "completed")
    assert reserved_usd(db, alice) == 0
    after = httpx.get(f"{chat}/{chat_id}/stream", headers=alice.headers)
    assert (after.status_code, after.text) == (204, "")


def test_a_plain_answer_still_ends_with_its_client(alice: Person, chat: str, paced: str, db: Database) -> None:
    """Without the field a hang-up cancels the turn, and nothing of it is kept or followed."""
    chat_id = uuid.uuid4().hex
    first = Reader(alice, "POST", chat, _body(chat_id, paced, resumable=False))
    first.until("word3 ")
    assert httpx.get(f"{chat}/{chat_id}/stream", headers=alice.headers).status_code == 204
    assert alice.ask({}, f"{chat}/{chat_id}/stop").json() == {"stopped": False, "turn_id": None}
    first.close()
    (answer,) = eventually(lambda: _answers(db, alice))
    assert (answer["status"], answer["logged"]) == ("cancelled", "cancelled")
    kept = db.execute("select 1 from private.turn_pieces where turn_id = %s", [answer["turn_id"]])
    assert kept.fetchall() == []


def test_a_stop_from_elsewhere_ends_the_models_call_and_keeps_the_words(
    alice: Person, chat: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """The model is silent; its connection ends, the first client reads the end, and the next question is answered."""
    chat_id, stalled = uuid.uuid4().hex, able("stall")
    first = Reader(alice, "POST", chat, _body(chat_id, stalled))
    first.until("two ")
    stopped = alice.ask({}, f"{chat}/{chat_id}/stop").json()
    second = alice.ask(_body(chat_id, able("echo"), "And now", stream=False), chat)
    assert (second.status_code, second.json()["message"]["content"]) == (200, "And now ")
    assert upstream.until_hung_up(_name(stalled), 1)
    events = frames(first.end())
    assert [event["type"] for event in events][-3:] == ["data-receipt", "abort", "finish"]
    answer = _answers(db, alice)[0]
    assert (answer["content"], answer["status"], answer["logged"]) == ("one two ", "cancelled", "cancelled")
    assert stopped == {"stopped": True, "turn_id": str(answer["turn_id"])}
    assert log_row(db, answer["turn_id"])["cost_usd"] > 0


def test_a_second_question_gets_the_id_of_the_running_turn(
    alice: Person, chat: str, able: Models, upstream: Upstream
) -> None:
    """409 `turn_in_progress` names the turn, whose it is, and that it can be followed."""
    chat_id, stalled = uuid.uuid4().hex, able("stall")
    first = Reader(alice, "POST", chat, _body(chat_id, stalled))
    first.until("two ")
    refused = alice.ask(_body(chat_id, able("echo")), chat)
    found = refused.json()["error"]["metadata"]
    stopped = alice.ask({}, f"{chat}/{chat_id}/stop").json()
    assert (refused.status_code, found["turn_id"]) == (409, stopped["turn_id"])
    assert (found["yours"], found["resumable"], found["stopping"]) == (True, True, False)
    assert upstream.until_hung_up(_name(stalled))
    first.end()


def test_strangers_neither_follow_nor_stop(alice: Person, bob: Person, chat: str, able: Models) -> None:
    """A stranger gets 204 and 404; a member follows, but only the asker and the owner stop."""
    chat_id = uuid.uuid4().hex
    first = Reader(alice, "POST", chat, _body(chat_id, able("stall")))
    first.until("two ")
    (conversation,) = alice.rows("llm_conversations?select=id")
    path = f"{chat}/{conversation['id']}"
    assert httpx.get(f"{path}/stream", headers=bob.headers).status_code == 204
    assert bob.ask({}, f"{path}/stop").status_code == 404
    assert httpx.post(f"{path}/stop").status_code == 401
    join(alice, bob, conversation["id"])
    follower = Reader(bob, "GET", f"{path}/stream")
    follower.until("two ")
    assert bob.ask({}, f"{path}/stop").json() == {"stopped": False, "turn_id": None}
    assert alice.ask({}, f"{path}/stop").json()["stopped"]
    assert frames(follower.end())[-1]["type"] == "finish"
    first.end()


def test_an_api_key_follows_and_stops_for_its_owner(alice: Person, bob: Person, chat: str, able: Models) -> None:
    """Only with the scope `chat`, only where its owner may, and not after it was revoked."""
    key, models, other = new_key(alice), new_key(alice, scopes=["models"]), new_key(bob)
    chat_id = uuid.uuid4().hex
    first = Reader(alice, "POST", chat, _body(chat_id, able("stall")))
    first.until("two ")
    (conversation,) = alice.rows("llm_conversations?select=id")
    path = f"{chat}/{conversation['id']}"

    def got(sent: dict[str, Any], verb: str = "stop", method: str = "POST") -> httpx.Response:
        return httpx.request(method, f"{path}/{verb}", headers={"x-api-key": sent["key"]}, timeout=30)

    assert [got(each).status_code for each in (models, other)] == [403, 404]
    assert [got(each, "stream", "GET").status_code for each in (models, other)] == [403, 204]
    follower = Reader(replace(alice, token=key["key"]), "GET", f"{path}/stream")
    follower.until("two ")
    revoked = new_key(alice)
    assert got(revoked, "stop").json()["stopped"]
    assert frames(follower.end())[-1]["type"] == "finish"
    first.end()
    assert revoke(alice, revoked) == 204
    assert got(revoked, "stop").status_code == 401


def test_a_removed_member_reads_nothing_more(alice: Person, bob: Person, chat: str, able: Models, db: Database) -> None:
    """Their own running answer ends, and so does their reading of another's."""
    chat_id = uuid.uuid4().hex
    first = Reader(alice, "POST", chat, _body(chat_id, able("echo")))
    first.end()
    (conversation,) = alice.rows("llm_conversations?select=id")
    join(alice, bob, conversation["id"])
    endless = able("endless")
    asking = Reader(bob, "POST", chat, _body(conversation["id"], endless))
    asking.until("on ")
    follower = Reader(bob, "GET", f"{chat}/{conversation['id']}/stream")
    follower.until("on ")
    path = f"conversation_members?conversation_id=eq.{conversation['id']}&user_id=eq.{bob.id}"
    assert alice.rest("DELETE", path).status_code == 204
    assert frames(asking.end())[-1]["type"] == "finish"
    assert frames(follower.end())[-1]["type"] in {"abort", "finish"}
    logged = "select status from public.chat_logs where user_id = %s"
    assert [row["status"] for row in db.execute(logged, [bob.id])] == ["cancelled"]


@pytest.fixture
def killed(
    alice: Person, upstream: Upstream, able: Models, function: Callable[..., Any], db: Database
) -> tuple[str, dict[str, Any]]:
    """The chat id and the turn of an answer whose instance was killed after two words."""
    chat_id = uuid.uuid4().hex
    url, process = function("chat", **variables(upstream))
    first = Reader(alice, "POST", url, _body(chat_id, able("stall")))
    kept = (
        "select p.turn_id from private.turn_pieces as p join private.turns as r on r.id = p.turn_id where user_id = %s"
    )
    found = eventually(lambda: db.execute(kept, [alice.id]).fetchone())
    process.kill()
    process.wait(10)
    assert "two " in first.text
    return chat_id, {"turn_id": str(found["turn_id"])}


def test_words_of_a_killed_instance_are_shown_and_a_retry_replaces_them(
    alice: Person, chat: str, able: Models, db: Database, killed: tuple[str, dict[str, Any]]
) -> None:
    """The lease is at most half a minute; then the stream ends with an error, and the retry is the only answer."""
    chat_id, turn = killed
    lease = db.execute(
        "select extract(epoch from lease_until - now()) as left from private.turns where id = %s", [turn["turn_id"]]
    ).fetchone()
    assert lease is not None
    assert 0 < lease["left"] <= 30
    die(db, turn)
    found = httpx.get(f"{chat}/{chat_id}/stream", headers=alice.headers, timeout=10)
    events = frames(found.text)
    assert (text_of(events), events[-1]["type"]) == ("one two ", "error")
    again = _body(chat_id, able("echo"), stream=False, trigger="regenerate-message", messageId=turn["turn_id"])
    assert alice.ask(again, chat).status_code == 200
    assert texts_of(shown_messages(alice, chat_id)) == ["Tell me."] * 2
    assert httpx.get(f"{chat}/{chat_id}/stream", headers=alice.headers).status_code == 204
    sweep(alice.stack)
    assert texts_of(shown_messages(alice, chat_id)) == ["Tell me."] * 2
    assert reserved_usd(db, alice) == 0
    assert sorted(row["status"] for row in alice.rows("chat_logs?select=status")) == ["abandoned", "completed"]


def test_a_sweep_stores_the_words_of_a_killed_instance(
    alice: Person, db: Database, killed: tuple[str, dict[str, Any]]
) -> None:
    """They are a partial answer, the pieces are gone, and nothing stays reserved."""
    chat_id, turn = killed
    die(db, turn)
    assert sweep(alice.stack) >= 1
    (answer,) = _answers(db, alice)
    assert (answer["content"], answer["status"], answer["logged"]) == ("one two ", "partial", "abandoned")
    assert texts_of(shown_messages(alice, chat_id)) == ["Tell me.", "one two"]
    assert db.execute("select 1 from private.turn_pieces where turn_id = %s", [turn["turn_id"]]).fetchall() == []
    assert reserved_usd(db, alice) == 0


@pytest.mark.parametrize("how", ["conversation", "data"])
def test_a_deletion_takes_the_kept_words_and_ends_the_answer(
    alice: Person, chat: str, able: Models, upstream: Upstream, db: Database, how: str
) -> None:
    """Nothing of the words is left in the database, and the model's call ends."""
    planted, identifier = f"planted{uuid.uuid4().hex}", able("planted")
    upstream.plays[_name(identifier)] = (Script((f"{planted} ",), "silent"),)
    first = Reader(alice, "POST", chat, _body("c", identifier))
    first.until(planted)
    eventually(lambda: "private.turn_pieces" in words_left(db, planted))
    (conversation,) = alice.rows("llm_conversations?select=id")
    call = (
        ("delete_conversation", {"conversation_id": conversation["id"]})
        if how == "conversation"
        else (
            "delete_my_data",
            {},
        )
    )
    assert alice.rest("POST", f"rpc/{call[0]}", json=call[1]).status_code == 204
    assert upstream.until_hung_up(_name(identifier))
    first.end()
    assert words_left(db, planted) == []


def test_reloads_at_any_moment_show_the_answer_whole_and_once(
    alice: Person, chat: str, paced: str, stack: Stack, db: Database
) -> None:
    """The real `useChat` is reloaded before the first word, in the middle and in the last milliseconds."""
    moments = (0, 40, 150, 300, 500, 700, 800, 850, 880, 900, 950, 1000)
    reloads = [{"id": uuid.uuid4().hex, "text": f"Question {ms}", "afterMs": ms} for ms in moments]
    shown: list[dict[str, Any]] = run(
        "resume_chat",
        api=chat,
        token=alice.token,
        rest=f"{stack['SUPABASE_URL']}/rest/v1",
        anon=stack["SUPABASE_ANON_KEY"],
        body={"model": paced, "resumable": True},
        reloads=reloads,
    )
    for each, reload in zip(shown, reloads, strict=True):
        assert (each["status"], each["error"]) == ("ready", None)
        assert texts_of(each["messages"]) == [reload["text"], "".join(WORDS).strip()]
    assert len(_answers(db, alice)) == len(alice.rows("chat_logs?select=id")) == len(moments)


def test_two_devices_read_the_same_text(alice: Person, chat: str, paced: str) -> None:
    """Followers that come at different moments get the same frames."""
    chat_id = uuid.uuid4().hex
    first = Reader(alice, "POST", chat, _body(chat_id, paced))
    followers = []
    for word in ("word1 ", "word9 ", "word25 "):
        first.until(word)
        followers.append(Reader(alice, "GET", f"{chat}/{chat_id}/stream"))
    texts = {text_of(frames(reader.end())) for reader in (first, *followers)}
    assert texts == {"".join(WORDS)}


def test_fifty_followers_read_the_same_text_and_more_are_refused(alice: Person, chat: str, paced: str) -> None:
    """Each follower gets the whole stream; beyond the bound of a person a request is 429, until others have left."""
    chat_id = str(uuid.uuid4())
    own = Reader(alice, "POST", f"{chat}/", _body(chat_id, paced))
    own.until("word1 ")
    followers = [Reader(alice, "GET", f"{chat}/{chat_id}/stream") for _ in range(MAX_OF_PERSON)]
    for each in followers:
        each.until("word1 ")
    refused = httpx.get(f"{chat}/{chat_id}/stream", headers=alice.headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_followers")
    assert int(refused.headers["Retry-After"]) > 0
    whole = own.end()
    assert {text_of(frames(each.end())) for each in followers} == {text_of(frames(whole))}
    assert httpx.get(f"{chat}/{chat_id}/stream", headers=alice.headers).status_code in {200, 204}


def test_a_resumable_turn_needs_a_stored_conversation(alice: Person, chat: str, able: Models) -> None:
    """`store: false` with it is 422."""
    refused = alice.ask(_body("c", able("echo"), store=False), chat)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "validation_failed")


def test_many_questions_at_once_are_one_turn(alice: Person, chat: str, paced: str, db: Database) -> None:
    """Ten equal requests with one key: one answer, the others 409; a later one replays it."""
    body = _body("c", paced, stream=False)
    with ThreadPoolExecutor(10) as pool:
        key = {"Idempotency-Key": "once"}
        found = list(pool.map(lambda _: alice.ask(body, chat, **key).status_code, range(10)))
    assert sorted(set(found)) in ([200], [200, 409])
    assert alice.ask(body, chat, **key).headers["idempotent-replayed"] == "true"
    assert len(_answers(db, alice)) == 1


def test_a_question_after_a_stop_in_the_middle_of_tool_calls_is_answered(
    alice: Person, chat: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """The tool has run and the model is silent: no 400 by the provider, no 409; the tool's part is kept."""
    chat_id, tooled = uuid.uuid4().hex, able("tooled")
    call = ("hand_off", {"agent": "technical", "reason": "It is about code."})
    upstream.plays[_name(tooled)] = (Script(("A moment. ",), calls=(call,)), Script((), "silent"), Script(("Later.",)))
    first = Reader(alice, "POST", chat, _body(chat_id, tooled))
    assert upstream.until_called(_name(tooled), 2)
    assert alice.ask({}, f"{chat}/{chat_id}/stop").json()["stopped"]
    second = alice.ask(_body(chat_id, tooled, "And now?", stream=False), chat)
    assert (second.status_code, second.json()["message"]["content"]) == (200, "Later.")
    assert frames(first.end())[-1]["type"] == "finish"
    assert [row["status"] for row in _answers(db, alice)] == ["cancelled", "completed"]
    assert "tool-hand_off" in [part["type"] for part in shown_messages(alice, chat_id)[1]["parts"]]


def test_the_data_api_keeps_follows_and_stops_as_well(
    alice: Person, upstream: Upstream, able: Models, paced: str, function: Callable[..., Any], db: Database
) -> None:
    """Without a connection of its own chat writes and reads the pieces over the data API."""
    url, _ = function("chat", **variables(upstream), LEDGER_DATABASE_URL="")
    first = Reader(alice, "POST", url, _body("whole", paced))
    first.until("word3 ")
    first.close()
    assert text_of(frames(Reader(alice, "GET", f"{url}/whole/stream").end())) == "".join(WORDS)
    second = Reader(alice, "POST", url, _body("stopped", able("stall")))
    second.until("two ")
    assert alice.ask({}, f"{url}/stopped/stop").json()["stopped"]
    assert frames(second.end())[-1]["type"] == "finish"
    assert [row["status"] for row in _answers(db, alice)] == ["completed", "cancelled"]
