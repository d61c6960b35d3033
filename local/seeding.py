"""What only a local database has: the seed, a login of chat, the setting for private nodes, the local model's node."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from local.errors import StackError
from local.weights import ALIAS, CONTEXT_TOKENS

MODEL_KEY = f"client:1:{ALIAS}"
MODEL_NAME = "demo (offline)"
_NODE_NAME = "this machine"

# The Supabase CLI's own table, so that its commands also know the seed.
_SEED_TABLE = """
    create table if not exists supabase_migrations.seed_files (path text not null primary key, hash text not null)
"""

# Must come before any node, as the model and the users' own servers may run on this machine. The functions read
# ALLOW_PRIVATE_NODES for the same purpose.
_ALLOW_PRIVATE_NODES = """
    insert into private.settings (name, value) values ('allow_private_nodes', 'on')
    on conflict (name) do update set value = excluded.value
"""

# The node exists without a model too, so that no user's node gets the id 1.
_KEEP_NODE = """
    insert into public.client_nodes as n (id, owner_id, name, base_url, is_shared, is_active, models, last_seen_at)
    values (1, null, %(node)s, %(url)s, true, %(is_active)s,
            jsonb_build_array(jsonb_build_object('id', %(alias)s::text)), now())
    on conflict (id) do update set
      name = excluded.name, base_url = excluded.base_url, is_shared = true, is_active = excluded.is_active,
      models = excluded.models, last_seen_at = excluded.last_seen_at
    where n.owner_id is null
"""

# An identity column does not count ids that an insert sets.
_COUNT_NODE = """
    select setval('public.client_nodes_id_seq', greatest((select max(id) from public.client_nodes), last_value))
    from public.client_nodes_id_seq
"""

# The model runs on this machine, so its price is known: zero.
_ACTIVATE_MODEL = """
    insert into public.llm_models (model_key, model_name, provider, upstream_id, node_id, capabilities, pricing,
                                   is_active, display_order, source)
    values (%(key)s, %(name)s, 'client', %(alias)s, 1,
            jsonb_build_object('context_window', %(context)s::int, 'max_output_tokens', 512, 'supports_vision', false,
                               'supports_tools', false, 'supports_json', true),
            '{"input": 0, "output": 0}', true, 0, 'manual')
    on conflict (model_key) do update set
      model_name = excluded.model_name, capabilities = excluded.capabilities, pricing = excluded.pricing,
      is_active = true, display_order = excluded.display_order
"""

_RETIRE_MODEL = "update public.llm_models set is_active = false, is_default = false where model_key = %(key)s"

# A trigger of the table resets the old default.
# default_by 'seed' marks a choice that LLM_PROVIDER overrides.
_PREFER_MODEL = """
    update public.llm_models set is_default = true, default_by = 'seed' where model_key = %(key)s and not is_default
"""
_PREFER_FIRST = """
    update public.llm_models set is_default = true, default_by = 'seed'
    where id = (select id from public.llm_models where is_active and model_key <> %(key)s
                order by display_order, id limit 1)
      and not exists (select from public.llm_models where is_default and model_key <> %(key)s)
"""


def run_seed(dsn: str, path: Path) -> bool:
    """Runs the seed file once per database, like `supabase db reset`; returns whether it ran now."""
    text = path.read_text() if path.is_file() else ""
    with psycopg.connect(dsn) as connection:
        connection.execute("create schema if not exists supabase_migrations")
        connection.execute(_SEED_TABLE)
        digest = hashlib.sha256(text.encode()).hexdigest()
        recorded = connection.execute(
            "insert into supabase_migrations.seed_files (path, hash) values (%s, %s) on conflict do nothing",
            [f"supabase/{path.name}", digest],
        )
        if not recorded.rowcount or not text.strip():
            return False
        connection.execute(text.encode())  # psycopg accepts several statements in bytes without parameters
    return True


def give_login(dsn: str, ledger_url: str) -> None:
    """Lets the role of `ledger_url` connect with the password of this data directory."""
    role = conninfo_to_dict(ledger_url)
    statement = sql.SQL("alter role {} login password {}")
    with psycopg.connect(dsn) as connection:
        connection.execute(statement.format(sql.Identifier(str(role["user"])), sql.Literal(str(role["password"]))))


def register_model(dsn: str, model_url: str, *, is_preferred: bool) -> None:
    """Adds the model at `model_url` (ending in /v1) to the catalogue; it is the default when `is_preferred`.

    If it was the default and is not preferred, the first of the other models becomes the default.
    """
    default = _PREFER_MODEL if is_preferred else _PREFER_FIRST
    _run(dsn, model_url, [_ACTIVATE_MODEL, default], is_active=True)


def retire_model(dsn: str, model_url: str) -> None:
    """Removes the model from the catalogue; the active model with the lowest display_order becomes the default."""
    _run(dsn, model_url, [_RETIRE_MODEL, _PREFER_FIRST], is_active=False)


def _run(dsn: str, model_url: str, statements: list[LiteralString], *, is_active: bool) -> None:
    values = {
        "key": MODEL_KEY,
        "name": MODEL_NAME,
        "node": _NODE_NAME,
        "alias": ALIAS,
        "context": CONTEXT_TOKENS,
        "url": model_url,
        "is_active": is_active,
    }
    with psycopg.connect(dsn) as connection:  # one transaction: there is always a default
        connection.execute(_ALLOW_PRIVATE_NODES)
        if not connection.execute(_KEEP_NODE, values).rowcount:
            raise StackError(
                "client node 1 belongs to a user; the local model needs that number (`python -m local reset`)"
            )
        for statement in (_COUNT_NODE, *statements):
            connection.execute(statement, values)
