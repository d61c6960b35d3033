"""delete_my_data and the deletion of accounts."""

from __future__ import annotations

import json
import secrets
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.fakes.providers import Upstream
from tests.stack.conftest import Models
from tests.stack.files import file_part
from tests.stack.people import Person, Stack, eventually, frames, log_row, receipt_of
from tests.stack.turns import Database, begin, finish_with_retry, reserved_usd, words_left


def _delete_person(stack: Stack, person: Person) -> None:
    answer = httpx.delete(
        f"{stack['SUPABASE_URL']}/auth/v1/admin/users/{person.id}",
        headers={"apikey": stack["SUPABASE_SERVICE_KEY"], "Authorization": f"Bearer {stack['SUPABASE_SERVICE_KEY']}"},
    )
    assert answer.status_code == 200, answer.text


def _live(alice: Person, model: Models, planted: str) -> None:
    """A life with words everywhere: turns, a node, a title, metadata, an idempotency key."""
    name = model("echo")
    answer = alice.whole(f"my {planted}", model=name, metadata={"note": planted}, id=planted)
    alice.rest("PATCH", f"llm_conversations?id=eq.{answer['conversation_id']}", json={"title": planted})
    picture = file_part(planted.encode(), "text/plain", f"{planted}.txt")
    question = {"role": "user", "parts": [picture, {"type": "text", "text": f"{planted} in a file"}]}
    assert alice.ask({"messages": [question], "model": name, "id": planted}).status_code == 200
    alice.ask({"message": f"{planted} again", "model": name}, **{"Idempotency-Key": planted, "X-Request-Id": planted})
    alice.ask({"message": "x", "model": f"{planted}-model", "dry_run": False})
    node = {"name": planted, "base_url": f"https://{planted}.example/v1"}
    assert alice.rest("POST", "client_nodes", json=node).status_code == 201
    conversation = {"conversation_id": answer["conversation_id"]}
    for name, arguments in (
        ("create_api_key", {"name": planted}),
        ("create_share", conversation),
        ("create_invitation", conversation | {"email": f"{planted}@x.example"}),
        ("search_messages", {"query": planted}),
        ("fork_conversation", conversation),
    ):
        assert alice.rest("POST", f"rpc/{name}", json=arguments).is_success, name
    note = {"turn_id": answer["id"], "note": planted}
    assert alice.rest("POST", "feedback", json=note).status_code == 201


def _fail(alice: Person, planted: str, db: Database) -> None:
    """Twenty failures of a model of the user's own node, with an alert of what fails."""
    models = json.dumps([{"id": planted}])
    row = db.execute(
        "insert into public.client_nodes (owner_id, name, base_url, models) values (%s, 'mine', %s, %s) returning id",
        [alice.id, "http://127.0.0.1:9/v1", models],
    ).fetchone()
    assert row
    for _ in range(2):
        alice.ask({"message": planted, "model": f"client:{row['id']}:{planted}", "strict_model": True})
    db.execute(
        """insert into public.chat_logs (turn_id, user_id, endpoint, status, provider, model, model_identifier,
             error_code)
           select gen_random_uuid(), l.user_id, l.endpoint, 'failed', l.provider, l.model, l.model_identifier,
             l.error_code
           from public.chat_logs as l, generate_series(1, 20) where l.model_identifier = %s""",
        [f"client:{row['id']}:{planted}"],
    )


def test_a_user_who_asks_is_forgotten_and_totals_stay(alice: Person, model: Models, db: Database) -> None:
    """No table has text of the user; usage and cost stay counted without the user, who can continue to chat."""
    planted = f"w{secrets.token_hex(8)}"
    _live(alice, model, planted)
    _fail(alice, planted, db)
    db.execute("select public.raise_service_alerts(error_percent => 50)")
    assert not db.execute("select from public.cost_alerts where threshold ~ %s", [planted]).fetchall()
    turns = [row["turn_id"] for row in alice.rows("chat_logs?select=turn_id")]
    total = "select sum(cost_usd) as usd, count(*) as n from public.chat_logs where turn_id = any(%s)"
    spent = db.execute(total, [turns]).fetchone()
    assert spent is not None
    assert spent["n"] == len(turns) > 0
    assert "public.messages" in words_left(db, planted)
    assert alice.rest("POST", "rpc/delete_my_data").status_code == 204
    assert words_left(db, planted) == []
    assert alice.rows("chat_logs") == alice.rows("messages") == []
    assert db.execute(total, [turns]).fetchone() == spent
    assert alice.whole("hello again", model=model("echo"))["message"]["content"] == "hello again "


def test_no_user_deletes_the_data_of_another(alice: Person, bob: Person, model: Models, stack: Stack) -> None:
    """delete_my_data deletes only the caller's own text, and needs a signed-in user."""
    theirs = bob.whole("keep me", model=model("echo"))
    alice.rest("POST", "rpc/delete_my_data")
    assert bob.rows(f"chat_logs?turn_id=eq.{theirs['id']}")[0]["response"] == "keep me "
    anon = {"apikey": stack["SUPABASE_ANON_KEY"]}
    assert httpx.post(f"{stack['SUPABASE_URL']}/rest/v1/rpc/delete_my_data", headers=anon).status_code in {
        401,
        403,
        404,
    }


def test_a_deleted_person_leaves_no_words_and_no_name(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """Deleting the account removes text and name from all tables; no foreign key prevents it."""
    planted = f"w{secrets.token_hex(8)}"
    _live(alice, model, planted)
    _delete_person(stack, alice)
    assert words_left(db, planted) == []
    assert db.execute("select from public.chat_logs where user_id = %s", [alice.id]).fetchall() == []


def test_a_person_deleted_in_the_middle_of_their_own_stream_leaves_nothing(
    alice: Person, model: Models, db: Database, stack: Stack, upstream: Upstream
) -> None:
    """The stream ends properly, the cost is booked, and neither question nor answer is stored."""
    planted = f"w{secrets.token_hex(8)}"
    name = model(f"slow~{uuid.uuid4().hex}")
    with httpx.stream(
        "POST",
        alice.stack["CHAT_URL"],
        json={"message": f"my {planted}", "model": name, "metadata": {"note": planted}},
        headers=alice.headers,
        timeout=30,
    ) as response:
        assert upstream.until_called(name.split(":", 2)[2])
        _delete_person(stack, alice)
        upstream.release()
        text = response.read().decode()
    receipt = receipt_of(frames(text))
    assert receipt["logged"] is True
    assert words_left(db, planted) == []
    assert db.execute("select from public.messages where turn_id = %s", [receipt["turn_id"]]).fetchall() == []
    assert log_row(db, receipt["turn_id"])["response"] is None
    assert reserved_usd(db, alice) == 0


def test_a_finish_that_meets_the_deletion_of_its_person_ends_well(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """Twenty turns that end while their user is deleted are all booked without text and without a deadlock."""
    planted = f"w{secrets.token_hex(8)}"
    name = model("echo")
    turns = [begin(alice, name, message=planted, question=planted) for _ in range(20)]
    with ThreadPoolExecutor(21) as pool:
        finishes = [pool.submit(finish_with_retry, alice, turn, content=planted, response=planted) for turn in turns]
        deletion = pool.submit(_delete_person, stack, alice)
        deletion.result()
        assert {each.result()["outcome"] for each in finishes} == {"settled"}
    assert eventually(lambda: words_left(db, planted) == [])
