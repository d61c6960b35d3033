"""Made-up turns of three months, written set-based: settled turns, logs, messages, daily sums and counters."""

from __future__ import annotations

from typing import Any

import psycopg

from bench.database import MODEL, PERSON

PEOPLE = 2000
CONVERSATION_MESSAGES = 2000
LONG_CONVERSATION = "00000000-0000-4000-a000-000000000001"
_CONVERSATIONS = 5  # of each user
_MAX_ROWS = 1_000_000  # spread over the three months

_PERSON_OF = f"({PERSON.format(n=f'(1 + mod(n, {PEOPLE}))')})"
CONVERSATION = "md5('conversation-' || {n})::uuid"
"""SQL: the id of the conversation number n; those of the user n + 1 are n, n + 2,000, and so on."""

_CONVERSATION_OF = CONVERSATION.format(n=f"mod(n, {PEOPLE * _CONVERSATIONS})")
_TURN_OF = "md5('turn-' || n)::uuid"
_TIME_OF = f"now() - interval '90 days' * n / {_MAX_ROWS}"
_ROWS = "from generate_series(%(first)s::integer, %(last)s::integer) as n"
_ROUTE = f'[{{"identifier": "openai:{MODEL}", "pricing": {{"input": 0.15, "output": 0.6}}}}]'

_CONVERSATIONS_SQL = f"""
insert into public.llm_conversations (id, user_id, title, started_at, last_activity)
  select {_CONVERSATION_OF}, {_PERSON_OF}, 'Conversation ' || n, {_TIME_OF}, {_TIME_OF}
  from generate_series(1, {PEOPLE * _CONVERSATIONS}) as n on conflict do nothing;
insert into public.conversation_members (conversation_id, user_id, role)
  select c.id, c.user_id, 'owner' from public.llm_conversations as c on conflict do nothing
"""
_TURNS_SQL = f"""
insert into private.turns (id, user_id, conversation_id, request_id, endpoint, state, worker_id, lease_until, question,
    requested_model, agent_type, routes, route_reason, day, started_at, finished_at)
  select {_TURN_OF}, {_PERSON_OF}, {_CONVERSATION_OF}, md5('request-' || n), 'chat', 'settled', {_TURN_OF}, {_TIME_OF},
    'A question of some length about a topic of this user', 'openai:{MODEL}', 'general', '{_ROUTE}', 'requested',
    ({_TIME_OF})::date, {_TIME_OF}, {_TIME_OF} {_ROWS}
"""
_LOGS_SQL = f"""
insert into public.chat_logs (turn_id, request_id, user_id, conversation_id, endpoint, status, question, response,
    input_tokens, output_tokens, cached_tokens, usage_source, cost_usd, model, provider, model_identifier,
    requested_model, agent_type, duration_ms, ttft_ms, attempts, finish_reason, created_at)
  select {_TURN_OF}, md5('request-' || n), {_PERSON_OF}, {_CONVERSATION_OF}, 'chat', 'completed',
    'A question of some length about a topic of this user', repeat('token ', 40), 20, 40, 0, 'provider', 0.000027,
    '{MODEL}', 'openai', 'openai:{MODEL}', 'openai:{MODEL}', 'general', 900, 300,
    '[{{"identifier": "openai:{MODEL}", "ok": true, "ms": 900}}]', 'stop', {_TIME_OF} {_ROWS}
"""
_MESSAGES_SQL = f"""
insert into public.messages (conversation_id, user_id, role, content, model_used, agent_type, turn_id, created_at)
  select {_CONVERSATION_OF}, case role when 'user' then {_PERSON_OF} end, role,
    case role when 'user' then 'A question of some length about a topic of this user' else repeat('token ', 40) end,
    case role when 'assistant' then 'openai:{MODEL}' end, case role when 'assistant' then 'general' end,
    {_TURN_OF}, {_TIME_OF} + case role when 'assistant' then interval '1 second' else interval '0' end
  {_ROWS}, unnest(array['user', 'assistant']) as role
"""
_HOURLY_SQL = """
delete from public.usage_hourly;
insert into public.usage_hourly (hour, user_id, provider, model_identifier, agent_type, endpoint, requests,
    input_tokens, output_tokens, cost_usd, duration_ms_sum, ttft_ms_sum, ttft_count)
  select date_trunc('hour', created_at, 'UTC'), user_id, coalesce(provider, ''), coalesce(model_identifier, ''),
    coalesce(agent_type, ''), endpoint, count(*), sum(input_tokens), sum(output_tokens), sum(cost_usd),
    sum(duration_ms), sum(ttft_ms), count(ttft_ms)
  from public.chat_logs group by 1, 2, 3, 4, 5, 6
"""
_COUNTERS_TABLE = """
select oid::regclass::text from pg_class
  where relnamespace = 'public'::regnamespace and relname like 'usage\\_counter%' and relkind = 'r'
"""
_COUNTERS_SQL = """
insert into {table} (scope, period, period_start, requests, input_tokens, output_tokens, spent_usd)
  select user_id::text, 'day', day, sum(requests), sum(input_tokens), sum(output_tokens), sum(cost_usd)
  from public.usage_daily where user_id is not null and day < current_date group by 1, 3 on conflict do nothing
"""
_LONG_SQL = f"""
insert into public.llm_conversations (id, user_id, title) select '{LONG_CONVERSATION}', {PERSON.format(n=7)}, 'Long';
insert into public.conversation_members (conversation_id, user_id, role)
  select '{LONG_CONVERSATION}', {PERSON.format(n=7)}, 'owner';
insert into public.messages (conversation_id, user_id, role, content, turn_id, created_at)
  select '{LONG_CONVERSATION}', case role when 'user' then {PERSON.format(n=7)} end, role, repeat('token ', 40),
    md5('long-' || n)::uuid,
    now() - interval '1 minute' * n + case role when 'assistant' then interval '1 second' else interval '0' end
  from generate_series(1, {CONVERSATION_MESSAGES // 2}) as n, unnest(array['user', 'assistant']) as role
"""


def grow(db: psycopg.Connection[Any], size: int) -> None:
    """Adds turns until there are `size`, and brings the daily sums and counters in line. Needs a superuser."""
    row = db.execute("select count(*) from private.turns where request_id is not null").fetchone()
    first = 1 + (row[0] if row else 0)
    # Triggers and foreign keys do not run: the rows agree with each other.
    db.execute("set session_replication_role = replica")
    db.execute(_CONVERSATIONS_SQL)
    for sql in (_TURNS_SQL, _LOGS_SQL, _MESSAGES_SQL):
        db.execute(sql, {"first": first, "last": size})
    db.execute(_HOURLY_SQL)
    table = db.execute(_COUNTERS_TABLE).fetchone()  # usage_counters, or the table below that view
    db.execute(_COUNTERS_SQL.format(table=table[0] if table else "public.usage_counters"))
    db.execute("set session_replication_role = origin")
    db.execute("vacuum analyze")


def add_long_conversation(db: psycopg.Connection[Any]) -> None:
    """Adds a conversation of user 7 with 2,000 messages."""
    db.execute(_LONG_SQL)
    db.execute("vacuum analyze public.messages")
