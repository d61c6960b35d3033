"""The delivery of alerts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from functions.refresh import alerts
from functions.refresh.alert_texts import text_of
from shared.errors import NotConfigured
from tests.fakes.supabase import PERSON_ID, Project
from tests.refresh_steps import run_step

pytestmark = pytest.mark.anyio

_ROW = {
    "id": 1,
    "scope": "global",
    "period": "day",
    "period_start": "2026-11-21",
    "threshold": "cost 80%",
    "amount": 40.12,
    "cap": 50.0,
}


@dataclass
class Webhook:
    """Answers with `statuses` in turn and then 200; `got` is what was posted to it."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[Any] = field(default_factory=list)
    raw: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """One delivery."""
        self.got.append(await request.json())
        self.raw.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"})


@asynccontextmanager
async def _serving(webhook: Webhook) -> AsyncIterator[Webhook]:
    app = web.Application()
    app.router.add_post("/{path:.*}", webhook.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    webhook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/secret"
    try:
        yield webhook
    finally:
        await runner.cleanup()


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    """A webhook on loopback."""
    async with _serving(Webhook()) as running:
        yield running


def _answers(project: Project, rows: list[dict[str, Any]], pending: int = 0, raised: int = 0) -> None:
    names = {"raise_cost_alerts": raised, "claim_cost_alerts": rows, "settle_cost_alerts": pending}
    names |= {"raise_service_alerts": 0, "recover_alerts": 0}
    project.answers |= {f"/rest/v1/rpc/{name}": (200, answer) for name, answer in names.items()}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {},
            "Parley: everyone together used 40.12 USD in the day 2026-11-21 (UTC), 80% of the cap 50.",
        ),
        (
            {"scope": PERSON_ID, "threshold": "requests 100%", "amount": 500, "cap": 500.0},
            f"Parley: user {PERSON_ID} used 500 requests in the day 2026-11-21 (UTC), 100% of the cap 500.",
        ),
        (
            {"period": "month", "period_start": "2026-11-01", "threshold": "cost 25 USD", "amount": 0.0000004},
            "Parley: everyone together used 0.0000004 USD in the month 2026-11 (UTC), the threshold of 25 USD.",
        ),
        (
            {"threshold": "errors 20% openai:gpt-4o", "amount": 37.5, "cap": 20},
            "Parley: 37.5% of the turns with openai:gpt-4o failed in an hour, the threshold is 20%.",
        ),
        (
            {"threshold": "latency 30 s Claude 4", "amount": 41.2, "cap": 30},
            "Parley: Claude 4 takes 41.2 s to its first content (95th percentile), the threshold is 30 s.",
        ),
        (
            {"threshold": "refresh 26 h", "amount": 30.5, "cap": 26, "is_recovery": True},
            "Parley: recovered, this is over: refresh last succeeded 30.5 hours ago, the threshold is 26 hours.",
        ),
    ],
    ids=["budget", "requests", "amount", "errors", "latency", "recovery"],
)
def test_a_message_says_what_of_what_and_when(changes: dict[str, Any], text: str) -> None:
    """Amounts have no exponent, days are UTC, and users are ids."""
    assert text_of(_ROW | changes) == text


async def test_exactly_what_the_webhook_took_is_marked(
    project: Project, webhook: Webhook, environ: Callable[..., None]
) -> None:
    """After a refusal or a redirect the step fails, and the other alerts are delivered."""
    environ(**_project_of(project), ALERT_WEBHOOK_URL=webhook.url)
    webhook.statuses = [500, 200, 302, 204]
    _answers(project, [_ROW | {"id": number} for number in (1, 2, 3, 4)], pending=2, raised=3)
    outcome = await run_step(alerts.run, is_dry_run=False)
    assert outcome == {"ok": False, "raised": 3, "recovered": 0, "delivered": 2, "pending": 2}
    assert project.asked_of("settle_cost_alerts") == [{"taken": [2, 4], "untaken": [1, 3]}]
    assert webhook.got == [{"text": text_of(_ROW)}] * 4


async def test_what_others_are_delivering_does_not_make_the_step_fail(
    project: Project, webhook: Webhook, environ: Callable[..., None]
) -> None:
    """Only alerts that this run claimed and did not deliver make it fail."""
    environ(**_project_of(project), ALERT_WEBHOOK_URL=webhook.url)
    _answers(project, [], pending=7)
    assert await run_step(alerts.run, is_dry_run=False) == {
        "ok": True,
        "raised": 0,
        "recovered": 0,
        "delivered": 0,
        "pending": 7,
    }


async def test_a_webhook_that_is_not_there_leaves_them_pending(project: Project, environ: Callable[..., None]) -> None:
    """After a refused connection the alerts stay pending."""
    environ(**_project_of(project), ALERT_WEBHOOK_URL="http://127.0.0.1:9/hook")
    _answers(project, [_ROW], pending=1)
    assert await run_step(alerts.run, is_dry_run=False) == {
        "ok": False,
        "raised": 0,
        "recovered": 0,
        "delivered": 0,
        "pending": 1,
    }


async def test_without_a_webhook_rows_are_kept(project: Project) -> None:
    """Alerts are raised and counted, and are not claimed."""
    _answers(project, [_ROW], pending=1, raised=1)
    assert await run_step(alerts.run, is_dry_run=False) == {
        "ok": True,
        "raised": 1,
        "recovered": 0,
        "delivered": 0,
        "pending": 1,
    }
    assert project.asked_of("claim_cost_alerts") == []


async def test_a_dry_run_raises_and_delivers_nothing(
    project: Project, webhook: Webhook, environ: Callable[..., None]
) -> None:
    """It only counts what is pending."""
    environ(**_project_of(project), ALERT_WEBHOOK_URL=webhook.url)
    _answers(project, [_ROW], pending=1)
    assert await run_step(alerts.run, is_dry_run=True) == {
        "ok": True,
        "raised": 0,
        "recovered": 0,
        "delivered": 0,
        "pending": 1,
    }
    assert (project.asked_of("raise_cost_alerts"), webhook.got) == ([], [])


async def test_thresholds_in_dollars_travel_to_the_last_digit(project: Project, environ: Callable[..., None]) -> None:
    """The database gets the exact number; zero and an unset variable are no threshold."""
    environ(**_project_of(project), DAILY_COST_THRESHOLD="25.10", MONTHLY_COST_THRESHOLD="0")
    _answers(project, [])
    await run_step(alerts.run, is_dry_run=False)
    assert project.asked_of("raise_cost_alerts") == [{"daily_usd": "25.10", "monthly_usd": None}]


@pytest.mark.parametrize("name", ["DAILY_COST_THRESHOLD", "MONTHLY_COST_THRESHOLD"])
@pytest.mark.parametrize("value", ["much", "-1", "nan", "inf", "1e99", "$5"])
async def test_a_threshold_that_is_no_amount_is_named(
    project: Project, environ: Callable[..., None], name: str, value: str
) -> None:
    """No alert is raised while one of the variables is wrong."""
    environ(**_project_of(project), **{name: value})
    with pytest.raises(NotConfigured, match=name):
        await run_step(alerts.run, is_dry_run=False)
    assert project.asked == []


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example/secret", "http://10.0.0.1/secret", "ftp://127.0.0.1/secret", "secret", "https://[secret"],
)
async def test_a_webhook_must_be_https_unless_it_is_here(
    project: Project, environ: Callable[..., None], url: str
) -> None:
    """With a wrong address alerts stay pending; the error names the variable, not its value."""
    environ(**_project_of(project), ALERT_WEBHOOK_URL=url)
    _answers(project, [_ROW], raised=1)
    with pytest.raises(NotConfigured, match="ALERT_WEBHOOK_URL") as caught:
        await run_step(alerts.run, is_dry_run=False)
    assert "secret" not in str(caught.value)
    assert len(project.asked_of("raise_cost_alerts")) == 1


async def test_with_a_secret_each_alert_is_a_standard_webhook(
    project: Project, webhook: Webhook, environ: Callable[..., None]
) -> None:
    """The package of Standard Webhooks verifies it; the id is the row's, so a repeated delivery is recognised."""
    secret = f"whsec_{'QUJD' * 8}"
    environ(**_project_of(project), ALERT_WEBHOOK_URL=webhook.url, WEBHOOK_SECRET=secret)
    row = _ROW | {"created_at": "2026-11-21T10:00:00+00:00", "claimed_until": "x", "is_recovery": False}
    _answers(project, [row, row | {"id": 2, "is_recovery": True}])
    await run_step(alerts.run)
    verified = [Verifier(secret).verify(body, headers) for headers, body in webhook.raw]
    assert [headers["webhook-id"] for headers, _ in webhook.raw] == ["alert_1", "alert_2"]
    assert [each["type"] for each in verified] == ["alert.raised", "alert.recovered"]
    assert verified[0]["text"] == text_of(row)
    assert verified[0]["timestamp"] == row["created_at"]
    assert verified[0]["data"] == {name: value for name, value in row.items() if name != "claimed_until"}
    headers, body = webhook.raw[0]
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(body.replace(b"40.12", b"40.13"), headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(f"whsec_{'QUJE' * 8}").verify(body, headers)


async def test_without_a_secret_nothing_is_signed(
    project: Project, webhook: Webhook, environ: Callable[..., None]
) -> None:
    """Slack gets its own field alone."""
    environ(**_project_of(project), ALERT_WEBHOOK_URL=webhook.url)
    _answers(project, [_ROW])
    await run_step(alerts.run)
    headers, body = webhook.raw[0]
    assert [name for name in headers if name.startswith("webhook-")] == []
    assert json.loads(body) == {"text": text_of(_ROW)}


async def test_a_secret_of_another_form_is_named(project: Project, environ: Callable[..., None]) -> None:
    """An alert that claims to be signed and is not would be refused by every receiver."""
    environ(**_project_of(project), ALERT_WEBHOOK_URL="http://127.0.0.1:9/hook", WEBHOOK_SECRET="secret")
    _answers(project, [_ROW])
    with pytest.raises(NotConfigured, match="WEBHOOK_SECRET"):
        await run_step(alerts.run)
    assert project.asked_of("claim_cost_alerts") == []


@pytest.mark.parametrize(
    ("variables", "limits"),
    [
        (
            {},
            {"error_percent": 20, "first_content_seconds": 0, "refresh_hours": 26, "anomaly_usd": "1"},
        ),
        (
            {"ALERT_ERROR_PERCENT": "0", "ALERT_LATENCY_SECONDS": "9", "ALERT_REFRESH_HOURS": "48"}
            | {"ALERT_ANOMALY_USD": "0"},
            {"error_percent": 0, "first_content_seconds": 9, "refresh_hours": 48, "anomaly_usd": None},
        ),
    ],
    ids=["default", "set"],
)
async def test_the_service_is_watched_with_the_operator_s_limits(
    project: Project, environ: Callable[..., None], variables: dict[str, str], limits: dict[str, Any]
) -> None:
    """A recovery is found with the limits that raise an alert."""
    environ(**_project_of(project), **variables, DAILY_COST_THRESHOLD="25")
    _answers(project, [])
    await run_step(alerts.run)
    limits |= {"is_forecast": True}
    assert project.asked_of("raise_service_alerts") == [limits]
    assert project.asked_of("recover_alerts") == [limits | {"daily_usd": "25", "monthly_usd": None}]


def _project_of(project: Project) -> dict[str, str]:
    return {"SUPABASE_URL": project.url, "SUPABASE_ANON_KEY": "sb_publishable_x", "SUPABASE_SERVICE_KEY": "sb_secret_x"}
