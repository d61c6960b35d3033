"""The checks of access rules: open rows and privileges are named with their fix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.supabase import Project
from tests.functions.diagnostics import admin

__all__ = ["admin"]  # a fixture

RLS_OFF = {
    "object": "public.chat_logs",
    "problem": "row-level security is off",
    "is_broken": True,
    "fix": "alter table public.chat_logs enable row level security;",
}
ACCESS = "/rest/v1/rpc/diagnose_access"
VISIBILITY = "/rest/v1/rpc/diagnose_visibility"


def _found(*findings: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"relations": 16, "functions": 29, "findings": list(findings)}


def _seen(**found: Any) -> tuple[int, Any]:
    return 200, {"visible": [], "unchecked": []} | found


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answers", "verdict", "words"),
    [
        ({ACCESS: _found(RLS_OFF)}, "broken", "public.chat_logs: row-level security is off. Fix: alter table"),
        ({ACCESS: _found(RLS_OFF | {"is_broken": False})}, "warning", "alter table public.chat_logs enable"),
        ({ACCESS: _found(*[RLS_OFF] * 9)}, "broken", "4 more are listed under findings."),
        (
            {VISIBILITY: _seen(visible=[{"relation": "public.messages", "role": "authenticated"}])},
            "broken",
            "public.messages: a user without any data sees rows",
        ),
        (
            {VISIBILITY: _seen(visible=[{"relation": "public.messages", "role": "anon"}])},
            "broken",
            "public.messages: a visitor without a token sees rows",
        ),
        (
            {VISIBILITY: _seen(unchecked=[{"relation": "public.messages", "role": "anon", "reason": "55P03"}])},
            "warning",
            "Could not be read, try again: public.messages.",
        ),
        ({ACCESS: (404, {"code": "PGRST202"})}, "warning", "apply the migrations"),
        ({VISIBILITY: (404, {"code": "PGRST202"})}, "warning", "apply the migrations"),
        ({VISIBILITY: (503, "down")}, "warning", "try again"),
    ],
)
async def test_each_finding_is_named_with_its_fix(
    admin: Callable[..., Any], project: Project, answers: dict[str, tuple[int, Any]], verdict: str, words: str
) -> None:
    """An open access is broken; an unchecked table is a warning."""
    project.answers |= answers
    received = (await admin("GET", "/debug")).json()
    (check,) = [check for check in received["checks"] if check["check"] == "row-level security"]
    assert (check["verdict"], received["ok"]) == (verdict, verdict != "broken")
    assert words in check["fix"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answers", "verdict", "words"),
    [
        ({"/rest/v1/llm_models": (200, [{"id": 1}])}, "broken", "SUPABASE_ANON_KEY reads llm_models"),
        ({"/rest/v1/llm_models": (200, [])}, "broken", "SUPABASE_ANON_KEY reads llm_models"),
        ({"/rest/v1/settings": (403, {"code": "42501"})}, "broken", "exposed schemas"),
        ({"/rest/v1/settings": (503, "down")}, "warning", "could not be asked"),
    ],
)
async def test_what_the_data_api_opens_is_found(
    admin: Callable[..., Any], project: Project, answers: dict[str, tuple[int, Any]], verdict: str, words: str
) -> None:
    """The check finds a table that the public key reads, and an exposed schema private."""
    project.answers |= answers
    (check,) = [c for c in (await admin("GET", "/debug")).json()["checks"] if c["check"] == "data API"]
    assert check["verdict"] == verdict
    assert words in check["fix"]
