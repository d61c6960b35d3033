"""The verdict of each check; no check shows a key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.llms.debug.diagnostics import (
    clock_check,
    cron_check,
    default_check,
    presets_check,
    prices_check,
    provider_check,
)
from tests.fakes.supabase import Project
from tests.functions.diagnostics import DEFAULT, PRESETS, ROUTE, admin

__all__ = ["admin"]  # a fixture

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "verdict", "words"),
    [
        ("", "off", ""),
        ("sk-secret", "ok", ""),
        ("secret", "warning", "sk-"),
        ("sk-secret\n", "warning", "spaces"),
        ("hf_secret ", "warning", "sk-"),
    ],
)
def test_a_key_is_checked_and_not_shown(environ: Callable[..., None], key: str, verdict: str, words: str) -> None:
    """The check reports a missing, untrimmed or unusual key with a fix, and not its value."""
    environ(OPENAI_API_KEY=key)
    check = provider_check("openai")
    assert check.verdict == verdict
    assert words in (check.fix or "")
    assert "secret" not in repr(check)
    assert check.found["has_key"] is bool(key)
    assert check.found["is_trimmed"] is (key == key.strip())


def test_half_a_configuration_is_broken(environ: Callable[..., None]) -> None:
    """MatchAI takes three variables; the missing ones are named."""
    environ(MATCHA_API_KEY="k", MATCHA_BASE_URL="https://x")
    check = provider_check("matcha")
    assert (check.verdict, check.fix) == ("broken", "Set MATCHA_MISSION_ID.")


@pytest.mark.parametrize(
    ("change", "variables", "verdict"),
    [
        ({}, {}, "ok"),
        ({"missing_since": "2026-11-20T00:00:00Z"}, {}, "warning"),
        ({"retires_on": "2026-12-01"}, {}, "warning"),
        ({"retires_on": "2027-12-01"}, {}, "ok"),
        # Another model serves, because the catalogue's default has no key here.
        ({"identifier": "google:g", "missing_since": "2026-11-20T00:00:00Z"}, {}, "ok"),
        ({}, {"LLM_PROVIDER": "openai"}, "ok"),
        ({}, {"LLM_PROVIDER": "claude"}, "warning"),
        ({}, {"LLM_PROVIDER": "gemni"}, "warning"),
        ({"identifier": "google:g"}, {"OPENAI_MODEL": "gpt-4o"}, "ok"),
        ({"identifier": "google:g"}, {"OPENAI_MODEL": "gpt-9"}, "warning"),
    ],
    ids=str,
)
def test_the_default_is_the_model_that_a_turn_gets(
    environ: Callable[..., None], change: dict[str, Any], variables: dict[str, str], verdict: str
) -> None:
    """It is called at its own provider, and it is the one that the variables name."""
    environ(OPENAI_API_KEY="k", **variables)
    check = default_check([ROUTE], DEFAULT | change, NOW.date())
    assert (check.verdict, check.found["identifier"]) == (verdict, "openai:gpt-4o")
    assert bool(check.fix) is (verdict == "warning")


def test_without_a_default_the_variables_are_named(environ: Callable[..., None]) -> None:
    """A deployment that can call nothing is broken, and the fix says what to set."""
    check = default_check([], DEFAULT, NOW.date())
    assert (check.verdict, "GOOGLE_API_KEY" in str(check.fix)) == ("broken", True)
    environ(OPENAI_API_KEY="k")
    assert "refresh" in str(default_check([], None, NOW.date()).fix)


@pytest.mark.parametrize(("hours", "verdict"), [(1, "ok"), (25, "ok"), (27, "warning")])
def test_a_cron_that_stopped_is_seen(hours: int, verdict: str) -> None:
    """The check fails after 26 hours without a successful run, or without any run."""
    assert cron_check((NOW - timedelta(hours=hours)).isoformat(), {}, NOW).verdict == verdict
    assert cron_check(None, None, NOW).verdict == "warning"


@pytest.mark.parametrize(
    ("skew", "round_trip", "verdict"), [(0.1, 0.2, "ok"), (-6, 0.2, "warning"), (7, 0.1, "warning"), (6, 6, "ok")]
)
def test_a_clock_that_is_off_is_seen(skew: float, round_trip: float, verdict: str) -> None:
    """The check reports a difference of clocks larger than the round trip."""
    assert clock_check(NOW + timedelta(seconds=skew), NOW, round_trip).verdict == verdict
    assert prices_check([]).verdict == "ok"


@pytest.mark.anyio
async def test_an_admin_sees_every_check(admin: Callable[..., Any], project: Project) -> None:
    """Each check has a verdict and a fix; the public key is tested without a token."""
    got = await admin("GET", "/debug")
    verdicts = {check["check"]: check["verdict"] for check in got.json()["checks"]}
    assert (got.status, got.headers["cache-control"], got.json()["ok"]) == (200, "no-store", True)
    assert verdicts == {
        **{f"provider {name}": "off" for name in ("google", "anthropic", "huggingface", "matcha")},
        "provider openai": "ok",
        "row-level security": "ok",
        "data API": "ok",
        "ledger connection": "off",
        "database": "ok",
        "clock": "ok",
        "default model": "ok",
        "refresh": "warning",
        "prices": "warning",
        "circuits": "warning",
        "model lookups": "warning",
        "presets": "ok",
    }
    assert got.json()["checks"][-2]["found"] == {"failed_turns": 6, "most_asked": {"gpt-5": 5, "?": 1}}
    assert b"secret" not in got.body
    asked = {each.path: each.headers for each in project.asked}
    assert "authorization" not in asked["/rest/v1/llm_models"]
    assert asked["/rest/v1/settings"]["accept-profile"] == "private"


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({}, "ok", ""),
        ({"overdue": 4}, "warning", "run refresh"),
        ({"failing": {"market-brief": 6}}, "warning", "market-brief"),
    ],
)
def test_presets_that_only_fail_are_named(change: dict[str, Any], verdict: str, words: str) -> None:
    """The fix names them; old answers that no sweep deleted are a warning, too."""
    check = presets_check(PRESETS | change)
    assert check.verdict == verdict
    assert words in (check.fix or "")


@pytest.mark.anyio
async def test_a_silent_database_is_broken(admin: Callable[..., Any], project: Project) -> None:
    """The check has the code of the error."""
    project.answers["/rest/v1/rpc/diagnose_catalogue"] = (503, "down")
    got = await admin("GET", "/debug")
    broken = {check["check"]: check["found"] for check in got.json()["checks"] if check["verdict"] == "broken"}
    assert (broken, got.json()["ok"]) == ({"database": {"error": "database_unavailable"}}, False)


@pytest.mark.anyio
async def test_without_the_public_key_the_other_checks_are_reported(
    admin: Callable[..., Any], environ: Callable[..., None]
) -> None:
    """A missing setting is a finding, not the end of the report."""
    environ(SUPABASE_ANON_KEY="")
    checks = {check["check"]: check for check in (await admin("GET", "/debug")).json()["checks"]}
    assert checks["data API"]["fix"].startswith("Set SUPABASE_ANON_KEY")
    assert checks["database"]["verdict"] == "broken"


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "path"), [("GET", "/debug"), ("POST", "/debug/test")])
async def test_it_is_for_admins_only(admin: Callable[..., Any], project: Project, method: str, path: str) -> None:
    """Other users get 403, and no check runs."""
    got = await admin(method, path, app_metadata={})
    assert (got.status, got.json()["error"]["code"]) == (403, "forbidden")
    assert project.asked == []


@pytest.mark.anyio
async def test_a_silent_provider_is_reported_with_a_fix(admin: Callable[..., Any], project: Project) -> None:
    """A provider's own name tests its model list, which is free; an unknown name is 404."""
    got = (await admin("POST", "/debug/test", {"identifier": "openai"})).json()
    assert (got["ok"], got["error"]) == (False, "provider_unreachable")
    assert "base URL" in got["fix"]
    project.answers["/rest/v1/llm_models"] = (200, [])
    for unknown in ("nobody:x", "nobody", "client:x:y", "client:1"):
        assert (await admin("POST", "/debug/test", {"identifier": unknown})).status == 404
    assert (await admin("POST", "/debug/test", {"identifier": ""})).status == 422
