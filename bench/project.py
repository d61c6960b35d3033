"""A local stack filled for measuring: many users without caps, models of the scripted upstream, and its processes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from bench.upstream import Script
from local.data_dir import DataDir
from local.users import access_token
from tests.stack_process import MARK, RunningStack, data_folder, free_ports, marked, running_stack, wait_until

USERS = 64
_PRICING = '{"input": 0.15, "output": 0.6}'
_CAPABILITIES = '{"context_window": 128000, "max_output_tokens": 16384, "supports_tools": true, "supports_json": true}'


@dataclass(frozen=True, slots=True)
class Project:
    """`values` are the stack's variables, `tokens` the users' access tokens, `roots` process ids by part."""

    values: Mapping[str, str]
    tokens: tuple[str, ...]
    roots: Mapping[str, int]

    def wait_for_open_turns(self, timeout_seconds: float = 20.0) -> None:
        """Returns when every admitted turn is booked."""
        with psycopg.connect(self.values["DATABASE_URL"], autocommit=True) as db:
            query = "select count(*) from public.open_turns()"
            wait_until(lambda: db.execute(query).fetchone() == (0,), timeout_seconds)


@contextmanager
def bench_stack(*options: str) -> Iterator[tuple[RunningStack, Mapping[str, int]]]:
    """A new stack, and the process ids of its stand-in for PostgREST and of its PostgreSQL."""
    mark = secrets.token_hex(8)
    with (
        data_folder() as data,
        running_stack(data, free_ports(), "--no-reload", *options, environ={MARK: mark}) as stack,
    ):
        postmaster = (DataDir(data).database / "postmaster.pid").read_text().splitlines()[0]
        stand_in = next(pid for pid, command in marked(mark).items() if "local.api" in command)
        yield stack, {"stand-in": stand_in, "PostgreSQL": int(postmaster)}


def prepare_project(stack: RunningStack, roots: Mapping[str, int], scripts: tuple[Script, ...]) -> Project:
    """Creates the users and the models, and lifts the caps."""
    values = stack.values
    url, key = values["SUPABASE_URL"], values["SUPABASE_SERVICE_KEY"]
    tokens = tuple(access_token(url, key, f"bench-{number}@parley.local") for number in range(USERS))
    with psycopg.connect(values["DATABASE_URL"], autocommit=True) as db:
        lift_caps(db)
        for script in scripts:
            add_model(db, script.model)
    return Project(values, tokens, roots)


def lift_caps(db: psycopg.Connection[tuple[object, ...]]) -> None:
    """Gives every user a row without caps. The caps of all together stay, but are out of reach."""
    db.execute("insert into public.usage_limits (scope) select id::text from auth.users on conflict do nothing")
    db.execute("update public.usage_limits set daily_cost_usd = 1e6, monthly_cost_usd = 1e6 where scope = 'global'")


def add_model(db: psycopg.Connection[tuple[object, ...]], model: str) -> None:
    """Adds a model of OpenAI with this name, unless it is there."""
    db.execute(
        "insert into public.llm_models (model_key, model_name, provider, upstream_id, pricing, capabilities) "
        "values (%s, %s, 'openai', %s, %s, %s) on conflict do nothing",
        [model, model, model, _PRICING, _CAPABILITIES],
    )
