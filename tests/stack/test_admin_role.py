"""Requests of admins have a role of their own, with policies that read all rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.stack.people import Person, new_admin
from tests.stack.turns import Database

_ADMIN = {"sub": "00000000-0000-4000-8000-00000000aaaa", "app_metadata": {"role": "admin"}}
_PRE_REQUEST = "alter role authenticator in database postgres set pgrst.db_pre_request"


@contextmanager
def _requesting(db: Database, role: str, claims: dict[str, Any]) -> Iterator[None]:
    """The connection has a role and claims as the data API sets them before it calls the function."""
    with db.transaction(force_rollback=True):
        text = json.dumps({"role": role} | claims)
        db.execute("select set_config('request.jwt.claims', %s, true), set_config('role', %s, true)", [text, role])
        yield


@pytest.mark.parametrize(
    ("role", "claims", "expected"),
    [
        ("authenticated", _ADMIN, "parley_admin"),
        ("authenticated", _ADMIN | {"app_metadata": {"role": "user"}}, "authenticated"),
        ("authenticated", _ADMIN | {"app_metadata": None, "user_metadata": {"role": "admin"}}, "authenticated"),
        ("authenticated", _ADMIN | {"client_id": "app"}, "authenticated"),
        ("authenticated", {}, "authenticated"),
        ("anon", _ADMIN, "anon"),
        ("service_role", _ADMIN, "service_role"),
    ],
)
def test_only_an_admins_request_gets_the_role(db: Database, role: str, claims: dict[str, Any], expected: str) -> None:
    """Requests of other users, of OAuth apps, without a token and with the service key keep their role."""
    with _requesting(db, role, claims):
        db.execute("select private.pre_request()")
        assert db.execute("select current_user::text as name").fetchone() == {"name": expected}


def test_an_admin_without_a_second_factor_keeps_the_users_role(db: Database) -> None:
    """With `admin_needs_aal2` only a session with a second factor gets the role."""
    roles = []
    with db.transaction(force_rollback=True):
        db.execute("insert into private.settings (name, value) values ('admin_needs_aal2', 'on')")
        for level in ("aal1", "aal2"):
            with _requesting(db, "authenticated", _ADMIN | {"aal": level}):
                db.execute("select private.pre_request()")
                roles.append(db.execute("select current_user::text as name").fetchone())
    assert roles == [{"name": "authenticated"}, {"name": "parley_admin"}]


def test_only_the_data_api_may_use_the_role(db: Database) -> None:
    """No role of clients or of the ledger is a member; the role itself has no login and no privilege of its own."""
    members = db.execute(
        """select m.rolname from pg_auth_members as a join pg_roles as m on m.oid = a.member
           where a.roleid = 'parley_admin'::regrole and m.rolname <> 'postgres'"""
    ).fetchall()
    assert members == [{"rolname": "authenticator"}]
    role = db.execute(
        "select rolcanlogin or rolsuper or rolbypassrls as may from pg_roles where rolname = 'parley_admin'"
    )
    assert role.fetchone() == {"may": False}
    own = db.execute(
        """select g.grantee from (select relacl as acl from pg_class union all select proacl from pg_proc
             union all select nspacl from pg_namespace) as o, aclexplode(o.acl) as g
           where g.grantee = 'parley_admin'::regrole"""
    ).fetchall()
    assert own == []


def test_debug_names_a_data_api_that_does_not_call_the_function(db: Database) -> None:
    """An admin whose request kept the users' role reads how to change it, and nothing is open to others."""
    with _requesting(db, "authenticated", _ADMIN):
        answer = db.execute("select public.diagnose_access() as found").fetchone()
    assert answer is not None
    (finding,) = (each for each in answer["found"]["findings"] if each["object"] == "role authenticator")
    assert finding["is_broken"] is False
    assert _PRE_REQUEST in finding["fix"]


def test_an_admin_and_a_user_read_by_their_own_policies(alice: Person) -> None:
    """Over the data API, /debug's function finds the role of admins; a user's request is refused."""
    admin = new_admin(alice.stack)
    found = admin.rest("POST", "rpc/diagnose_access", json={}).json()
    assert found["findings"] == []
    assert alice.rest("POST", "rpc/diagnose_access", json={}).status_code == 403
