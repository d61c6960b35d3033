"""The block of reports: its made-up turns, and its queries."""

from __future__ import annotations

import psycopg
import pytest

from bench import database, reports

pytestmark = pytest.mark.processes


def test_every_query_runs_over_the_made_up_year() -> None:
    """A small year has all its turns in the roll-up, and each query answers an admin or a user."""
    size = 2000
    with (
        database.migrated_database(reports.PEOPLE) as server,
        psycopg.connect(database.dsn_of(server, "supabase_admin"), autocommit=True) as owner,
        psycopg.connect(database.dsn_of(server, "authenticator"), autocommit=True) as db,
    ):
        reports.grow(owner, size)
        assert owner.execute("select sum(requests) from public.usage_hourly").fetchone() == (size,)
        figures = reports.measure_queries(db)
    assert figures.keys() == reports.QUERIES.keys() | reports.OWN.keys()
