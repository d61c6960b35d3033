"""What an operator asks when something is odd: each thing a turn leans on, with a verdict and what to do about it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.llms.connection import tested
from shared import supabase
from shared.auth import Person, authenticate
from shared.config import settings
from shared.errors import Forbidden, ParleyError, Unauthenticated
from shared.hosts import VARIABLES, is_configured

_PREFIXES: Final = {
    "GOOGLE_API_KEY": ("AIza", "AQ."),
    "ANTHROPIC_API_KEY": ("sk-ant-",),
    "OPENAI_API_KEY": ("sk-",),
    "HF_TOKEN": ("hf_",),
}
_GUARDED = (
    "chat_logs",
    "messages",
    "llm_conversations",
    "llm_models",
    "client_nodes",
    "usage_counters",
    "refresh_runs",
)
_CRON_HOURS = 26  # a daily run, and room for a slow one
_SKEW_SECONDS = 5.0
_SOON = timedelta(days=14)
_HEADERS = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `fix` says what to do unless its verdict is ok or off."""

    check: str
    verdict: Literal["ok", "off", "warning", "broken"]
    found: dict[str, Any] = field(default_factory=dict)
    fix: str | None = None


async def show_diagnostics(request: Request) -> Response:
    """GET /debug: for admins; costs no token and tells no key."""
    person = await _admin(request)
    checks = [provider_check(name) for name in VARIABLES if VARIABLES[name]]
    checks += [await _canary(), *(await _database_checks(person))]
    verdicts = {check.verdict for check in checks}
    return JSONResponse(
        {"ok": "broken" not in verdicts, "checks": [asdict(check) for check in checks]}, headers=_HEADERS
    )


async def test_connection(request: Request) -> Response:
    """POST /debug/test {identifier}: for admins; whether a model answers with one token, or a provider lists at all."""
    person = await _admin(request)
    return JSONResponse(await tested(request, person), headers=_HEADERS)


async def _admin(request: Request) -> Person:
    person = await authenticate(request)
    if not person.is_admin:
        raise Forbidden("This is for admins.")
    return person


def provider_check(name: str) -> Check:
    """Whether a provider's variables are set and look right; their values are never told."""
    key = VARIABLES[name][0]
    raw = settings().raw(key)
    prefixes = _PREFIXES.get(key, ("",))
    found: dict[str, Any] = {
        "is_enabled": is_configured(name),
        "has_key": bool(raw.strip()),
        "is_trimmed": raw == raw.strip(),
        "has_expected_prefix": raw.strip().startswith(prefixes),
        "missing": [variable for variable in VARIABLES[name] if not settings().get(variable)],
    }
    check = f"provider {name}"
    if len(found["missing"]) == len(VARIABLES[name]):
        return Check(check, "off", found)
    if found["missing"]:
        return Check(check, "broken", found, f"Set {', '.join(found['missing'])}.")
    if wrong := [f"{variable} {reason}." for variable in VARIABLES[name] if (reason := settings().wrong(variable))]:
        return Check(check, "broken", found, " ".join(wrong))
    if not found["has_expected_prefix"]:
        return Check(
            check, "warning", found, f"{key} usually begins with {' or '.join(prefixes)}: is it the right key?"
        )
    if not found["is_trimmed"]:
        return Check(check, "warning", found, f"Take the spaces or line ends off {key}; they are ignored here.")
    return Check(check, "ok", found)


async def _canary() -> Check:
    """Somebody without a token must not see a row of what people own."""
    key = settings().get("SUPABASE_ANON_KEY")
    if not key:
        return Check("row-level security", "broken", {}, "Set SUPABASE_ANON_KEY: without it nobody's turn can begin.")
    seen = await asyncio.gather(*(_is_visible(table, {"apikey": key}) for table in _GUARDED))
    found = dict(zip(_GUARDED, seen, strict=True))
    leaks = [table for table, is_visible in found.items() if is_visible]
    unseen = [table for table, is_visible in found.items() if is_visible is None]
    if leaks:
        fix = f"Anybody can read {', '.join(leaks)}: apply the migrations again and look for grants to anon."
        return Check("row-level security", "broken", {"visible_to_anybody": leaks}, fix)
    if unseen:
        fix = "These could not be checked: look at the database and try again."
        return Check("row-level security", "warning", {"not_checked": unseen}, fix)
    return Check("row-level security", "ok", {"tables": len(_GUARDED)})


async def _is_visible(table: str, who: dict[str, str]) -> bool | None:
    """Whether a row comes; None when the database says neither yes nor no."""
    try:
        return bool(await supabase.select(f"{table}?select=*&limit=1", who, timeout_seconds=3.0))
    except (Unauthenticated, Forbidden):
        return False
    except ParleyError:
        return None


async def _database_checks(person: Person) -> list[Check]:
    asked = datetime.now(UTC)
    started = time.monotonic()
    try:
        found = await supabase.rpc("diagnose_catalogue", {}, supabase.as_caller(person.token))
    except ParleyError as error:
        fix = "Look at SUPABASE_URL and its keys, the project's status, and whether every migration is applied."
        return [Check("database", "broken", {"error": error.code}, fix)]
    seconds = time.monotonic() - started
    return [
        Check("database", "ok", {"ms": round(seconds * 1000)}),
        clock_check(datetime.fromisoformat(found["now"]), asked, seconds),
        default_check(found["default"], asked.date()),
        cron_check(found["last_good_run"], found["last_run"], asked),
        prices_check(found["unpriced"]),
        circuits_check(found["open_circuits"]),
    ]


def clock_check(theirs: datetime, asked: datetime, round_trip_seconds: float) -> Check:
    """How far our clock is from the database's, as far as the round trip lets us see; tokens are checked by ours."""
    skew = (theirs - asked).total_seconds() - round_trip_seconds / 2
    found = {"skew_seconds": round(skew, 3), "round_trip_seconds": round(round_trip_seconds, 3)}
    if abs(skew) > _SKEW_SECONDS + round_trip_seconds / 2:
        return Check("clock", "warning", found, "Set this host's clock: sign-ins are refused when it is off by 30 s.")
    return Check("clock", "ok", found)


def default_check(default: dict[str, Any] | None, today: date) -> Check:
    """Whether a turn that names no model has one that can answer."""
    if default is None:
        return Check("default model", "broken", {}, "Set is_default on an active row of llm_models.")
    if not is_configured(default["provider"]):
        fix = f"Set the key of {default['provider']}, or make a model of a configured provider the default."
        return Check("default model", "broken", default, fix)
    if default.get("is_node_active") is False:
        fix = "Its client node is switched off: switch it on, or make another model the default."
        return Check("default model", "broken", default, fix)
    ends = default["retires_on"]
    if default["missing_since"] or (ends and date.fromisoformat(ends) < today + _SOON):
        return Check("default model", "warning", default, "Its provider drops it: choose another before refresh does.")
    return Check("default model", "ok", default)


def cron_check(last_good: str | None, last_run: dict[str, Any] | None, now: datetime) -> Check:
    """How long ago the catalogue was refreshed without an error."""
    found = {"last_good_run": last_good, "last_run": last_run}
    if last_good is None:
        return Check("refresh", "warning", found, "No run has succeeded yet: schedule POST on refresh's URL.")
    if now - datetime.fromisoformat(last_good) > timedelta(hours=_CRON_HOURS):
        fix = "The last good run is over a day old: look at the schedule, and at the errors in refresh_runs."
        return Check("refresh", "warning", found, fix)
    return Check("refresh", "ok", found)


def prices_check(unpriced: list[str]) -> Check:
    """Models whose turns cost null, because nobody knows their price."""
    fix = "Set pricing on these rows of llm_models; no cost cap holds them until then." if unpriced else None
    return Check("prices", "warning" if unpriced else "ok", {"unpriced": unpriced}, fix)


def circuits_check(circuits: list[dict[str, Any]]) -> Check:
    """Providers that are not called right now because they failed."""
    fix = "They close by themselves; test them with POST /debug/test." if circuits else None
    return Check("circuits", "warning" if circuits else "ok", {"open": circuits}, fix)
