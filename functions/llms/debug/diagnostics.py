"""Diagnostics for admins: a verdict and a fix for each thing that a turn needs."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.llms.debug.access import access_checks
from functions.llms.debug.checks import Check
from functions.llms.debug.connection import run_connection_test
from functions.llms.debug.ledger_role import ledger_role_check
from shared import supabase
from shared.auth import Person, authenticate_admin
from shared.config import settings
from shared.errors import NoDefaultModel, ParleyError
from shared.provider_config import KEYED_PROVIDERS, PROVIDERS, advice, deployment, is_configured
from shared.variables import PROVIDER_NAMES

_CRON_HOURS = 26  # a daily run plus two hours
_SKEW_SECONDS = 5.0
_SOON = timedelta(days=14)
_HEADERS = {"Cache-Control": "no-store"}


async def show_diagnostics(request: Request) -> Response:
    """GET /debug: for admins; uses no tokens and shows no key."""
    person = await authenticate_admin(request)
    checks = [provider_check(each.name) for each in KEYED_PROVIDERS]
    checks += [*(await access_checks(person)), await ledger_role_check(person)]
    checks += [*(await _database_checks(person)), await _lookups_check(person)]
    verdicts = {check.verdict for check in checks}
    return JSONResponse(
        {"ok": "broken" not in verdicts, "checks": [asdict(check) for check in checks]}, headers=_HEADERS
    )


async def test_connection(request: Request) -> Response:
    """POST /debug/test {identifier}: for admins; tests a model with one token, or a provider by its list."""
    person = await authenticate_admin(request)
    return JSONResponse(await run_connection_test(request, person), headers=_HEADERS)


def provider_check(name: str) -> Check:
    """Whether a provider's variables are set and look right; their values are never shown."""
    required = PROVIDERS[name].required_variables
    key, prefixes = required[0], PROVIDERS[name].key_prefixes
    raw = settings().raw(key)
    found: dict[str, Any] = {
        "is_enabled": is_configured(name),
        "has_key": bool(raw.strip()),
        "is_trimmed": raw == raw.strip(),
        "has_expected_prefix": raw.strip().startswith(prefixes),
        "missing": [variable for variable in required if not settings().get(variable)],
    }
    check = f"provider {name}"
    if len(found["missing"]) == len(required):
        return Check(check, "off", found)
    if found["missing"]:
        return Check(check, "broken", found, f"Set {', '.join(found['missing'])}.")
    if wrong := [f"{variable} {reason}." for variable in required if (reason := settings().wrong(variable))]:
        return Check(check, "broken", found, " ".join(wrong))
    if not found["has_expected_prefix"]:
        return Check(
            check, "warning", found, f"{key} usually begins with {' or '.join(prefixes)}: is it the right key?"
        )
    if not found["is_trimmed"]:
        return Check(check, "warning", found, f"Take the spaces or line ends off {key}; they are ignored here.")
    return Check(check, "ok", found)


async def _database_checks(person: Person) -> list[Check]:
    started_at = datetime.now(UTC)
    started = time.monotonic()
    try:
        found = await supabase.rpc("diagnose_catalogue", {}, supabase.as_caller(person.token))
        seconds = time.monotonic() - started
        routes = await _default_routes(person)
    except ParleyError as error:
        fix = "Look at SUPABASE_URL and its keys, the project's status, and whether every migration is applied."
        return [Check("database", "broken", {"error": error.code}, fix)]
    return [
        Check("database", "ok", {"ms": round(seconds * 1000)}),
        clock_check(datetime.fromisoformat(found["now"]), started_at, seconds),
        default_check(routes, found["default"], started_at.date()),
        cron_check(found["last_good_run"], found["last_run"], started_at),
        prices_check(found["unpriced"]),
        circuits_check(found["open_circuits"]),
    ]


async def _lookups_check(person: Person) -> Check:
    """The five most requested model names of the last 7 days that match no active model, with their turns."""
    try:
        rows = await supabase.rpc("lookup_failures", {}, supabase.as_caller(person.token))
    except ParleyError as error:
        return Check(
            "model lookups", "warning", {"error": error.code}, "Apply the migrations, and look at the database."
        )
    turns: Counter[str] = Counter()
    for row in rows:
        turns[row["asked_model"] or "?"] += row["turns"]
    found = {"failed_turns": turns.total(), "most_asked": dict(turns.most_common(5))}
    fix = "Correct these names where they are set, or add the models or aliases; rpc/lookup_failures has them by day."
    return Check("model lookups", "warning", found, fix) if turns else Check("model lookups", "ok", found)


def clock_check(database_now: datetime, started_at: datetime, round_trip_seconds: float) -> Check:
    """The difference of our clock and the database's, within the round trip; our clock decides when tokens expire."""
    skew = (database_now - started_at).total_seconds() - round_trip_seconds / 2
    found = {"skew_seconds": round(skew, 3), "round_trip_seconds": round(round_trip_seconds, 3)}
    if abs(skew) > _SKEW_SECONDS + round_trip_seconds / 2:
        return Check("clock", "warning", found, "Set this host's clock: sign-ins are refused when it is off by 30 s.")
    return Check("clock", "ok", found)


async def _default_routes(person: Person) -> list[dict[str, Any]]:
    """The routes that `chat_begin` chooses for a turn that names no model; empty when no model can be called."""
    turn = {"message": "Say yes.", "model": "default", "dry_run": True} | deployment()
    try:
        begun = await supabase.rpc("chat_begin", {"turn": turn}, supabase.as_caller(person.token))
    except NoDefaultModel:
        return []
    routes: list[dict[str, Any]] = begun["routes"]
    return routes


def default_check(routes: list[dict[str, Any]], default: dict[str, Any] | None, today: date) -> Check:
    """Whether a turn without a model name gets the model that the variables and the catalogue name.

    `routes` are the routes of such a turn in this deployment; `default` is the catalogue's row with is_default.
    """
    if not routes:
        return Check("default model", "broken", {}, advice() or "Run refresh, or make an active model the default.")
    first = routes[0]
    found = {
        "identifier": first["identifier"],
        "fallbacks": [route["identifier"] for route in routes[1:]],
        "is_default": default["identifier"] if default else None,
    }
    if reason := settings().wrong("LLM_PROVIDER"):
        return Check("default model", "warning", found, f"LLM_PROVIDER {reason}.")
    name = settings().get("LLM_PROVIDER").lower()
    if name and not is_configured(PROVIDER_NAMES[name]):
        missing = [
            variable for variable in PROVIDERS[PROVIDER_NAMES[name]].required_variables if not settings().get(variable)
        ]
        return Check("default model", "warning", found, f"LLM_PROVIDER is {name}: set {', '.join(missing)} as well.")
    own = PROVIDERS.get(first["provider"])
    wanted = settings().get(own.model_variable) if own else ""
    is_chosen = default is not None and default["identifier"] == first["identifier"]
    if own and wanted and not is_chosen and wanted not in {first["upstream_id"], first["model_key"]}:
        fix = f"{own.model_variable} is {wanted}, which is no active model of the catalogue: correct it or run refresh."
        return Check("default model", "warning", found, fix)
    ends = default["retires_on"] if default and is_chosen else None
    if is_chosen and default and (default["missing_since"] or (ends and date.fromisoformat(ends) < today + _SOON)):
        return Check("default model", "warning", found, "Its provider drops it: choose another before refresh does.")
    return Check("default model", "ok", found)


def cron_check(last_good: str | None, last_run: dict[str, Any] | None, now: datetime) -> Check:
    """Whether a refresh has succeeded within the last 26 hours."""
    found = {"last_good_run": last_good, "last_run": last_run}
    if last_good is None:
        return Check("refresh", "warning", found, "No run has succeeded yet: schedule POST on refresh's URL.")
    if now - datetime.fromisoformat(last_good) > timedelta(hours=_CRON_HOURS):
        fix = "The last good run is over a day old: look at the schedule, and at the errors in refresh_runs."
        return Check("refresh", "warning", found, fix)
    return Check("refresh", "ok", found)


def prices_check(unpriced: list[str]) -> Check:
    """The models without a known price, whose turns cost null."""
    fix = "Set pricing on these rows of llm_models; no cost cap holds them until then." if unpriced else None
    return Check("prices", "warning" if unpriced else "ok", {"unpriced": unpriced}, fix)


def circuits_check(circuits: list[dict[str, Any]]) -> Check:
    """Providers, models and nodes with an open circuit; with `is_shared` false it is open for one user only."""
    fix = "They close by themselves; test them with POST /debug/test." if circuits else None
    return Check("circuits", "warning" if circuits else "ok", {"open": circuits}, fix)
