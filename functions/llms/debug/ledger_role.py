"""Checks the database role of the direct connection of chat and assist."""

from __future__ import annotations

from typing import Any

from functions.llms.debug.checks import Check
from shared import supabase
from shared.auth import Person
from shared.errors import ParleyError

_CHECK = "ledger connection"
MEANT = frozenset(
    {
        "public.api_key_person(text)",
        "public.chat_begin(jsonb)",
        "public.chat_begin_with_key(text,jsonb)",
        "public.chat_extend(jsonb)",
        "public.chat_finish(jsonb)",
        "public.follow_turn(jsonb)",
        "public.follow_turn_with_key(text,jsonb)",
        "public.keep_piece(jsonb)",
        "public.model_menu(jsonb)",
        "public.node_key(bigint,text)",
        "public.find_insights(jsonb,jsonb)",
        "public.renew_insight_lease(jsonb)",
        "public.release_insight_lease(jsonb)",
        "public.finish_insight(jsonb,jsonb)",
        "public.preset_costs(jsonb)",
        "public.read_for_client(jsonb,text,jsonb)",
        "public.stop_turn(text)",
        "public.stop_turn_with_key(text,text)",
        "public.stored_answers(jsonb)",
    }
)
"""The functions that the role parley_ledger may call."""


async def ledger_role_check(person: Person) -> Check:
    """Whether chat may connect as parley_ledger, and whether that role may do what it should and no more."""
    try:
        found = await supabase.rpc("diagnose_ledger_role", {}, supabase.as_caller(person.token))
    except ParleyError as error:
        return Check(_CHECK, "warning", {"error": error.code}, "Apply the migrations, and look at the database.")
    return role_check(found)


def role_check(found: dict[str, Any]) -> Check:
    """The verdict on `diagnose_ledger_role()`; off when the role has no login, so that chat uses the data API."""
    may_use = set(found["may_use"])
    extra, missing = sorted(may_use - MEANT), sorted(MEANT - may_use)
    shown = {"has_login": found["has_login"], "extra_rights": extra, "missing_rights": missing}
    if found["is_admin"] or found["member_of"]:
        fix = "Take the attributes and memberships from parley_ledger: it only calls functions of the ledger."
        return Check(_CHECK, "broken", shown | {"member_of": found["member_of"]}, fix)
    if extra:
        return Check(_CHECK, "broken", shown, f"Revoke from public and parley_ledger: {', '.join(extra)}.")
    if missing:
        fix = f"Grant execute on {', '.join(missing)} to parley_ledger."
        return Check(_CHECK, "broken" if found["has_login"] else "warning", shown, fix)
    return Check(_CHECK, "ok" if found["has_login"] else "off", shown)
