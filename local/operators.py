"""Operator commands with the service key: make a user an admin, show and change caps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from local.errors import StackError
from local.users import create_user

CAPS = ("daily_requests", "daily_cost_usd", "monthly_cost_usd", "requests_per_minute", "degrade_at", "degrade_to")
_SHARED_SCOPES = ("global", "default", "anonymous")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PER_PAGE = 200
_MAX_PAGES = 500
_HEADINGS = ("scope", "requests/day", "USD/day", "USD/month", "requests/minute", "cheaper from", "adaptive")
_HEADINGS_OF_USE = ("requests today", "USD today", "USD this month")


@dataclass(frozen=True, slots=True)
class Project:
    """A Supabase project with its service key."""

    url: str
    service_key: str

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of the response; None for an empty body. Raises StackError for an error or without a response."""
        auth_headers = {"apikey": self.service_key}
        if not self.service_key.startswith("sb_"):
            auth_headers["Authorization"] = f"Bearer {self.service_key}"
        url = f"{self.url.rstrip('/')}/{path}"
        try:
            response = httpx.request(method, url, json=body, headers=auth_headers | headers, timeout=10)
        except httpx.TransportError as error:
            raise StackError(f"no answer from {self.url}: {error}; is the stack running? (`make run`)") from None
        if response.status_code >= 300:
            raise StackError(f"{method} {url} answered {response.status_code}: {' '.join(response.text.split())[:200]}")
        return response.json() if response.content else None

    def find_user(self, email: str) -> dict[str, Any] | None:
        """The account with this e-mail address; None when there is none."""
        for page in range(1, _MAX_PAGES + 1):
            found = self.request("GET", f"auth/v1/admin/users?page={page}&per_page={_PER_PAGE}")["users"]
            for user in found:
                if (user.get("email") or "").casefold() == email.casefold():
                    account: dict[str, Any] = user
                    return account
            if len(found) < _PER_PAGE:
                return None
        raise StackError(f"{email} is not among the first {_PER_PAGE * _MAX_PAGES} accounts: give the user's id")


def set_admin(project: Project, email: str, *, is_admin: bool) -> str:
    """Sets or removes the admin role; returns a message. Creates a missing account for the admin role."""
    if is_admin and project.find_user(email) is None:
        create_user(project.url, project.service_key, email, password=None)
    account = project.find_user(email)
    if account is None:
        raise StackError(f"there is no account of {email}")
    role = "admin" if is_admin else None
    project.request("PUT", f"auth/v1/admin/users/{account['id']}", {"app_metadata": {"role": role}})
    state = "is an admin" if is_admin else "is no longer an admin"
    return (
        f"{email} {state}. Tokens carry the role: sign out and in again, or print a new token with\n"
        f"  TOKEN=$(.venv/bin/python -m local token {email})\n"
        "Older tokens keep the old role until they expire, after one hour at most."
    )


def scope_of(project: Project, word: str) -> str:
    """The scope of usage_limits for global, default, anonymous, a user's id or an e-mail address."""
    if word in _SHARED_SCOPES or _UUID.fullmatch(word.lower()):
        return word.lower()
    if "@" not in word:
        raise StackError(f"{word} is not a scope: give global, default, anonymous, an e-mail address or a user's id")
    if (account := project.find_user(word)) is None:
        raise StackError(f"there is no account of {word}")
    return str(account["id"])


def change_caps(project: Project, word: str, caps: dict[str, float | str | None]) -> None:
    """Sets these caps of a scope; None removes a cap. A new scope starts with the caps of `default`.

    Raises StackError for caps that the scope cannot have.
    """
    scope = scope_of(project, word)
    rows = project.request("GET", f"rest/v1/usage_limits?scope=in.(default,{scope})")
    row: dict[str, Any] = next((row for row in sorted(rows, key=lambda row: row["scope"] == "default")), {})
    body = {name: row.get(name) for name in CAPS} | caps | {"scope": scope}
    if (body["degrade_at"] is None) != (body["degrade_to"] is None):
        raise StackError("give --degrade-at and --degrade-to together, or none for both")
    if scope == "global" and caps.get("requests_per_minute") is not None:
        raise StackError("global has no limit of requests per minute: it counts the turns of one user")
    if scope == "global":
        del body["requests_per_minute"]
    project.request("POST", "rest/v1/usage_limits", body, Prefer="resolution=merge-duplicates")


def caps_table(project: Project, word: str | None) -> str:
    """A table of caps and usage of one scope, or of all scopes with a row; a dash means no cap."""
    only = f"&scope=eq.{scope_of(project, word)}" if word else ""
    limits = project.request("GET", f"rest/v1/usage_limits?order=scope{only}")
    today = datetime.now(UTC).date()
    starts = f"or=(and(period.eq.day,period_start.eq.{today}),and(period.eq.month,period_start.eq.{today:%Y-%m}-01))"
    counters = project.request("GET", f"rest/v1/usage_counters?{starts}{only}")
    used = {(row["scope"], row["period"]): row for row in counters}
    names = [row["scope"] for row in limits]
    if word and not names:
        names = [scope_of(project, word)]
    caps = {row["scope"]: row for row in limits}
    lines = [(*_HEADINGS, *_HEADINGS_OF_USE), *(_line(name, caps.get(name, {}), used) for name in names)]
    return _aligned(lines) + ("" if not word or limits else "\nThis scope has no row, so the caps of default apply.")


def _line(scope: str, caps: dict[str, Any], used: dict[tuple[str, str], dict[str, Any]]) -> tuple[str, ...]:
    cells = (scope, *(_cap(caps.get(name)) for name in CAPS[:4]), *_controls(caps))
    if scope in {"default", "anonymous"}:  # caps of each single user, so there is no common usage
        return (*cells, "per user", "", "")
    day, month = used.get((scope, "day"), {}), used.get((scope, "month"), {})
    spent = [f"{row.get('spent_usd', 0) + row.get('reserved_usd', 0):.4f}" for row in (day, month)]
    return (*cells, str(day.get("requests", 0)), *spent)


def _controls(caps: dict[str, Any]) -> tuple[str, str]:
    """From which share of a cap which alias serves, and the bounds of an adaptive cap."""
    share = caps.get("degrade_at")
    cheaper = "-" if share is None else f"{share * 100:g}%: {caps['degrade_to']}"
    bounds = f"{caps['adaptive_min_usd']:g} to {caps['adaptive_max_usd']:g} USD" if caps.get("is_adaptive") else "-"
    return cheaper, bounds


def _cap(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)
