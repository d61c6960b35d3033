"""The outcome of a model call: how it is recorded and charged."""

from __future__ import annotations

import time
from dataclasses import dataclass

from shared.errors import ModelUnavailable, ParleyError, ProviderAuthFailed, ProviderError, ProviderTimeout
from shared.events import Usage
from shared.identifiers import provider_key
from shared.log import log
from shared.routes import Attempt, Route
from shared.usage import UsageMeter


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. Without an error and not complete, the client hung up."""

    error: ParleyError | None
    is_asked: bool
    is_complete: bool


def recorded(route: Route, started: float, meter: UsageMeter, outcome: Outcome) -> Attempt:
    """The record of one call for the log row; `started` is a time of time.monotonic()."""
    error = outcome.error
    is_good = error is None and (outcome.is_complete or meter.has_content)
    upstream = error if isinstance(error, ProviderError) else None
    fields = {"provider": route.provider, "model": route.identifier}
    if isinstance(error, ProviderAuthFailed | ModelUnavailable):
        # The operator must fix it: key, account, region or model.
        log("alert", **fields, error=error.code, upstream_status=error.upstream_status)
    if meter.is_excessive:
        log("alert", **fields, error="usage_excessive")
    return Attempt(
        identifier=route.identifier,
        provider_key=provider_key(route.provider, route.node_id),
        ok=is_good,
        ms=round((time.monotonic() - started) * 1000),
        usage=_charged(meter, outcome),
        error_code=error.code if error else None if is_good else "cancelled",
        upstream_status=upstream.upstream_status if upstream else None,
        is_fault=upstream.is_fault if upstream else False,
        open_seconds=upstream.open_seconds if upstream else None,
    )


def _charged(meter: UsageMeter, outcome: Outcome) -> Usage | None:
    """The usage to charge, or None. A call that timed out before its first content is charged its counted usage."""
    if outcome.error is None:
        return meter.usage(is_complete=outcome.is_complete) if outcome.is_asked else None
    is_given_up = meter.is_counted and isinstance(outcome.error, ProviderTimeout)
    return meter.usage(is_complete=False) if meter.has_content or is_given_up else None
