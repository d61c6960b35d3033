"""Consent, the export of training data, and a user's own export, in the database and over refresh."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stack.conftest import Models
from tests.stack.keys import new_key
from tests.stack.people import Person, Stack, new_admin, service
from tests.stack.regenerations import join
from tests.stack.turns import Database, begin, finish


def _allow(person: Person, *, allows: bool = True) -> None:
    body = {"user_id": person.id, "allows_training": allows}
    headers = {"Prefer": "resolution=merge-duplicates"}
    answer = person.rest("POST", "user_llm_profiles", json=body, headers=headers)
    assert answer.status_code in {200, 201}, answer.text


def _turn(person: Person, model: str, question: str, answer: str, **fields: Any) -> dict[str, Any]:
    turn = begin(person, model, message=question, question=question, **fields)
    assert finish(person, turn, content=answer, response=answer)["outcome"] == "settled"
    return turn


def _examples(stack: Stack) -> list[tuple[str, str]]:
    page = service(stack, "POST", "rpc/export_training_page", json={"until": "2100-01-01T00:00:00Z"}).json()
    return [(row["messages"][0]["content"], row["messages"][1]["content"]) for row in page["examples"]]


def test_only_turns_with_consent_are_exported(alice: Person, bob: Person, model: Models, stack: Stack) -> None:
    """The user consents once for all turns; the owner of a conversation can exclude it; both can be taken back."""
    name = model("echo")
    first = _turn(alice, name, "first question", "first answer")
    _turn(alice, name, "second question", "second answer")
    _turn(bob, name, "question of bob", "answer to bob")
    mine = [("first question", "first answer"), ("second question", "second answer")]
    bobs = ("question of bob", "answer to bob")
    assert [each for each in _examples(stack) if each in [*mine, bobs]] == []
    _allow(alice)
    assert [each for each in _examples(stack) if each in mine] == mine
    assert bobs not in _examples(stack)
    path = f"llm_conversations?id=eq.{first['conversation_id']}"
    assert alice.rest("PATCH", path, json={"allows_training": False}).status_code == 204
    assert [each for each in _examples(stack) if each in mine] == mine[1:]
    _allow(alice, allows=False)
    assert [each for each in _examples(stack) if each in mine] == []


def test_a_groups_words_need_the_consent_of_all_its_authors(
    alice: Person, bob: Person, model: Models, stack: Stack
) -> None:
    """An answer may repeat the words of each of them; also a member who has left counts, and the owner's exclusion."""
    name = model("echo")
    first = _turn(alice, name, "group question of alice", "group answer")
    group = first["conversation_id"]
    join(alice, bob, group)
    _allow(alice)
    both = [("group question of alice", "group answer"), ("group question of bob", "answer to alice and bob")]
    assert [each for each in _examples(stack) if each in both] == both[:1]
    _turn(bob, name, *both[1], conversation_id=group)
    assert [each for each in _examples(stack) if each in both] == []
    path = f"conversation_members?conversation_id=eq.{group}&user_id=eq.{bob.id}"
    assert alice.rest("DELETE", path).status_code == 204
    assert [each for each in _examples(stack) if each in both] == []
    _allow(bob)
    assert [each for each in _examples(stack) if each in both] == both
    _allow(alice, allows=False)
    assert [each for each in _examples(stack) if each in both] == []
    _allow(alice)
    body = {"allows_training": False}
    assert alice.rest("PATCH", f"llm_conversations?id=eq.{group}", json=body).status_code == 204
    assert [each for each in _examples(stack) if each in both] == []


def test_admins_page_through_the_same_rows(alice: Person, model: Models, stack: Stack) -> None:
    """No row names a user, and users are refused."""
    name = model("echo")
    for number in range(3):
        _turn(alice, name, f"paged question {number}", f"paged answer {number}")
    _allow(alice)
    admin = new_admin(stack)
    after, found = 0, []
    while True:
        answer = admin.rest("POST", "rpc/export_training_data", json={"after": after, "limit": 1})
        assert answer.status_code == 200, answer.text
        if not answer.json():
            break
        (row,) = answer.json()
        after = row["id"]
        found.append(row["messages"][0]["content"])
        assert set(row) == {"id", "messages", "model", "rating", "created_at"}
    assert [each for each in found if each.startswith("paged")] == [f"paged question {number}" for number in range(3)]
    assert alice.rest("POST", "rpc/export_training_data", json={}).status_code == 403
    until = {"to": "2000-01-01T00:00:00Z"}
    assert admin.rest("POST", "rpc/export_training_data", json=until).json() == []


def test_a_regenerated_and_a_badly_rated_answer_are_rejected_ones(alice: Person, model: Models, stack: Stack) -> None:
    """The kept answer is preferred to the regenerated one, and a good rating to a bad one of the same question."""
    name = model("echo")
    turn = _turn(alice, name, "pair: how?", "worse answer")
    again = {"conversation_id": turn["conversation_id"], "regenerate": True}
    _turn(alice, name, "pair: how?", "better answer", **again)
    for answer, rating in (("bad", 1), ("good", 5)):
        rated = _turn(alice, name, "pair: rated?", f"{answer} answer")
        body = {"turn_id": rated["turn_id"], "rating": rating}
        assert alice.rest("POST", "feedback", json=body).status_code == 201
    _allow(alice)
    page = service(stack, "POST", "rpc/export_training_page", json={"until": "2100-01-01T00:00:00Z"}).json()
    pairs = [tuple(pair[name] for name in ("question", "preferred", "rejected")) for pair in page["pairs"]]
    assert [pair for pair in pairs if pair[0].startswith("pair:")] == [
        ("pair: how?", "better answer", "worse answer"),
        ("pair: rated?", "good answer", "bad answer"),
    ]


def test_refresh_writes_files_that_a_fine_tuning_tool_reads(
    alice: Person, bob: Person, model: Models, stack: Stack, function: Any, tmp_path: Path
) -> None:
    """One export a day; a deletion is gone from the next, whose manifest lists the withdrawn turn."""
    name = model("echo")
    kept = _turn(alice, name, "exported: kept?", "yes")
    gone = _turn(bob, name, "exported: gone?", "soon")
    _turn(alice, name, "exported: kept?", "yes")
    for person in (alice, bob):
        _allow(person)
    url, _ = function("refresh", EXPORT_URL=tmp_path.as_uri())

    def export() -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
        answer = httpx.post(url, json={"steps": ["export"]}, headers=headers, timeout=60).json()
        step: dict[str, Any] = answer["steps"]["export"]
        assert step["ok"], step
        return step

    assert export()["examples"] >= 2
    (folder,) = (tmp_path / "training").iterdir()
    lines = (folder / "examples.jsonl").read_text().splitlines()
    examples = [json.loads(line) for line in lines]
    assert all([m["role"] for m in each["messages"]] == ["user", "assistant"] for each in examples)
    assert {tuple(each) for each in examples} == {("messages",)}
    asked = [
        each["messages"][0]["content"] for each in examples if each["messages"][0]["content"].startswith("exported")
    ]
    assert asked == ["exported: kept?", "exported: gone?"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["counts"]["examples"] == len(examples)
    assert manifest["counts"]["duplicates"] >= 1
    for each, digest in manifest["sha256"].items():
        assert hashlib.sha256((folder / each).read_bytes()).hexdigest() == digest
    turns = dict(line.split(",")[::-1] for line in (folder / "turns.csv").read_text().splitlines())
    assert {kept["turn_id"], gone["turn_id"]} <= set(turns)
    assert export()["examples"] == 0  # today's export is complete

    folder.rename(folder.with_name("day=2026-01-01"))
    assert bob.rest("POST", "rpc/delete_my_data", json={}).status_code == 204
    assert export()["withdrawn"] == 1
    newer = next(each for each in (tmp_path / "training").iterdir() if each.name != "day=2026-01-01")
    assert "exported: gone?" not in (newer / "examples.jsonl").read_text()
    assert "exported: kept?" in (newer / "examples.jsonl").read_text()
    assert json.loads((newer / "manifest.json").read_text())["withdrawn"] == [gone["turn_id"]]


def test_a_person_exports_everything_of_theirs(alice: Person, bob: Person, model: Models) -> None:
    """The pages together have each message and turn once, and nothing of another user."""
    name = model("echo")
    for number in range(5):
        _turn(alice, name, f"mine {number}", f"answer {number}")
    _turn(bob, name, "of bob", "to bob")
    _allow(alice)
    new_key(alice, name="my laptop")
    after: Any = None
    pages: list[dict[str, Any]] = []
    while not pages or after is not None:
        answer = alice.rest("POST", "rpc/export_my_data", json={"after": after, "max_rows": 2})
        assert answer.status_code == 200, answer.text
        assert "of bob" not in answer.text
        pages.append(answer.json())
        after = pages[-1]["next"]
    messages = [each for page in pages for each in page["messages"]]
    assert [(each["content"], each["answer"]["content"]) for each in messages] == [
        (f"mine {number}", f"answer {number}") for number in range(5)
    ]
    assert len([each for page in pages for each in page["turns"]]) == 5
    assert pages[0]["profile"]["allows_training"] is True
    parts = {"profile", "conversations", "memberships", "feedback", "usage", "counters", "limits", "alerts", "nodes"}
    parts |= {"versions", "shares", "invitations", "api_keys", "stored_answers", "files", "limit_changes", "scores"}
    assert set(pages[0]) == parts | {"messages", "turns", "next"}
    assert set(pages[1]) == {"messages", "turns", "next"}
    assert len(pages[0]["conversations"]) == 5
    assert [key["name"] for key in pages[0]["api_keys"]] == ["my laptop"]


def test_a_persons_export_has_every_table_that_names_users(db: Database) -> None:
    """Each public table with a key to users is read, except tables that only totals or admins' acts name."""
    (row,) = db.execute("select prosrc from pg_proc where proname = 'export_my_data'").fetchall()
    tables = db.execute(
        "select distinct c.conrelid::regclass::text as name from pg_constraint as c where c.contype = 'f' "
        "and c.confrelid = 'auth.users'::regclass and c.connamespace = 'public'::regnamespace"
    ).fetchall()
    names = {each["name"].removeprefix("public.") for each in tables} - {"cost_corrections", "usage_hourly"}
    assert len(names) > 5
    assert {name for name in names if f"public.{name} " not in row["prosrc"]} == set()


@pytest.mark.parametrize("after", [{"turn": "x"}, {"message_at": "never"}, {"message_id": 7}, {"turn": 1e99}])
def test_a_wrong_page_is_a_clear_error(alice: Person, after: Any) -> None:
    """422 with the parameter's name."""
    answer = alice.rest("POST", "rpc/export_my_data", json={"after": after})
    assert (answer.status_code, "after" in answer.text) == (422, True)
