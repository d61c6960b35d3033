"""Rules that hold for every table, function and policy of the database."""

from __future__ import annotations

from tests.stack.turns import Database


def test_only_the_owner_of_the_schema_may_truncate(db: Database) -> None:
    """No API role holds TRUNCATE, REFERENCES or TRIGGER on any table of ours."""
    held = db.execute(
        """select table_name, grantee, privilege_type from information_schema.role_table_grants
           where table_schema in ('public', 'private') and privilege_type in ('TRUNCATE', 'REFERENCES', 'TRIGGER')
             and grantee in ('anon', 'authenticated', 'service_role', 'PUBLIC')"""
    ).fetchall()
    assert held == []


def test_every_table_has_row_level_security_and_no_policy_lets_all_in(db: Database) -> None:
    """Row-level security is enabled on every table, and only policies for admins to read are `true`."""
    open_tables = db.execute(
        """select c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
           where n.nspname in ('public', 'private') and c.relkind = 'r' and not c.relrowsecurity"""
    ).fetchall()
    lax = db.execute(
        """select policyname from pg_policies
           where (qual = 'true' or with_check = 'true') and (roles, cmd) <> ('{parley_admin}', 'SELECT')"""
    ).fetchall()
    assert (open_tables, lax) == ([], [])


def test_policies_of_users_let_no_admin_in(db: Database) -> None:
    """Rows that belong to users are found by an index, so their policies have no alternative for admins."""
    found = db.execute(
        """select policyname from pg_policies
           where schemaname = 'public' and cmd = 'SELECT' and qual ~ 'is_admin' and qual ~ ' OR '"""
    ).fetchall()
    assert found == [{"policyname": "llm_models_select_active"}]  # the catalogue is small


def test_no_role_may_execute_an_ungranted_definer_function(db: Database) -> None:
    """Anon may execute no security-definer function, directly or through another role."""
    found = db.execute(
        """select p.proname from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
           where n.nspname in ('public', 'private') and p.prosecdef
             and has_function_privilege('anon', p.oid, 'execute')"""
    ).fetchall()
    assert found == []


def test_tables_functions_and_policies_are_commented(db: Database) -> None:
    """Every table, function and policy has a comment."""
    silent = db.execute(
        """select c.relname as name from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
           where n.nspname in ('public', 'private') and c.relkind = 'r' and obj_description(c.oid) is null
           union all
           select p.proname from pg_proc as p where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
             and obj_description(p.oid) is null
           union all
           select p.polname from pg_policy as p join pg_class as c on c.oid = p.polrelid
             where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
             and obj_description(p.oid, 'pg_policy') is null"""
    ).fetchall()
    assert silent == []
