"""The search in one's messages: languages, pages, and whose words it finds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stack.people import Person
from tests.stack.regenerations import join
from tests.stack.turns import Database, conversation_with, words_left


def _found(person: Person, query: str, **arguments: Any) -> list[dict[str, Any]]:
    response = person.rest("POST", "rpc/search_messages", json={"query": query} | arguments)
    assert response.status_code == 200, response.text
    rows: list[dict[str, Any]] = response.json()
    return rows


def _conversation(db: Database, person: Person, *texts: str) -> str:
    made = conversation_with(db, person, 0)
    for place, text in enumerate(texts):
        db.execute(
            """insert into public.messages (conversation_id, user_id, role, content, turn_id, created_at)
               values (%s, %s, 'user', %s, gen_random_uuid(), now() - interval '1 hour' + make_interval(secs => %s))""",
            [made, person.id, text, place],
        )
    return made


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("How are the running shoes made?", "run shoe"),
        ("The quick brown fox", "bro"),
        ("Wie sind die Häuser in der Stadt gebaut?", "Haus"),
        ("Comment les chevaux sont-ils nourris dans les écuries?", "nourri écurie"),
        ("Gli amici mangiano nella cucina della nonna", "amico cucine"),
        ("Os meninos correm para as casas da praça", "menino casa"),
        ("De kinderen spelen met de honden van het dorp", "hond kind"),
        ("¿Cómo se preparan los pescados para la cena?", "pescado cenas"),
        ("Как приготовить пироги с грибами и луком", "пирог гриб"),  # noqa: RUF001 - Russian
        ("東京で一番高い建物は何ですか", "東京"),
        ("한국어로 대답해 주세요", "한국어"),
        ("error E4012 in module foo_bar.py", "E4012"),
        ('He wrote "to be or not to be" there', '"not to be"'),
        ("a red apple and a green pear", "apple -grape"),
    ],
)
def test_words_are_found_in_their_language(alice: Person, db: Database, text: str, query: str) -> None:
    """Other forms of a word, the beginning of the last one, names, phrases, and scripts without spaces."""
    made = _conversation(db, alice, "something else", text)
    (row,) = _found(alice, query)
    assert row["conversation_id"] == made
    assert (row["role"], row["user_id"]) == ("user", alice.id)


def test_a_snippet_marks_the_words(alice: Person, db: Database) -> None:
    """It is plain text around the words, also when the message has HTML."""
    _conversation(db, alice, "filler " * 200 + "the <b>needle</b> is here " + "filler " * 200)
    (row,) = _found(alice, "needle")
    assert "⟪needle⟫" in row["snippet"]
    assert len(row["snippet"]) < 400


def test_a_search_never_finds_words_of_others(alice: Person, bob: Person, db: Database) -> None:
    """Not before the membership, not after it; a member finds all words of the conversation."""
    made = _conversation(db, alice, "a secret plan")
    assert len(_found(alice, "secret")) == 1
    assert _found(bob, "secret") == _found(bob, "secret", chat_id=made) == []
    join(alice, bob, made)
    assert len(_found(bob, "secret")) == 1
    path = f"conversation_members?conversation_id=eq.{made}&user_id=eq.{bob.id}"
    assert alice.rest("DELETE", path).status_code == 204
    assert _found(bob, "secret") == []


def test_new_messages_are_found_and_deleted_ones_are_not(alice: Person, db: Database) -> None:
    """A message of a moment ago is found; after its deletion none of its words are kept."""
    made = _conversation(db, alice, "first plantedword")
    assert len(_found(alice, "plantedword")) == 1
    post = {"conversation_id": made, "content": "second plantedword"}
    assert alice.rest("POST", "messages", json=post).status_code == 201
    assert len(_found(alice, "plantedword")) == 2
    assert "private.message_words" in words_left(db, "plantedword")
    assert alice.rest("POST", "rpc/delete_conversation", json={"conversation_id": made}).status_code == 204
    assert _found(alice, "plantedword") == []
    assert words_left(db, "plantedword") == []


def test_pages_follow_each_other(alice: Person, db: Database) -> None:
    """The newest come first; `before` continues; one conversation can be searched alone."""
    made = _conversation(db, alice, *(f"item {n}" for n in range(7)))
    other = _conversation(db, alice, "item of another conversation")
    first = _found(alice, "item", max_rows=3, chat_id=made)
    second = _found(alice, "item", max_rows=9, chat_id=made, before=first[-1]["created_at"])
    assert len(first) == 3
    assert len({row["message_id"] for row in (*first, *second)}) == 7
    assert [row["created_at"] for row in first] == sorted((row["created_at"] for row in first), reverse=True)
    assert [row["conversation_id"] for row in _found(alice, "another")] == [other]


def test_a_search_indexes_what_its_page_needs(alice: Person, db: Database) -> None:
    """Frequent words index the newest messages; rare words index all, and pages then lack no message."""
    made = _conversation(db, alice, "rareword item", *(f"item {n}" for n in range(350)))
    indexed = "select count(*) as n from private.message_words where conversation_id = %s"
    assert len(_found(alice, "item", max_rows=10)) == 10
    assert len(_found(alice, "item", max_rows=10)) == 10
    assert db.execute(indexed, [made]).fetchone() == {"n": 100}
    found: list[dict[str, Any]] = []
    while page := _found(alice, "item", max_rows=100, **({"before": found[-1]["created_at"]} if found else {})):
        found += page
    assert len({row["message_id"] for row in found}) == len(found) == 351
    assert len(_found(alice, "rareword")) == 1
    assert db.execute(indexed, [made]).fetchone() == {"n": 351}


def test_the_oldest_of_many_messages_is_found_by_a_first_search(alice: Person, db: Database) -> None:
    """A search goes on with larger steps until no message lacks its words."""
    _conversation(db, alice, "rareword item", *(f"item {n}" for n in range(350)))
    assert len(_found(alice, "rareword")) == 1


@pytest.mark.parametrize("query", ["", " ", "&|!():*", "'", '"', "\\", "the", "-", "x" * 5000])
def test_odd_queries_are_harmless(alice: Person, db: Database, query: str) -> None:
    """They find nothing or something, and never fail."""
    _conversation(db, alice, "plain words")
    assert _found(alice, query) == []
