"""Turns without a function: calls the ledger's two round trips as the function does."""

from __future__ import annotations

import hashlib
import threading
import uuid
from decimal import Decimal
from typing import Any

import httpx
import psycopg

from tests.stack.ledger_client import DataApi, Ledger
from tests.stack.people import Person, Stack, service

ledger: Ledger | None = None
"""The way to the ledger, which the fixture `each_way` sets; None is the data API."""
_data_apis: dict[str, DataApi] = {}
_lock = threading.Lock()
Database = psycopg.Connection[dict[str, Any]]
QUESTION = "one two three"
GOLDEN_USD = Decimal("0.000074000")  # 40 fresh and 20 cached tokens in, 12 out, at 1, 0.5 and 2 dollars a million
KEY = {"idempotency_key": "k", "body_hash": "h"}


def used(input_tokens: int, output_tokens: int, **fields: Any) -> dict[str, Any]:
    """A usage as a provider counts it."""
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cached_tokens": 0}
    return usage | {"reasoning_tokens": 0, "source": "provider"} | fields


def turn_of(model: str | None, **fields: Any) -> dict[str, Any]:
    """The argument of `chat_begin`, with ids of its own."""
    turn: dict[str, Any] = {"turn_id": str(uuid.uuid4()), "worker_id": str(uuid.uuid4()), "endpoint": "chat"}
    return turn | {"message": "hi", "question": "hi", "model": model} | fields


def entry_of(turn: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The argument of `chat_finish` for a turn that used 1000 tokens in and 500 out."""
    entry = {"turn_id": turn["turn_id"], "worker_id": turn["worker_id"], "status": "completed"}
    entry |= {"identifier": turn["model"], "content": "hello", "response": "hello", "usage": used(1000, 500)}
    return entry | fields


def asked(person: Person, model: str | None = None, **fields: Any) -> httpx.Response:
    """The answer of `chat_begin`, whatever it is; with `api_key`, that of `chat_begin_with_key`."""
    api_key = fields.pop("api_key", None)
    turn = turn_of(model, **fields)
    if api_key is None:
        return _ledger(person.stack).response("chat_begin", {"turn": turn}, person)
    arguments = {"key_hash": hashlib.sha256(api_key.encode()).hexdigest(), "turn": turn}
    return _ledger(person.stack).response("chat_begin_with_key", arguments, None)


def begin(person: Person, model: str | None = None, **fields: Any) -> dict[str, Any]:
    """A turn that was admitted, with the ids to finish it."""
    worker = fields.pop("worker_id", str(uuid.uuid4()))
    answer = asked(person, model, worker_id=worker, **fields)
    assert answer.status_code == 200, answer.text
    begun: dict[str, Any] = answer.json()
    return begun | {"worker_id": worker, "model": model}


def finish(person: Person, turn: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The answer of `chat_finish` for a turn that used 1000 tokens in and 500 out."""
    answer = _finished(person, turn, fields)
    assert answer.status_code == 200, answer.text
    booked: dict[str, Any] = answer.json()
    return booked


def finish_with_retry(person: Person, turn: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The same as a function does it: a call that fails is made once more."""
    first = _finished(person, turn, fields)
    if first.status_code != 200:
        return finish(person, turn, **fields)
    booked: dict[str, Any] = first.json()
    return booked


def _finished(person: Person, turn: dict[str, Any], fields: dict[str, Any]) -> httpx.Response:
    return _ledger(person.stack).response("chat_finish", {"entry": entry_of(turn, **fields)}, None)


def extend(stack: Stack, turn: dict[str, Any], input_tokens: int = 1000, **fields: Any) -> dict[str, Any]:
    """The answer of `chat_extend` for another model call."""
    extension = {"turn_id": turn["turn_id"], "worker_id": turn["worker_id"], "input_tokens": input_tokens}
    answer = _ledger(stack).response("chat_extend", {"extension": extension | fields}, None)
    assert answer.status_code == 200, answer.text
    extended: dict[str, Any] = answer.json()
    return extended


def _ledger(stack: Stack) -> Ledger:
    with _lock:
        url = stack["SUPABASE_URL"]
        if ledger is None and url not in _data_apis:
            _data_apis[url] = DataApi(stack)
        return ledger or _data_apis[url]


def close_data_apis() -> None:
    """Closes the clients of the data API, at the end of the session."""
    while _data_apis:
        _data_apis.popitem()[1].close()


def fail(person: Person, turn: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The same for a turn that was given up before its first word, after 1000 tokens in."""
    failed = {"status": "failed", "content": "", "response": None, "error_code": "provider_timeout"}
    return finish(
        person, turn, **failed | {"usage": used(1000, 0), "duration_ms": 77, "finish_reason": "error"} | fields
    )


def die(db: Database, *turns: dict[str, Any]) -> None:
    """Ends the turns' leases: their functions are dead."""
    db.execute(
        "update private.turns set lease_until = now() - interval '1 second' where id = any(%s::uuid[])",
        [[turn["turn_id"] for turn in turns]],
    )


def sweep(stack: Stack) -> int:
    """How many turns a sweep closed."""
    answer = service(stack, "POST", "rpc/sweep_turns", json={})
    assert answer.status_code == 200, answer.text
    swept: int = answer.json()
    return swept


def reserved_usd(db: Database, person: Person) -> Decimal:
    """What is reserved for all of a person's turns."""
    row = db.execute(
        "select coalesce(sum(reserved_usd), 0) as held from public.usage_counters where scope = %s", [person.id]
    ).fetchone()
    assert row is not None
    held: Decimal = row["held"]
    return held


def words_left(db: Database, planted: str) -> list[str]:
    """Tables of public and private in which any column contains the planted word, also as bytes of a file."""
    tables = db.execute(
        "select schemaname || '.' || tablename as name from pg_tables where schemaname in ('public', 'private')"
    ).fetchall()
    query = "select 1 from {} as t where t::text like any (%s) limit 1"
    patterns = [f"%{planted}%", f"%{planted.encode().hex()}%"]
    return [row["name"] for row in tables if db.execute(query.format(row["name"]), [patterns]).fetchone()]


def conversation_with(db: Database, person: Person, turns: int, words: int = 20) -> str:
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
