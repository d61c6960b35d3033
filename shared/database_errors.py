"""Errors of the database as errors of `shared.errors`, whether they come over HTTP or over a connection."""

from __future__ import annotations

import json
from typing import Any

from shared.errors import (
    BY_CODE,
    DatabaseBusy,
    DatabaseUnavailable,
    Forbidden,
    InternalError,
    ParleyError,
    Unauthenticated,
)

# SQLSTATEs, or their classes, that PostgREST answers with 500 or 503: a retry may succeed. From its documentation of
# errors, 2026-11.
_UNAVAILABLE = tuple("08 09 21000 25 2D 38 39 3B 40 53 54 55 57 58 F0 HV P0 XX".split())  # noqa: SIM905 - one line
_EXCEPTIONS = {"25006", "P0001"}
_FORBIDDEN = ("0L", "0P", "28", "42501")


# A lock timeout, a deadlock, a serialization failure, too many connections, and PostgREST's full pool: nothing was
# changed, and the same statement may succeed at once.
_RETRIED = {"55P03", "40P01", "40001", "53300", "PGRST003"}
_BUSY = _RETRIED | {"57014"}  # a statement timeout: a retry would take as long again
PAUSE_SECONDS = 0.1  # before the only retry; it ends what two transactions did in step


def is_retried(code: str | None, detail: str | None) -> bool:
    """Whether a statement that failed with this SQLSTATE, or code of PostgREST, is sent once more.

    `detail` has the error's detail, where a function of ours that met a busy database says so.
    """
    return code in _RETRIED or (code == "PT503" and '"database_busy"' in (detail or ""))


def is_busy(code: str | None) -> bool:
    """Whether this SQLSTATE, or code of PostgREST, means that the database is busy."""
    return code in _BUSY


def busy() -> DatabaseBusy:
    """The error of a database that is busy."""
    return DatabaseBusy("The database is busy right now.", retry_after_seconds=2)


def code_of(payload: Any) -> str | None:
    """The SQLSTATE, or the code of PostgREST, in an error response; None without one."""
    code = payload.get("code") if isinstance(payload, dict) else None
    return code if isinstance(code, str) else None


def unavailable() -> DatabaseUnavailable:
    """The error of a database that does not answer."""
    return DatabaseUnavailable("The database cannot be reached right now.", retry_after_seconds=2)


def refusal(status: int, payload: Any) -> ParleyError:
    """The error of a PostgREST error response; only messages of our own database functions are passed on."""
    fields = payload if isinstance(payload, dict) else {}
    if str(fields.get("code", "")).startswith("PT"):
        return _raised_by_us(str(fields.get("message")), fields.get("details"))
    if is_busy(code_of(payload)):
        return busy()
    if status == 401:
        return Unauthenticated("The access token was not accepted.")
    if status == 403:
        return Forbidden("The database does not allow this.")
    if status >= 500:
        return unavailable()
    return InternalError("The database did not understand this request.")


def refusal_of_sqlstate(sqlstate: str | None, message: str, detail: str | None) -> ParleyError:
    """The error of a statement, as `refusal` gives it for the same error over HTTP; no SQLSTATE is a lost database."""
    if sqlstate is None:
        return unavailable()
    if sqlstate.startswith("PT"):
        return _raised_by_us(message, detail)
    if is_busy(sqlstate):
        return busy()
    if sqlstate.startswith(_FORBIDDEN):
        return refusal(403, None)
    return refusal(503 if sqlstate.startswith(_UNAVAILABLE) and sqlstate not in _EXCEPTIONS else 400, None)


def _raised_by_us(message: str, detail: str | None) -> ParleyError:
    """The error that a database function raised with SQLSTATE PT… and a JSON detail."""
    try:
        fields = json.loads(detail or "{}")
        metadata = fields.get("metadata") or {}
        known = BY_CODE[fields["code"]]
    except (ValueError, KeyError, AttributeError):
        return InternalError("The database refused this request.")
    retry_after = metadata.pop("retry_after", None)
    return known(message, metadata=metadata, retry_after_seconds=retry_after)
