"""The metrics over HTTP, read by Prometheus's own parser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from functions.llms.main import ROUTES
from functions.llms.metrics import exposition
from shared.endpoint import respond
from tests.asgi import Caller, call
from tests.fakes.supabase import Project

pytestmark = pytest.mark.anyio
SECRET = "m" * 32
RPC = "/rest/v1/rpc/service_metrics"
USED = {
    "provider": "openai",
    "model": "openai:gpt-4o",
    "agent": "general",
    "endpoint": "chat",
    "turns": 3,
    "errors": 1,
    "unpriced_turns": 0,
    "input_tokens": 100,
    "cached_tokens": 20,
    "output_tokens": 30,
    "reasoning_tokens": 7,
    "cost_usd": 0.000000123,
    "duration_ms": 4500,
    "ttft_ms": 300,
    "ttft_count": 2,
}
FOUND: dict[str, Any] = {
    "usage": [USED],
    "budgets": [
        {"period": "day", "spent_usd": 1.5, "reserved_usd": 0.25, "cap_usd": 50},
        {"period": "month", "spent_usd": 2.5, "reserved_usd": 0, "cap_usd": None},
    ],
    "open_turns": 4,
    "open_circuits": 0,
    "pending_alerts": 2,
    "last_refresh": 1795872000.5,
}


async def _ask(project: Project, token: str = SECRET) -> Caller:
    project.answers[RPC] = (200, FOUND)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return await call(lambda request: respond(request, ROUTES), "GET", "/metrics", headers)


def _samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        assert (family.documentation, family.type in {"counter", "gauge", "summary"}) != ("", False)
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


async def test_the_holder_of_the_secret_reads_all_numbers(project: Project, environ: Callable[..., None]) -> None:
    """Prometheus's parser reads each number with its labels and type."""
    environ(METRICS_SECRET=SECRET)
    got = await _ask(project)
    assert (got.status, got.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert project.asked[0].headers["apikey"] == "sb_secret_x"
    found = _samples(got.body.decode())
    own = {name: USED[name] for name in ("provider", "model", "agent", "endpoint")}
    assert found["parley_turns_total"] == [(own, 3)]
    assert found["parley_turn_errors_total"] == [(own, 1)]
    assert found["parley_unpriced_turns_total"] == [(own, 0)]
    assert found["parley_cost_usd_total"] == [(own, 0.000000123)]
    tokens = {"input": 100, "cached_input": 20, "output": 30, "reasoning": 7}
    assert found["parley_tokens_total"] == [(own | {"kind": kind}, count) for kind, count in tokens.items()]
    assert found["parley_turn_duration_seconds_sum"] == [(own, 4.5)]
    assert found["parley_turn_duration_seconds_count"] == [(own, 3)]
    assert found["parley_first_content_seconds_sum"] == [(own, 0.3)]
    assert found["parley_first_content_seconds_count"] == [(own, 2)]
    assert found["parley_spent_usd"] == [({"period": "day"}, 1.5), ({"period": "month"}, 2.5)]
    assert found["parley_reserved_usd"] == [({"period": "day"}, 0.25), ({"period": "month"}, 0)]
    assert found["parley_cap_usd"] == [({"period": "day"}, 50)]
    assert [found[f"parley_{name}"] for name in ("open_turns", "open_circuits", "pending_alerts")] == [
        [({}, 4)],
        [({}, 0)],
        [({}, 2)],
    ]
    assert found["parley_last_refresh_timestamp_seconds"] == [({}, 1795872000.5)]


async def test_a_deployment_without_usage_has_valid_metrics() -> None:
    """Null is no sample; every family keeps its type."""
    empty: dict[str, Any] = dict.fromkeys(FOUND) | {"usage": [], "budgets": []}
    assert _samples(exposition(empty)) == {}


async def test_odd_names_stay_one_label() -> None:
    """Quotes, backslashes and line ends of a model's name are escaped."""
    odd = 'a"} 1\n# b\\n'
    found = _samples(exposition(FOUND | {"usage": [USED | {"model": odd}]}))
    assert found["parley_turns_total"][0][0]["model"] == odd


@pytest.mark.parametrize("token", ["", "m" * 31, "m" * 33, "é" * 32])
async def test_another_token_is_refused(project: Project, environ: Callable[..., None], token: str) -> None:
    """401 without a look at the database."""
    environ(METRICS_SECRET=SECRET)
    assert (await _ask(project, token)).status == 401
    assert project.asked == []


@pytest.mark.parametrize("secret", ["", "m" * 31])
async def test_without_a_long_secret_there_are_no_metrics(
    project: Project, environ: Callable[..., None], secret: str
) -> None:
    """404, as for any path that does not exist; an empty secret matches no empty token."""
    environ(METRICS_SECRET=secret)
    for token in ("", secret, project.token(app_metadata={"role": "admin"})):
        assert (await _ask(project, token)).status == 404
    assert project.asked == []
