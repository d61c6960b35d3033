"""A conversation: its history in the prompt, one turn at a time, its title and model, and the fields of a turn."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.errors import TurnInProgress
from shared.supabase import refusal
from tests.fakes.providers import Upstream
from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, connect, eventually, log_row, service
from tests.stack.turns import Database, asked, begin, die, finish, sweep


def _remembered(db: Database, person: Person, turns: int, words: int = 20) -> str:
    """A conversation of so many turns, each a question and an answer of about so many words."""
    row = db.execute("insert into public.llm_conversations (user_id) values (%s) returning id", [person.id]).fetchone()
    assert row is not None
    conversation = str(row["id"])
    db.execute(
        "insert into public.conversation_members (conversation_id, user_id, role) values (%s, %s, 'owner')",
        [conversation, person.id],
    )
    db.execute(
        """insert into public.messages (conversation_id, user_id, role, content, turn_id, created_at)
           select %(conversation)s::uuid, case r.role when 'user' then %(person)s::uuid end, r.role,
             r.role || ' ' || t.n || repeat(' word', %(words)s), md5(%(conversation)s::text || t.n)::uuid,
             now() - interval '1 day' + make_interval(secs => t.n * 10 + r.place)
           from generate_series(1, %(turns)s) as t (n), (values ('user', 1), ('assistant', 2)) as r (role, place)""",
        {"conversation": conversation, "person": person.id, "turns": turns, "words": words},
    )
    return conversation


def _tokens(messages: list[dict[str, Any]]) -> int:
    return sum((len(m["content"].encode()) + 2) // 3 + 4 for m in messages)


def test_three_hundred_turns_are_answered_within_the_models_context(
    alice: Person, db: Database, model: Models, upstream: Upstream
) -> None:
    """The model reads the newest whole turns and the question; the row counts every message that it was not shown."""
    name = named("echo", "client")
    conversation = _remembered(db, alice, 300, words=60)
    answer = alice.whole("and now?", model=model(name), conversation_id=conversation)
    (call,) = upstream.calls_of(name)
    text = [m["content"] for m in call.body["messages"] if m["role"] != "system"]
    assert text[-1].endswith("and now?")
    history = text[:-1]
    numbers = [int(each.split()[1]) for each in history]
    assert numbers == [n for n in range(numbers[0], 301) for _ in range(2)]
    assert sum((len(each.encode()) + 2) // 3 + 4 for each in text) <= 8192 - 1000
    row = log_row(db, answer["id"])
    assert row["history_left_out"] == 600 - len(history)
    assert row["history_left_out"] > 400


@pytest.mark.parametrize(("turns", "window", "shown"), [(300, 10**6, 601), (700, 10**6, 999), (300, 20000, None)])
def test_what_is_left_out_is_counted_however_long_a_conversation_is(
    alice: Person, db: Database, model: Models, turns: int, window: int, shown: int | None
) -> None:
    """Everything fits, or whole turns of the newest thousand messages, or what the window holds; all is counted."""
    name, conversation = model("echo"), _remembered(db, alice, turns)
    post = {"conversation_id": conversation, "content": "among ourselves"}
    assert alice.rest("POST", "messages", json=post).status_code == 201
    capabilities = json.dumps({"context_window": window, "max_output_tokens": 1000})
    db.execute("update public.llm_models set capabilities = %s where model_key = %s", [capabilities, name])
    turn = begin(alice, name, conversation_id=conversation)
    history = turn["history"]
    assert len(history) + turn["history_left_out"] == turns * 2 + 1
    assert (shown is None) or len(history) == shown
    assert [m["role"] for m in history] == ["user", "assistant"] * (len(history) // 2) + ["user"]
    assert _tokens(history) <= window - 1000
    assert shown is not None or _tokens(history) > window - 1000 - 200  # no more falls away than must


def test_a_long_conversation_counts_all_its_messages(alice: Person, db: Database, model: Models) -> None:
    """Of ten thousand messages each is either in the prompt or counted as left out, turn after turn."""
    name, conversation = model("echo"), _remembered(db, alice, 5000)
    db.execute("analyze public.messages")
    for _ in range(5):
        turn = begin(alice, name, conversation_id=conversation)
        finish(alice, turn)
    assert turn["history_left_out"] + len(turn["history"]) == 10_000 + 2 * 4


def test_a_question_and_its_answer_stay_or_go_together(alice: Person, db: Database, model: Models) -> None:
    """An answer that would fit alone does not come without its question; messages between users stay alone."""
    name, conversation = model("echo"), _remembered(db, alice, 1, words=1)
    long = begin(alice, name, conversation_id=conversation, message="x" * 30_000)
    finish(alice, long, content="short")
    post = {"conversation_id": conversation, "content": "just saying"}
    assert alice.rest("POST", "messages", json=post).status_code == 201
    turn = begin(alice, name, conversation_id=conversation)
    assert [m["content"] for m in turn["history"]] == ["just saying"]
    assert turn["history_left_out"] == 4


def test_a_question_whose_turn_failed_stays_in_the_history(alice: Person, model: Models) -> None:
    """Two questions in a row are what happened; a retry of the first does not find itself in its own history."""
    name, key = model("echo"), {"idempotency_key": "k", "body_hash": "h"}
    first = begin(alice, name, message="first", **key)
    finish(alice, first, status="failed", content="", response=None)
    again = begin(alice, name, message="first", **key)
    assert (again["turn_id"], again["history"]) == (first["turn_id"], [])
    finish(alice, again, status="failed", content="", response=None)
    second = begin(alice, name, message="second", conversation_id=first["conversation_id"])
    assert [(m["role"], m["content"]) for m in second["history"]] == [("user", "first")]
    assert (second["history_left_out"], second["speaker"], second["participants"]) == (0, None, 1)
    assert "name" not in second["history"][0]


def test_of_twenty_turns_at_once_one_is_begun(alice: Person, db: Database, model: Models, stack: Stack) -> None:
    """The others get a time to retry; they leave no message, no reserved money and no count."""
    name = model("echo")
    first = begin(alice, name)
    finish(alice, first)
    conversation = first["conversation_id"]
    waiting = """select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%%chat_begin%%'
                 having count(*) >= 4"""
    with connect(stack) as other, ThreadPoolExecutor(20) as pool:
        # What is locked last is held, so that all of them have looked before the first has ended.
        other.execute("begin")
        other.execute("select from public.usage_counters where scope = %s for update", [alice.id])
        asking = [pool.submit(asked, alice, name, conversation_id=conversation) for _ in range(20)]
        eventually(lambda: db.execute(waiting).fetchone())
        other.execute("commit")
        answers = [each.result() for each in asking]
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
    received = refusal(409, next(answer for answer in answers if answer.status_code == 409).json())
    assert isinstance(received, TurnInProgress)
    assert (received.code, received.metadata["conversation_id"]) == ("turn_in_progress", conversation)
    assert 1 <= (received.retry_after_seconds or 0) <= 5
    assert len(alice.rows(f"messages?conversation_id=eq.{conversation}")) == 3
    assert alice.rows("usage_counters?period=eq.day")[0]["requests"] == 2
    open_turns = service(stack, "POST", "rpc/open_turns", json={}).json()
    assert len([turn for turn in open_turns if turn["conversation_id"] == conversation]) == 1


def test_twins_of_one_chat_are_one_turn(alice: Person, model: Models) -> None:
    """A frontend that sends the first message of a new chat twice begins one conversation and one turn."""
    name = model("echo")
    with ThreadPoolExecutor(8) as pool:
        statuses = [a.status_code for a in pool.map(lambda _: asked(alice, name, client_id="new chat"), range(8))]
    assert sorted(statuses) == [200] + [409] * 7
    assert len(alice.rows("llm_conversations")) == 1


def test_a_second_turn_is_409_with_when_to_come_back(alice: Person, model: Models, upstream: Upstream) -> None:
    """Over HTTP: while the model speaks, another turn is refused, what people say is not; afterwards it is welcome."""
    name = named("slow", "client")
    slow, echo = model(name), model("echo")
    body = {"message": "first", "model": slow, "stream": False, "id": "one chat"}
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(alice.ask, body)
        assert upstream.until_called(name)
        (conversation,) = alice.rows("llm_conversations")
        second = alice.ask({"message": "second", "model": echo, "conversation_id": conversation["id"]})
        assert (second.status_code, second.json()["error"]["code"]) == (409, "turn_in_progress")
        assert 1 <= int(second.headers["retry-after"]) <= 5
        post = {"conversation_id": conversation["id"], "content": "meanwhile"}
        assert alice.rest("POST", "messages", json=post).status_code == 201
        dry = {"message": "x", "model": echo, "conversation_id": conversation["id"]}
        assert alice.ask(dry | {"dry_run": True}).status_code == 200
        assert alice.ask(dry | {"store": False, "stream": False}).status_code == 200
        upstream.release()
        assert asking.result().status_code == 200
    assert alice.whole("second", model=echo, conversation_id=conversation["id"])["message"]["content"] == "second "


def test_what_people_say_does_not_wait_for_a_turn_that_begins(alice: Person, db: Database, stack: Stack) -> None:
    """A message is stored while the conversation's row is held, and afterwards it counts as activity."""
    conversation = _remembered(db, alice, 1)
    post = {"conversation_id": conversation, "content": "quick"}
    with connect(stack) as other:
        other.execute("begin")
        other.execute("update public.llm_conversations set title = 'held' where id = %s", [conversation])
        assert alice.rest("POST", "messages", json=post, timeout=2).status_code == 201
        other.execute("rollback")
    db.execute("update public.llm_conversations set last_activity = '2026-01-01' where id = %s", [conversation])
    assert alice.rest("POST", "messages", json=post).status_code == 201
    assert alice.rows(f"llm_conversations?id=eq.{conversation}")[0]["last_activity"] > "2026-01-02"


def test_a_turn_that_died_does_not_hold_its_conversation(alice: Person, db: Database, model: Models) -> None:
    """After its lease another turn begins, before any sweep; once that has ended, the dead one's key is taken over."""
    name, key = model("echo"), {"idempotency_key": "k", "body_hash": "h"}
    dead = begin(alice, name, **key)
    conversation = dead["conversation_id"]
    assert asked(alice, name, conversation_id=conversation).status_code == 409
    die(db, dead)
    second = begin(alice, name, conversation_id=conversation)
    assert asked(alice, name, **key).status_code == 409
    finish(alice, second)
    taken = begin(alice, name, **key)
    assert (taken["outcome"], taken["turn_id"], taken["conversation_id"]) == (
        "new",
        dead["turn_id"],
        conversation,
    )
    assert finish(alice, taken)["outcome"] == "settled"


@pytest.mark.parametrize("store", [True, False])
def test_a_turn_that_is_not_stored_takes_no_conversation(alice: Person, model: Models, store: bool) -> None:
    """It neither waits for a stored one nor makes one wait."""
    name = model("echo")
    conversation = begin(alice, name, client_id="c", store=True)
    finish(alice, conversation)
    named_so = {"conversation_id": conversation["conversation_id"]}
    begin(alice, name, store=store, **named_so)
    assert asked(alice, name, store=not store, **named_so).status_code == 200


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("What is a tick?\nAnd a point?", "What is a tick?"),
        ("\n\n  \t What   is\ta tick? \r\nx", "What is a tick?"),
        ("word " * 30, ("word " * 16).strip()),
        ("x" * 80 + " more", "x" * 80),
        ("x" * 79 + " more", "x" * 79),
        ("x" * 200, "x" * 80),
        ("日本語" * 40, ("日本語" * 27)[:80]),
        ("one\u2028two", "one"),
        ("a\u0007b", "a b"),
    ],
)
def test_a_conversation_is_titled_by_its_first_question(alice: Person, model: Models, message: str, title: str) -> None:
    """The first line with words, at most eighty characters, cut between words where there are any."""
    turn = begin(alice, model("echo"), message=message)
    assert alice.rows(f"llm_conversations?id=eq.{turn['conversation_id']}")[0]["title"] == title


def test_a_title_that_stands_is_not_overwritten(alice: Person, model: Models) -> None:
    """Neither by the next question nor what its owner chose by the first; without a word there is no title."""
    name = model("echo")
    first = begin(alice, name, message="   \n ")
    path = f"llm_conversations?id=eq.{first['conversation_id']}"
    assert alice.rows(path)[0]["title"] is None
    finish(alice, first)
    for message, title in (("one", "one"), ("two", "one"), ("three", "mine")):
        if title == "mine":
            assert alice.rest("PATCH", path, json={"title": "mine"}).status_code == 204
        finish(alice, begin(alice, name, conversation_id=first["conversation_id"], message=message))
        assert alice.rows(path)[0]["title"] == title


def test_an_answer_says_which_model_and_agent_gave_it(alice: Person, model: Models) -> None:
    """Every assistant message has its model; row and conversation have the fields of the result."""
    name = model("echo")
    assert alice.rest("POST", "user_llm_profiles", json={}).status_code == 201  # whose skill may be assessed
    turn = begin(alice, name)
    received: dict[str, Any] = {
        "identifier": name,
        "agent_type": "technical",
        "agent_handoffs": 2,
        "tools_used": [{"name": "analyze_data", "ms": 12, "ok": True, "rows": 3}],
        "domain_classification": "trading",
        "user_skill_assessment": "advanced",
        "escalation_suggested": True,
        "escalation_metadata": {"from": "general", "to": "technical"},
        "context_size_tokens": 321,
        "parts": [{"type": "text", "text": "hello"}],
        "usage": {"input_tokens": 900, "output_tokens": 50, "source": "provider"},
    }
    assert finish(alice, turn, **received)["outcome"] == "settled"
    (row,) = alice.rows("chat_logs")
    kept = ("agent_type", "tools_used", "domain_classification", "user_skill_assessment", "escalation_suggested")
    assert {key: row[key] for key in kept} == {key: received[key] for key in kept}
    assert row["escalation_metadata"] == received["escalation_metadata"]
    assert (row["context_size_tokens"], row["input_tokens"], row["history_left_out"]) == (321, 900, 0)
    (message,) = alice.rows("messages?role=eq.assistant")
    assert (message["model_used"], message["agent_type"], message["parts"]) == (name, "technical", received["parts"])
    (conversation,) = alice.rows("llm_conversations")
    assert (conversation["primary_agent"], conversation["agent_handoffs"]) == ("technical", 2)
    again = begin(alice, name, conversation_id=turn["conversation_id"])
    finish(alice, again, agent_type="research", agent_handoffs=1)
    (conversation,) = alice.rows("llm_conversations")
    assert (conversation["primary_agent"], conversation["agent_handoffs"]) == ("research", 3)


def test_a_late_finish_tells_all_of_it_too(alice: Person, db: Database, model: Models, stack: Stack) -> None:
    """What a sweep closed as abandoned becomes what it was; what was left out is known to both."""
    conversation = _remembered(db, alice, 300, words=60)
    turn = begin(alice, model("echo"), conversation_id=conversation)
    die(db, turn)
    sweep(stack)
    row = log_row(db, turn["turn_id"])
    assert (row["status"], row["history_left_out"]) == ("abandoned", turn["history_left_out"])
    received = {"domain_classification": "data", "escalation_suggested": True, "tools_used": [{"name": "x"}]}
    finish(alice, turn, context_size_tokens=7, **received)
    row = log_row(db, turn["turn_id"])
    assert {key: row[key] for key in received} == received
    assert (row["status"], row["context_size_tokens"], row["history_left_out"]) == (
        "completed",
        7,
        turn["history_left_out"],
    )


@pytest.mark.parametrize("odd", [None, {}, "x", {"name": "not an array"}])
def test_odd_tools_do_not_cost_the_row(alice: Person, model: Models, odd: Any) -> None:
    """Whatever stands where the tools should: the turn is booked, and its tools are none."""
    turn = begin(alice, model("echo"))
    assert finish(alice, turn, tools_used=odd)["outcome"] == "settled"
    assert alice.rows("chat_logs")[0]["tools_used"] == []


def test_a_forgotten_turn_leaves_no_words_of_tools_or_escalation(alice: Person, db: Database, model: Models) -> None:
    """When the user asks for deletion during the turn, figures stay and all text goes."""
    turn = begin(alice, model("echo"))
    alice.rest("POST", "rpc/delete_my_data")
    finish(alice, turn, tools_used=[{"name": "planted"}], escalation_metadata={"reason": "planted"})
    row = log_row(db, turn["turn_id"])
    assert (row["tools_used"], row["escalation_metadata"], row["status"]) == ([], None, "completed")


def test_a_turn_without_a_model_follows_conversation_person_agent_and_catalogue(
    alice: Person, db: Database, model: Models
) -> None:
    """In this order; each says why it was chosen, and one that is gone lets the next one choose."""
    of = {
        who: model(named("echo", "openai"), provider="openai") for who in ("conversation", "person", "agent", "asked")
    }
    turn = begin(alice, of["asked"], message="hello")
    assert turn["reason"] == "requested"
    finish(alice, turn)
    conversation, wishes = turn["conversation_id"], ["nothing-like-it", of["agent"], of["asked"]]

    def chosen(**fields: Any) -> tuple[str, str]:
        models = {"research": fields.pop("agent_models", wishes), "general": ["gpt-4o"]}
        asked = {"dry_run": True, "conversation_id": conversation, "agent": "research", "agent_models": models}
        plan = begin(alice, **(asked | fields))
        return plan["routes"][0]["identifier"], plan["reason"]

    default = db.execute("select identifier from public.llm_models where is_default").fetchone()
    assert default is not None
    assert chosen(agent_models=[]) == (default["identifier"], "default")
    assert chosen() == (of["agent"], "agent")
    alice.rest("POST", "user_llm_profiles", json={"preferred_model": of["person"]})
    assert chosen() == (of["person"], "profile")
    alice.rest("PATCH", f"llm_conversations?id=eq.{conversation}", json={"default_model": of["conversation"]})
    assert chosen() == (of["conversation"], "conversation_default")
    assert chosen(model=of["asked"]) == (of["asked"], "requested")
    assert chosen(model="default") == (default["identifier"], "default")
    assert chosen(model="nothing") == (default["identifier"], "model_not_found")
    for gone, kept, reason in (("conversation", "person", "profile"), ("person", "agent", "agent")):
        db.execute("update public.llm_models set is_active = false where model_key = %s", [of[gone]])
        assert chosen() == (of[kept], reason)
        assert chosen(strict_model=True) == (of[kept], reason)
    db.execute("update public.llm_models set replaced_by = %s where model_key = %s", [of["asked"], of["person"]])
    assert chosen() == (of["asked"], "model_replaced")
    db.execute("update public.llm_models set replaced_by = null where model_key = %s", [of["person"]])
    assert chosen(agent_models=["nothing"]) == (default["identifier"], "model_not_found")


@pytest.mark.parametrize("odd", [None, {}, "x", 5, [None, 5, {}, []], ["x"] * 10 + ["gpt-4o"]])
def test_odd_wishes_of_an_agent_choose_the_default(alice: Person, odd: Any) -> None:
    """A direct call may send anything; it gets the catalogue's default, no error, and ten are looked at at most."""
    assert begin(alice, dry_run=True, agent="general", agent_models={"general": odd})["reason"] == "default"
    assert begin(alice, dry_run=True, agent="general", agent_models=odd)["reason"] == "default"


def test_behind_an_agents_wish_stands_the_default(alice: Person, db: Database, model: Models) -> None:
    """A preferred provider that is missing does not fail a turn."""
    wish = model(named("echo", "openai"), provider="openai")
    default = db.execute("select identifier from public.llm_models where is_default").fetchone()
    assert default is not None
    plan = begin(alice, dry_run=True, agent="general", agent_models={"general": [wish]})
    assert [route["identifier"] for route in plan["routes"]][:2] == [wish, default["identifier"]]
    assert len(begin(alice, wish, dry_run=True)["routes"]) == 1


@pytest.mark.parametrize(
    ("asked", "preferred", "likely", "speaks"),
    [
        (None, None, "technical", "technical"),
        (None, "research", "technical", "research"),
        (None, "auto", "technical", "technical"),
        ("auto", "research", "technical", "technical"),
        ("general", "research", "technical", "general"),
    ],
)
def test_the_wish_that_counts_is_that_of_the_agent_who_speaks(
    alice: Person, model: Models, asked: str | None, preferred: str | None, likely: str, speaks: str
) -> None:
    """Whom the caller asked for, else whom the person prefers, else the likely one."""
    of = {name: model(named("echo", "openai"), provider="openai") for name in ("general", "technical", "research")}
    assert alice.rest("POST", "user_llm_profiles", json={"preferred_agent": preferred}).status_code == 201
    models = {name: [identifier] for name, identifier in of.items()}
    plan = begin(alice, dry_run=True, agent=likely, asked_agent=asked, agent_models=models)
    assert (plan["routes"][0]["identifier"], plan["reason"]) == (of[speaks], "agent")


def test_steps_without_a_word_are_no_answer_until_the_turn_is_complete(
    alice: Person, db: Database, model: Models
) -> None:
    """What was tried again with its key is what the conversation keeps; a complete turn of steps alone is kept, too."""
    steps = [{"type": "step-start"}, {"type": "tool-hand_off", "toolCallId": "c", "state": "input-available"}]
    identifier, key = model("echo"), {"idempotency_key": "k1", "body_hash": "x"}
    first = begin(alice, identifier, **key)
    finish(alice, first, status="partial", content="", parts=steps, error_code="provider_refused")
    again = begin(alice, identifier, **key)
    assert again["turn_id"] == first["turn_id"]
    finish(alice, again, content="The answer")
    query = "select content from public.messages where turn_id = %s and role = 'assistant'"
    assert db.execute(query, [first["turn_id"]]).fetchall() == [{"content": "The answer"}]
    whole = begin(alice, identifier)
    finish(alice, whole, content="", parts=steps)
    assert db.execute(query, [whole["turn_id"]]).fetchall() == [{"content": ""}]
    asked = begin(alice, identifier, conversation_id=whole["conversation_id"])
    assert "" not in [message["content"] for message in asked["history"]]


def test_a_deleted_user_blocks_no_other_user(alice: Person, bob: Person, model: Models) -> None:
    """A member who was removed in the middle of a turn of theirs does not keep the conversation."""
    identifier = model("echo")
    conversation = alice.whole("hi", model=identifier)["conversation_id"]
    member = {"conversation_id": conversation, "user_id": bob.id}
    assert alice.rest("POST", "conversation_members", json=member).status_code == 201
    assert asked(bob, identifier, conversation_id=conversation, lease_seconds=900).status_code == 200
    assert asked(alice, identifier, conversation_id=conversation).status_code == 409
    assert alice.rest("DELETE", f"conversation_members?user_id=eq.{bob.id}").status_code == 204
    assert asked(alice, identifier, conversation_id=conversation).status_code == 200


def test_a_turn_of_a_forgotten_user_makes_no_further_call(alice: Person, model: Models, stack: Stack) -> None:
    """Their turn may not make another call."""
    turn = begin(alice, model("echo"))
    extension = {"turn_id": turn["turn_id"], "worker_id": turn["worker_id"], "input_tokens": 5}
    received = service(stack, "POST", "rpc/chat_extend", json={"extension": extension}).json()
    assert received["outcome"] == "extended"
    alice.rest("POST", "rpc/delete_my_data")
    received = service(stack, "POST", "rpc/chat_extend", json={"extension": extension}).json()
    assert received["outcome"] == "closed"


def test_no_member_can_store_parts_of_a_message(alice: Person, db: Database, model: Models) -> None:
    """Posted parts are refused, requested ones left out, older ones not shown: a question is the text in the prompt."""
    name = model("echo")
    parts = [1, None, {"type": "text"}, {"type": "file", "url": "javascript:alert(1)"}, {"type": "data-receipt"}]
    turn = begin(alice, name, parts=parts)
    finish(alice, turn, parts=[{"type": "step-start"}, {"type": "text", "text": "hello"}])
    conversation = turn["conversation_id"]
    post = {"conversation_id": conversation, "content": "said"}
    assert alice.rest("POST", "messages", json=post | {"parts": parts}).status_code == 403
    assert alice.rest("POST", "messages", json=post).status_code == 201
    assert [row["parts"] for row in alice.rows("messages?role=eq.user")] == [None, None]
    db.execute("update public.messages set parts = %s where user_id = %s", [json.dumps(parts), alice.id])
    shown = alice.rest("POST", "rpc/ui_messages", json={"chat_id": conversation}).json()
    assert [message["parts"] for message in shown] == [
        [{"type": "text", "text": "hi"}],
        [{"type": "step-start"}, {"type": "text", "text": "hello"}],
        [{"type": "text", "text": "said"}],
    ]


def test_an_id_is_the_same_in_either_case(alice: Person, model: Models) -> None:
    """A conversation is found by its id, to load and to go on; a frontend's own id stays its own."""
    name, own = model("echo"), str(uuid.uuid4()).upper()
    conversation = alice.whole("hi", model=name, id=own)["conversation_id"]
    for chat_id in (own, conversation, conversation.upper()):
        assert alice.rest("POST", "rpc/ui_messages", json={"chat_id": chat_id}).json()[0]["metadata"] is not None
        assert alice.whole("again", model=name, id=chat_id)["conversation_id"] == conversation
    assert alice.rest("POST", "rpc/ui_messages", json={"chat_id": own.lower()}).json() == []


def test_a_new_conversation_keeps_the_channel_and_thread_it_began_in(alice: Person, model: Models) -> None:
    """Other interfaces find their thread again; a later turn from elsewhere does not move the conversation."""
    name, place = model("echo"), {"channel_id": "C024BE91L", "thread_ts": "1355517523.000005"}
    conversation = alice.whole("hi", model=name, **place)["conversation_id"]
    alice.whole("again", model=name, conversation_id=conversation, channel_id="elsewhere")
    (row,) = alice.rows(f"llm_conversations?id=eq.{conversation}")
    assert {column: row[column] for column in place} == place
    assert alice.rows("chat_logs?select=endpoint") == [{"endpoint": "chat"}] * 2
