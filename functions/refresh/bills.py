"""Step `bills`: stores what providers charged for the last days, for bill_drift() to compare with the ledger."""

from __future__ import annotations

import importlib
from datetime import UTC, date, datetime, timedelta
from typing import Any

from functions.refresh.step import StepContext, StepOutcome
from shared import supabase
from shared.config import settings
from shared.errors import ParleyError

_DAYS = 7  # a provider may correct a day's figures for some days
_READERS = "functions.refresh.billing"
_KEYS = {"openai": "OPENAI_ADMIN_KEY", "anthropic": "ANTHROPIC_ADMIN_KEY"}


async def run(context: StepContext) -> StepOutcome:
    """The outcome: stored rows by provider, and the error codes of providers that failed. Raises DatabaseUnavailable.

    It reads whole UTC days that have ended, four times a day, from each provider with an admin key.
    """
    wanted = [provider for provider, key in _KEYS.items() if settings().get(key)]
    if not wanted or context.is_dry_run:
        return StepOutcome(details={"stored": {}})
    due: list[str] = await supabase.rpc("bills_due", {"providers": wanted}, supabase.as_service())
    today = datetime.now(UTC).date()
    stored: dict[str, int] = {}
    failed: dict[str, str] = {}
    for provider in due:
        try:
            stored[provider] = await _store(provider, today - timedelta(days=_DAYS), today)
        except ParleyError as error:
            failed[provider] = error.code
    details: dict[str, Any] = {"stored": stored}
    return StepOutcome(ok=not failed, details=details | ({"errors": failed} if failed else {}))


async def _store(provider: str, first: date, last: date) -> int:
    """How many rows of this provider were stored. Raises ProviderError, NotConfigured, DatabaseUnavailable."""
    charges = await importlib.import_module(_READERS).READERS[provider](first, last)
    bill = {
        "provider": provider,
        "from_day": first.isoformat(),
        "to_day": last.isoformat(),
        "rows": [charge.as_row() for charge in charges if first <= charge.day < last],
    }
    rows: int = await supabase.rpc("store_bills", {"bill": bill}, supabase.as_service(), timeout_seconds=30.0)
    return rows
