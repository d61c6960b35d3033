"""The step `bills`: reads each provider's reports to the last page, and stores whole days."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from functions.refresh import bills
from functions.refresh.billing import READERS, Charge
from functions.refresh.billing.openai import costs_of
from tests.fakes.providers import Upstream
from tests.fakes.providers.bills import ADMIN_KEYS, Billed, Bills
from tests.fakes.supabase import Project
from tests.providers import variables
from tests.refresh_steps import run_step

pytestmark = pytest.mark.anyio
_KEYS = {"OPENAI_ADMIN_KEY": ADMIN_KEYS["openai"], "ANTHROPIC_ADMIN_KEY": ADMIN_KEYS["anthropic"]}
FIRST, LAST = date(2026, 10, 30), date(2026, 11, 4)
_BEGIN = "/rest/v1/rpc/bills_due"
_STORE = "/rest/v1/rpc/store_bills"


@pytest.fixture
def billed(upstream: Upstream, environ: Callable[..., None], sessions: None) -> Iterator[Bills]:  # noqa: ARG001 - order
    """Both organizations, with their admin keys; the bills are empty at first."""
    environ(**variables(upstream), **_KEYS)
    yield upstream.bills
    upstream.bills.clear()


def _sums(charges: list[Charge]) -> dict[tuple[date, str], tuple[int, int, int, Decimal]]:
    found: dict[tuple[date, str], tuple[int, int, int, Decimal]] = {}
    for each in charges:
        before = found.get((each.day, each.model), (0, 0, 0, Decimal(0)))
        numbers = (each.input_tokens or 0, each.cached_tokens or 0, each.output_tokens or 0)
        one, two, three = (old + new for old, new in zip(before[:3], numbers, strict=True))
        found[each.day, each.model] = (one, two, three, before[3] + (each.cost_usd or 0))
    return found


@pytest.mark.parametrize("provider", READERS)
async def test_a_bill_is_read_to_its_last_page(billed: Bills, provider: str) -> None:
    """Every day of a month's change has its tokens and US dollars by model, in whole days of UTC."""
    days = [FIRST + timedelta(days=number) for number in range(5)]
    billed.lines[provider] = [Billed(day, "m-1", 1000 + day.day, 100, 50, "0.125") for day in days]
    found = _sums(await READERS[provider](FIRST, LAST))
    assert found == {(day, "m-1"): (1000 + day.day, 100, 50, Decimal("0.125")) for day in days}
    assert len(billed.asked) == 6  # three pages of each report


async def test_line_items_name_their_model(billed: Bills) -> None:
    """OpenAI's items of one model are its charges; what is no model has an empty name."""
    items = {"gpt-4o-2024-08-06, input": "0.5", "gpt-4o-2024-08-06, cached input": "0.25", "web search tool calls": "1"}
    billed.lines["openai"] = [Billed(FIRST, None, usd=usd, item=item) for item, usd in items.items()]
    found = _sums(await READERS["openai"](FIRST, LAST))
    assert {model: each[3] for (_, model), each in found.items()} == {"gpt-4o-2024-08-06": Decimal("0.75"), "": 1}


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [
        (401, "{}", "provider_auth_failed"),
        (403, "{}", "provider_error"),
        (429, "{}", "provider_overloaded"),
        (500, "oops", "provider_error"),
        (200, "<html>", "provider_error"),
        (200, '{"data": [{"results": []', "provider_error"),
        (
            200,
            '{"data": [{"start_time": 1, "starting_at": "x", "results": [{}]}], "has_more": false}',
            "provider_error",
        ),
        (200, '{"data": []}', "provider_error"),
    ],
)
async def test_a_failing_provider_is_named_and_the_other_is_stored(
    billed: Bills, project: Project, upstream: Upstream, environ: Callable[..., None], status: int, text: str, code: str
) -> None:
    """The step is not ok, has the error's code, stores nothing of this provider and goes on with the next."""
    environ(**variables(upstream), **_KEYS, SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x")
    project.answers[_BEGIN] = (200, ["openai", "anthropic"])
    project.answers[_STORE] = (200, 3)
    billed.text["openai"] = (status, text)
    assert await run_step(bills.run) == {"ok": False, "stored": {"anthropic": 3}, "errors": {"openai": code}}
    assert [asked["bill"]["provider"] for asked in _stored(project)] == ["anthropic"]


async def test_whole_days_that_have_ended_are_stored(
    billed: Bills, project: Project, upstream: Upstream, environ: Callable[..., None]
) -> None:
    """The span is the last seven UTC days without today, of which no provider knows the end."""
    environ(**variables(upstream), **_KEYS, SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x")
    today = datetime.now(UTC).date()
    project.answers[_BEGIN] = (200, ["openai"])
    project.answers[_STORE] = (200, 2)
    billed.lines["openai"] = [Billed(today - timedelta(days=number), "m", 10, 0, 1, "0.1") for number in (0, 1, 7, 8)]
    assert await run_step(bills.run) == {"ok": True, "stored": {"openai": 2}}
    (asked,) = _stored(project)
    bill = asked["bill"]
    assert (bill["from_day"], bill["to_day"]) == (str(today - timedelta(days=7)), str(today))
    assert {row["day"] for row in bill["rows"]} == {str(today - timedelta(days=number)) for number in (1, 7)}
    assert {row["cost_usd"] for row in bill["rows"]} == {"0.1", None}


async def test_without_a_key_or_in_a_dry_run_nothing_is_asked(
    billed: Bills, project: Project, upstream: Upstream, environ: Callable[..., None]
) -> None:
    """Neither the database nor a provider gets a request; a provider that was just read is not read again."""
    environ(**variables(upstream), SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x")
    for name in _KEYS:
        environ(**{name: ""})
    assert await run_step(bills.run) == {"ok": True, "stored": {}}
    environ(**_KEYS)
    assert await run_step(bills.run, is_dry_run=True) == {"ok": True, "stored": {}}
    assert not project.asked_of("bills_due")
    project.answers[_BEGIN] = (200, [])
    assert await run_step(bills.run) == {"ok": True, "stored": {}}
    assert billed.asked == []


@pytest.mark.parametrize("amount", [{"value": 1, "currency": "eur"}, {"value": "NaN", "currency": "usd"}])
def test_other_amounts_are_no_bill(amount: dict[str, Any]) -> None:
    """An amount in another currency, or none, is refused, because its sum would be wrong."""
    with pytest.raises(ValueError, match="the bill"):
        costs_of({"start_time": 0, "results": [{"line_item": "m", "amount": amount}]})


def _stored(project: Project) -> list[Any]:
    return project.asked_of("store_bills")
