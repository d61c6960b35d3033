"""The verdict on the role of chat's own connection."""

from __future__ import annotations

from typing import Any

import pytest

from functions.llms.debug.ledger_role import role_check

_RIGHT: dict[str, Any] = {
    "has_login": True,
    "is_admin": False,
    "member_of": [],
    "may_use": [
        "public.api_key_person(text)",
        "public.chat_begin(jsonb)",
        "public.chat_begin_with_key(text,jsonb)",
        "public.chat_extend(jsonb)",
        "public.chat_finish(jsonb)",
        "public.model_menu(jsonb)",
        "public.node_key(bigint,text)",
    ],
}


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({}, "ok", None),
        ({"has_login": False}, "off", None),
        ({"is_admin": True}, "broken", "parley_ledger"),
        ({"member_of": ["service_role"]}, "broken", "memberships"),
        ({"may_use": [*_RIGHT["may_use"], "public.chat_logs"]}, "broken", "Revoke from public and parley_ledger"),
        ({"may_use": _RIGHT["may_use"][1:]}, "broken", "Grant execute on public.api_key_person(text)"),
        ({"may_use": [], "has_login": False}, "warning", "Grant execute"),
    ],
)
def test_the_role_has_what_it_needs_and_no_more(change: dict[str, Any], verdict: str, words: str | None) -> None:
    """Without a login chat does not use it; each wrong right is named with its fix."""
    check = role_check(_RIGHT | change)
    assert check.verdict == verdict
    assert words is None if check.fix is None else str(words) in check.fix
