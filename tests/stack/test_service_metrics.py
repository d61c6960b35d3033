"""The metrics of the running stack, read from the roll-up."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.stack.people import Person, Stack, service
from tests.stack.turns import Database

SECRET = "metrics-" + "s" * 32


@pytest.fixture
def used(db: Database, alice: Person) -> Iterator[str]:
    """A catalogue's model with two turns of this month and one of an earlier month; gives its identifier."""
    model = f"test:{uuid.uuid4()}"
    db.execute(
        "insert into public.llm_models (model_key, model_name, provider, upstream_id, is_active)"
        " values (%(m)s, 'x', 'test', %(u)s, false)",
        {"m": model, "u": model.removeprefix("test:")},
    )
    for cost, tokens, ago in ((0.25, 7, "0 days"), (0.5, 5, "0 days"), (8, 9, "40 days")):
        db.execute(
            """insert into public.chat_logs (turn_id, user_id, endpoint, status, provider, model_identifier, cost_usd,
                 input_tokens, cached_tokens, output_tokens, duration_ms, created_at)
               values (gen_random_uuid(), %s, 'chat', 'completed', 'test', %s, %s, %s, 2, 3, 500,
                 now() - %s::interval)""",
            [alice.id, model, cost, tokens, ago],
        )
    yield model
    db.execute("delete from public.llm_models where model_key = %s", [model])


def _usage(stack: Stack, model: str, provider: str) -> list[dict[str, Any]]:
    found = service(stack, "POST", "rpc/service_metrics", json={})
    assert found.status_code == 200, found.text
    return [row for row in found.json()["usage"] if (row["model"], row["provider"]) == (model, provider)]


def test_the_numbers_are_those_of_the_month(stack: Stack, used: str) -> None:
    """Usage of earlier months is not counted, and each token has one kind."""
    (row,) = _usage(stack, used, "test")
    names = ("turns", "errors", "input_tokens", "cached_tokens", "output_tokens", "cost_usd", "duration_ms")
    assert [row[name] for name in names] == [2, 0, 8, 4, 6, 0.75, 1000]


def test_models_of_users_are_one_series(stack: Stack, db: Database, alice: Person) -> None:
    """The names of a user's own models are neither shown nor make a series each."""
    for number in (1, 2):
        db.execute(
            "insert into public.chat_logs (turn_id, user_id, endpoint, status, provider, model_identifier, agent_type)"
            " values (gen_random_uuid(), %s, 'chat', 'completed', 'client', %s, 'metrics-test')",
            [alice.id, f"client:{number}:private-name-{uuid.uuid4()}"],
        )
    rows = [row for row in _usage(stack, "client", "client") if row["agent"] == "metrics-test"]
    assert [row["turns"] for row in rows] == [2]
    assert "private-name" not in service(stack, "POST", "rpc/service_metrics", json={}).text


def test_prometheus_reads_a_running_llms(function: Any, used: str) -> None:
    """The secret opens the path; users' tokens and no token do not."""
    url, _ = function("llms", METRICS_SECRET=SECRET)
    assert httpx.get(f"{url}/metrics", timeout=30).status_code == 401
    got = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {SECRET}"}, timeout=30)
    assert got.status_code == 200
    families = {family.name: family for family in text_string_to_metric_families(got.text)}
    turns = [each.value for each in families["parley_turns"].samples if each.labels["model"] == used]
    assert turns == [2]
