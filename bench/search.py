"""Search: one user's search among a million messages of 2,000 users."""

from __future__ import annotations

import statistics
import time
from typing import Any

import psycopg

from bench import database
from bench.run import FULL, QUICK, Run

PEOPLE = 2000
_MAX_MS = 100
_READERS = 40
_WORDS = 4000
_CONVERSATIONS = 5  # of each user
_PER_PERSON = {FULL.rounds: 500, QUICK.rounds: 50}
_CONVERSATION = "md5('searched-' || {n})::uuid"
_FIRST = {"first, a frequent word": "w7", "first, two rare words": "w3911 w3900"}
_QUERIES = {"a frequent word": "w7", "a rare word": "w3911", "two words": "w17 w23", "a phrase": '"w5 w6"'}

# Numbered words, the small ones more often, as in a language: messages of 30 words.
_FILL = f"""
insert into public.llm_conversations (id, user_id, title)
  select {_CONVERSATION.format(n="n")}, {database.PERSON.format(n=f"(1 + mod(n, {PEOPLE}))")}, 'Conversation ' || n
  from generate_series(0, {PEOPLE * _CONVERSATIONS - 1}) as n;
insert into public.conversation_members (conversation_id, user_id, role)
  select c.id, c.user_id, 'owner' from public.llm_conversations as c;
create temporary table pool as select n as place, (
    select string_agg('w' || floor({_WORDS} * power(random(), 3) + (n + g) * 0)::text, ' ')
    from generate_series(1, 30) as g
  ) as words from generate_series(0, 9999) as n;
create index on pool (place);
insert into public.messages (conversation_id, user_id, role, content, created_at)
  select {_CONVERSATION.format(n=f"mod(n, {PEOPLE * _CONVERSATIONS})")}, null, 'assistant', p.words,
    now() - interval '1 second' * n
  from generate_series(1, %(size)s::integer) as n join pool as p on p.place = mod(n * 7919::bigint, 10000)
"""


def measure(run: Run) -> None:
    """Prints the first search of users, which indexes their messages, and later ones for each kind of query."""
    size = PEOPLE * _PER_PERSON[run.rounds]
    with (
        database.migrated_database(PEOPLE) as server,
        psycopg.connect(database.dsn_of(server, "supabase_admin"), autocommit=True) as owner,
        psycopg.connect(database.dsn_of(server, "authenticator"), autocommit=True) as db,
    ):
        began = time.perf_counter()
        owner.execute("set session_replication_role = replica")
        for statement in _FILL.split(";\n"):
            owner.execute(statement, {"size": size} if "%(size)s" in statement else None)
        owner.execute("set session_replication_role = origin")
        owner.execute("vacuum analyze public.messages")
        print(f"search, {size:,} messages of {PEOPLE:,} users in {time.perf_counter() - began:.0f} s")
        for place, (name, query) in enumerate(_FIRST.items()):
            first = [_search_ms(db, 1 + place * _READERS + number, query) for number in range(_READERS)]
            print(f"  {name:28s} p50 {statistics.median(first):7.1f} ms   {_p95(first)}   (aim: under {_MAX_MS})")
        began = time.perf_counter()
        owner.execute("create index bench_members on public.conversation_members (conversation_id)")
        for chunk in range(0, PEOPLE * _CONVERSATIONS, 50):
            ids = ", ".join(_CONVERSATION.format(n=n) for n in range(chunk, chunk + 50))
            owner.execute(f"select private.index_messages(array[{ids}], '-infinity', 100000)")
        owner.execute("vacuum analyze private.message_words")
        print(f"  all messages indexed in {time.perf_counter() - began:.0f} s")
        for name, query in _QUERIES.items():
            taken = [_search_ms(db, 1 + number * 37 % PEOPLE, query) for number in range(_READERS)]
            print(f"  {name:28s} p50 {statistics.median(taken):7.1f} ms   {_p95(taken)}   (aim: under {_MAX_MS})")


def _p95(values: list[float]) -> str:
    return f"p95 {statistics.quantiles(values, n=20)[-1]:7.1f} ms"


def _search_ms(db: psycopg.Connection[Any], person: int, query: str) -> float:
    claims = database.USER_CLAIMS.format(person=database.PERSON.format(n=person))
    with db.transaction():
        db.execute(claims)
        started = time.perf_counter()
        db.execute("select * from public.search_messages(%s)", [query]).fetchall()
        return (time.perf_counter() - started) * 1000
