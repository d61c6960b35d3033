"""Resumable turns: they outlive their client, are followed and stopped by other requests, and are booked once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from functions.chat.resumable.watching import MAX_OF_PERSON
from tests.fakes.providers import Script, Upstream
from tests.providers import variables
from tests.stack.assists import name_of, plays
from tests.stack.conftest import Models
from tests.stack.javascript import run
from tests.stack.people import Person, Stack, eventually, frames, log_row, text_of
from tests.stack.regenerations import shown_messages, texts_of
from tests.stack.resumable import PACED, WORDS, Reader, answers_of, question
from tests.stack.turns import Database, reserved_usd


@pytest.fixture
def paced(able: Models, upstream: Upstream) -> str:
    """A model that takes a second for its forty words."""
    return plays(upstream, able("paced"), PACED)


def test_an_answer_goes_on_after_its_client_has_left_and_another_reads_it_whole(
    alice: Person, chat: str, paced: str, db: Database
) -> None:
    """The follower gets the stream from its first frame to its last; there is one message and one log row."""
    chat_id = uuid.uuid4().hex
    first = Reader(alice, "POST", chat, question(chat_id, paced))
    first.until("word3 ")
    first.close()
    follower = Reader(alice, "GET", f"{chat}/{chat_id}/stream")
    events = frames(follower.end())
    assert text_of(events) == "".join(WORDS)
    assert [events[0]["type"], events[-1]["type"]] == ["start", "finish"]
    assert [event["type"] for event in events].count("data-receipt") == 1
    (answer,) = answers_of(db, alice)
    assert (answer["content"], answer["status"], answer["logged"]) == ("".join(WORDS), "completed", "completed")
    assert reserved_usd(db, alice) == 0
    after = httpx.get(f"{chat}/{chat_id}/stream", headers=alice.headers)
    assert (after.status_code, after.text) == (204, "")


def test_a_plain_answer_still_ends_with_its_client(alice: Person, chat: str, paced: str, db: Database) -> None:
    """Without the field a hang-up cancels the turn, and nothing of it is kept or followed."""
    chat_id = uuid.uuid4().hex
    first = Reader(alice, "POST", chat, question(chat_id, paced, resumable=False))
    first.until("word3 ")
    assert httpx.get(f"{chat}/{chat_id}/stream", headers=alice.headers).status_code == 204
    assert alice.ask({}, f"{chat}/{chat_id}/stop").json() == {"stopped": False, "turn_id": None}
    first.close()
    (answer,) = eventually(lambda: answers_of(db, alice))
    assert (answer["status"], answer["logged"]) == ("cancelled", "cancelled")
    kept = db.execute("select 1 from private.turn_pieces where turn_id = %s", [answer["turn_id"]])
    assert kept.fetchall() == []


def test_a_stop_from_elsewhere_ends_the_models_call_and_keeps_the_words(
    alice: Person, chat: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """The model is silent; its connection ends, the first client reads the end, and the next question is answered."""
    chat_id, stalled = uuid.uuid4().hex, able("stall")
    first = Reader(alice, "POST", chat, question(chat_id, stalled))
    first.until("two ")
    stopped = alice.ask({}, f"{chat}/{chat_id}/stop").json()
    second = alice.ask(question(chat_id, able("echo"), "And now", stream=False), chat)
    assert (second.status_code, second.json()["message"]["content"]) == (200, "And now ")
    assert upstream.until_hung_up(name_of(stalled))
    events = frames(first.end())
    assert [event["type"] for event in events][-3:] == ["data-receipt", "abort", "finish"]
    answer = answers_of(db, alice)[0]
    assert (answer["content"], answer["status"], answer["logged"]) == ("one two ", "cancelled", "cancelled")
    assert stopped == {"stopped": True, "turn_id": str(answer["turn_id"])}
    assert log_row(db, answer["turn_id"])["cost_usd"] > 0


def test_a_second_question_gets_the_id_of_the_running_turn(
    alice: Person, chat: str, able: Models, upstream: Upstream
) -> None:
    """409 `turn_in_progress` names the turn, whose it is, and that it can be followed."""
    chat_id, stalled = uuid.uuid4().hex, able("stall")
    first = Reader(alice, "POST", chat, question(chat_id, stalled))
    first.until("two ")
    refused = alice.ask(question(chat_id, able("echo")), chat)
    found = refused.json()["error"]["metadata"]
    stopped = alice.ask({}, f"{chat}/{chat_id}/stop").json()
    assert (refused.status_code, found["turn_id"]) == (409, stopped["turn_id"])
    assert (found["yours"], found["resumable"], found["stopping"]) == (True, True, False)
    assert upstream.until_hung_up(name_of(stalled))
    first.end()


@pytest.mark.parametrize("ai", ["ai", "ai7"])
def test_reloads_at_any_moment_show_the_answer_whole_and_once(
    alice: Person, chat: str, paced: str, stack: Stack, db: Database, ai: str
) -> None:
    """The real `useChat`, of AI SDK 6 and 7, is reloaded before the first word, in the middle and near the end."""
    moments = (0, 40, 150, 300, 500, 700, 800, 850, 880, 900, 950, 1000)
    reloads = [{"id": uuid.uuid4().hex, "text": f"Question {ms}", "afterMs": ms} for ms in moments]
    shown: list[dict[str, Any]] = run(
        "resume_chat",
        ai=ai,
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
    assert len(answers_of(db, alice)) == len(alice.rows("chat_logs?select=id")) == len(moments)


def test_two_pages_reloaded_around_the_last_word_show_the_answer_once(
    alice: Person, chat: str, paced: str, stack: Stack, db: Database
) -> None:
    """Moments count from the last words of the stream; two `useChat` pages resume at once and show the same."""
    moments = [
        ("word38 ", 0),
        *((WORDS[-1].strip(), left) for left in (0, 1, 2, 4, 6, 8, 10, 12, 15, 18, 20, 30, 40, 60, 90)),
    ]
    reloads = [
        {"id": uuid.uuid4().hex, "text": f"Question {place}", "word": word, "leftMs": left, "devices": 2}
        for place, (word, left) in enumerate(moments)
    ]
    shown: list[dict[str, Any]] = run(
        "resume_chat",
        ai="ai",
        api=chat,
        token=alice.token,
        rest=f"{stack['SUPABASE_URL']}/rest/v1",
        anon=stack["SUPABASE_ANON_KEY"],
        body={"model": paced, "resumable": True},
        reloads=reloads,
    )
    for each, reload in zip(shown, reloads, strict=True):
        assert [(page["status"], page["error"]) for page in each["pages"]] == [("ready", None)] * 2
        assert [texts_of(page["messages"]) for page in each["pages"]] == [[reload["text"], "".join(WORDS).strip()]] * 2
    assert len(answers_of(db, alice)) == len(alice.rows("chat_logs?select=id")) == len(moments)


def test_two_devices_read_the_same_text(alice: Person, chat: str, paced: str) -> None:
    """Followers that come at different moments get the same frames."""
    chat_id = uuid.uuid4().hex
    first = Reader(alice, "POST", chat, question(chat_id, paced))
    followers = []
    for word in ("word1 ", "word9 ", "word25 "):
        first.until(word)
        followers.append(Reader(alice, "GET", f"{chat}/{chat_id}/stream"))
    texts = {text_of(frames(reader.end())) for reader in (first, *followers)}
    assert texts == {"".join(WORDS)}


def test_fifty_followers_read_the_same_text_and_more_are_refused(alice: Person, chat: str, paced: str) -> None:
    """Each follower gets the whole stream; beyond the bound of a person a request is 429, until others have left."""
    chat_id = str(uuid.uuid4())
    own = Reader(alice, "POST", f"{chat}/", question(chat_id, paced))
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
    refused = alice.ask(question("c", able("echo"), store=False), chat)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "validation_failed")


def test_many_questions_at_once_are_one_turn(alice: Person, chat: str, paced: str, db: Database) -> None:
    """Ten equal requests with one key: one answer, the others 409; a later one replays it."""
    body = question("c", paced, stream=False)
    with ThreadPoolExecutor(10) as pool:
        key = {"Idempotency-Key": "once"}
        found = list(pool.map(lambda _: alice.ask(body, chat, **key).status_code, range(10)))
    assert sorted(set(found)) in ([200], [200, 409])
    assert alice.ask(body, chat, **key).headers["idempotent-replayed"] == "true"
    assert len(answers_of(db, alice)) == 1


def test_a_question_after_a_stop_in_the_middle_of_tool_calls_is_answered(
    alice: Person, chat: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """The tool has run and the model is silent: no 400 by the provider, no 409; the tool's part is kept."""
    chat_id, tooled = uuid.uuid4().hex, able("tooled")
    call = ("hand_off", {"agent": "technical", "reason": "It is about code."})
    upstream.plays[name_of(tooled)] = (
        Script(("A moment. ",), calls=(call,)),
        Script((), "silent"),
        Script(("Later.",)),
    )
    first = Reader(alice, "POST", chat, question(chat_id, tooled))
    assert upstream.until_called(name_of(tooled), 2)
    assert alice.ask({}, f"{chat}/{chat_id}/stop").json()["stopped"]
    second = alice.ask(question(chat_id, tooled, "And now?", stream=False), chat)
    assert (second.status_code, second.json()["message"]["content"]) == (200, "Later.")
    assert frames(first.end())[-1]["type"] == "finish"
    assert [row["status"] for row in answers_of(db, alice)] == ["cancelled", "completed"]
    assert "tool-hand_off" in [part["type"] for part in shown_messages(alice, chat_id)[1]["parts"]]


def test_the_data_api_keeps_follows_and_stops_as_well(
    alice: Person, upstream: Upstream, able: Models, paced: str, function: Callable[..., Any], db: Database
) -> None:
    """Without a connection of its own chat writes and reads the pieces over the data API."""
    url, _ = function("chat", **variables(upstream), LEDGER_DATABASE_URL="")
    first = Reader(alice, "POST", url, question("whole", paced))
    first.until("word3 ")
    first.close()
    assert text_of(frames(Reader(alice, "GET", f"{url}/whole/stream").end())) == "".join(WORDS)
    second = Reader(alice, "POST", url, question("stopped", able("stall")))
    second.until("two ")
    assert alice.ask({}, f"{url}/stopped/stop").json()["stopped"]
    assert frames(second.end())[-1]["type"] == "finish"
    assert [row["status"] for row in answers_of(db, alice)] == ["completed", "cancelled"]
