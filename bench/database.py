"""Databases of the bench: a server with all migrations, users, and the SQL that calls the ledger as chat does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from bench.project import add_model, lift_caps
from local import migrations
from local.cluster_cache import MIGRATIONS
from tests.postgres_servers import VERSIONS, PostgresServer, serving_postgres

MODEL = "bench-model"
_NAME = "bench"

PERSON = "('00000000-0000-4000-9000-' || lpad({n}::text, 12, '0'))::uuid"
"""SQL: the id of the user number n, from 1."""

_CLAIMS = "select set_config('role', '{role}', true), set_config('request.jwt.claims', {claims}::text, true)"
USER_CLAIMS = _CLAIMS.format(role="authenticated", claims="json_build_object('sub', {person}, 'role', 'authenticated')")
_ADMIN = (
    "json_build_object('sub', {person}, 'role', 'authenticated', 'app_metadata', json_build_object('role', 'admin'))"
)
ADMIN_CLAIMS = f"{_CLAIMS.format(role='authenticated', claims=_ADMIN)}; select private.pre_request()"
SERVICE_CLAIMS = _CLAIMS.format(role="service_role", claims="json_build_object('role', 'service_role')")
BEGIN_FIELDS = f"""'turn_id', {{turn}}, 'worker_id', {{turn}}, 'message', 'Say something short about gateways.',
  'question', 'Say something short about gateways.', 'model', 'openai:{MODEL}', 'requested_model', 'openai:{MODEL}',
  'providers', jsonb_build_array('openai'), 'max_tokens', null, 'prompt_tokens', 20, 'lease_seconds', 360"""
COMPLETION_FIELDS = "'endpoint', 'chat.completions', 'store', false, 'log_words', true"
FINISH_FIELDS = f"""'turn_id', {{turn}}, 'worker_id', {{turn}}, 'status', 'completed', 'identifier', 'openai:{MODEL}',
  'content', '{{answer}}', 'has_content', true, 'response', '{{answer}}', 'finish_reason', 'stop',
  'usage', '{{{{"input_tokens": 12, "output_tokens": 16, "cached_tokens": 0, "source": "provider"}}}}'::jsonb,
  'attempts', '[{{{{"identifier": "openai:{MODEL}", "ok": true, "ms": 40}}}}]'::jsonb, 'tools_used', '[]'::jsonb,
  'agent_handoffs', 0, 'duration_ms', 60, 'ttft_ms', 40"""


@contextmanager
def migrated_database(people: int, *, version: int = VERSIONS[-1], has_fsync: bool = False) -> Iterator[PostgresServer]:
    """A server whose database `bench` has all migrations and so many users without caps. Raises MissingServerError."""
    with serving_postgres(version, has_fsync=has_fsync) as server:
        dsn = server.prepare_database(_NAME)
        migrations.apply(dsn, MIGRATIONS)
        with psycopg.connect(dsn_of(server, "supabase_admin"), autocommit=True) as db:
            db.execute(
                f"""insert into auth.users (id, aud, role, email, email_confirmed_at, raw_app_meta_data,
                      raw_user_meta_data, created_at, updated_at)
                    select {PERSON.format(n="n")}, 'authenticated', 'authenticated', 'bench-' || n || '@parley.local',
                      now(), '{{}}', '{{}}', now(), now() from generate_series(1, %s) as n""",
                [people],
            )
            lift_caps(db)
            add_model(db, MODEL)
            db.execute("create schema bench")
            db.execute("create table bench.log_rows (like public.chat_logs)")
            db.execute("grant usage on schema bench to service_role")
            db.execute("grant insert on bench.log_rows to service_role")
            db.execute("analyze")
        yield server


def dsn_of(server: PostgresServer, user: str) -> str:
    """The connection string of the bench's database for this user."""
    return server.dsn(_NAME, user)
