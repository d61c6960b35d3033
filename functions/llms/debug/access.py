"""Checks access to the database: privileges, rows that a user without data can see, and the data API.

diagnose_visibility() switches to the role and claims of a user that does not exist, reads, and rolls back. So the
check needs no account, and a failed check leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from typing import Any

from functions.llms.debug.checks import Check
from shared import supabase
from shared.auth import Person
from shared.config import settings
from shared.errors import Forbidden, InternalError, NotConfigured, ParleyError, Unauthenticated

_ACCESS = "row-level security"
_API = "data API"
_MAX_FIXES = 5
_SECONDS = 5.0


async def access_checks(person: Person) -> list[Check]:
    """Two checks: access rules and the rows that a user without data can see, and what the data API exposes."""
    return list(await asyncio.gather(_database_access(person), _data_api(person)))


async def _database_access(person: Person) -> Check:
    answers = await asyncio.gather(_call("diagnose_access", person), _call("diagnose_visibility", person))
    for answer in answers:
        if isinstance(answer, InternalError) and not isinstance(answer, NotConfigured):
            fix = "The database has no diagnose_access() or diagnose_visibility(): apply the migrations."
            return Check(_ACCESS, "warning", {"not_checked": ["every table"], "error": answer.code}, fix)
    catalogue, visibility = answers
    if isinstance(catalogue, ParleyError) or isinstance(visibility, ParleyError):
        error = catalogue if isinstance(catalogue, ParleyError) else visibility
        fix = "Access could not be checked: look at the database and try again."
        return Check(_ACCESS, "warning", {"not_checked": ["every table"], "error": error.code}, fix)
    return access_check(catalogue, visibility)


async def _call(name: str, person: Person) -> Any:
    """The function's result, or the error that it raised."""
    try:
        return await supabase.rpc(name, {}, supabase.as_caller(person.token), timeout_seconds=_SECONDS)
    except ParleyError as error:
        return error


def access_check(catalogue: dict[str, Any], visibility: dict[str, Any]) -> Check:
    """The verdict on both findings: broken when rows or privileges are open to users who must not have them."""
    # A wrong privilege comes before the rows that it shows, because it is what has to be changed.
    findings = list(catalogue["findings"]) + [_leak(each) for each in visibility["visible"]]
    found: dict[str, Any] = {"relations": catalogue["relations"], "functions": catalogue["functions"]}
    if visibility["unchecked"]:
        found["not_checked"] = sorted({each["relation"] for each in visibility["unchecked"]})
    if not findings and not visibility["unchecked"]:
        return Check(_ACCESS, "ok", found)
    fixes = [f"{each['object']}: {each['problem']}. Fix: {each['fix']}" for each in findings[:_MAX_FIXES]]
    if len(findings) > _MAX_FIXES:
        fixes.append(f"{len(findings) - _MAX_FIXES} more are listed under findings.")
    if visibility["unchecked"]:
        fixes.append(f"Could not be read, try again: {', '.join(found['not_checked'])}.")
    is_broken = any(each["is_broken"] for each in findings)
    return Check(_ACCESS, "broken" if is_broken else "warning", found | {"findings": findings}, " ".join(fixes))


def _leak(visible: dict[str, Any]) -> dict[str, Any]:
    who = "a visitor without a token" if visible["role"] == "anon" else "a user without any data"
    name = visible["relation"]
    fix = f"list its policies (\\d {name} in psql) and drop the one that lets others in."
    return {"object": name, "problem": f"{who} sees rows", "is_broken": True, "fix": fix}


async def _data_api(person: Person) -> Check:
    """Whether the data API shows a table to the public key, or exposes the schema private."""
    key = settings().get("SUPABASE_ANON_KEY")
    if not key:
        return Check(_API, "broken", {}, "Set SUPABASE_ANON_KEY: without it no turn can begin.")
    private = supabase.as_caller(person.token) | {"Accept-Profile": "private"}
    is_open, is_exposed = await asyncio.gather(
        _is_readable("llm_models?select=id&limit=1", {"apikey": key}), _is_exposed("settings?limit=1", private)
    )
    found = {"public_key_reads_models": is_open, "is_private_exposed": is_exposed}
    if is_open:
        fix = "SUPABASE_ANON_KEY reads llm_models: it must be the publishable (anon) key, and anon must have no grant."
        return Check(_API, "broken", found, fix)
    if is_exposed:
        return Check(_API, "broken", found, "Remove private from the exposed schemas of the project's API settings.")
    if is_open is None or is_exposed is None:
        return Check(_API, "warning", found, "The data API could not be asked: look at the project and try again.")
    return Check(_API, "ok", found)


async def _is_readable(path: str, who: dict[str, str]) -> bool | None:
    """Whether the rows can be read; None when the request fails for another reason than access."""
    try:
        await supabase.select(path, who, timeout_seconds=_SECONDS)
    except (Unauthenticated, Forbidden):
        return False
    except ParleyError:
        return None
    return True


async def _is_exposed(path: str, who: dict[str, str]) -> bool | None:
    """Whether the data API exposes the schema; a 403 for a table means that it does."""
    try:
        await supabase.select(path, who, timeout_seconds=_SECONDS)
    except InternalError:
        return False  # 406, or 404 from an API that exposes only the schema public
    except Forbidden:
        return True
    except ParleyError:
        return None
    return True
