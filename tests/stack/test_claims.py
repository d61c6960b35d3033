"""Claims of the wrong type, as SQL reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person
from tests.stack.turns import Database, turn_of


@pytest.mark.parametrize(
    ("changes", "is_signed_in"),
    [
        ({"is_anonymous": "maybe"}, True),
        ({"is_anonymous": {"x": 1}}, True),
        ({"app_metadata": "admin"}, True),
        ({"app_metadata": ["admin"]}, True),
        ({"app_metadata": {"role": ["admin"]}}, True),
        ({"exp": "soon"}, False),
        ({"exp": {"at": 1}}, False),
        ({"sub": "someone"}, False),
        ({"sub": ["x"]}, False),
        ({"role": ["authenticated"]}, False),
    ],
)
def test_a_claim_of_the_wrong_type_is_no_claim(
    alice: Person, model: Models, db: Database, changes: dict[str, Any], is_signed_in: bool
) -> None:
    """The turn begins without what the claim should give, or the user is not signed in; nothing else fails."""
    claims = json.dumps({"role": "authenticated", "sub": alice.id} | changes)
    turn = json.dumps(turn_of(model("echo"), dry_run=True))
    with db.transaction(force_rollback=True):
        db.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        assert db.execute("select private.is_admin() as is_admin").fetchone() == {"is_admin": False}
        row = db.execute("select private.signed_in_user()::text as id").fetchone()
        assert row == {"id": alice.id if is_signed_in else None}
        if is_signed_in:
            assert db.execute("select public.chat_begin(%s) as begun", [turn]).fetchone()
            assert db.execute("select * from public.my_limits()").fetchall()
