"""Reports as a user calls them, and the log as Python adds it up."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tests.stack.people import Person
from tests.stack.roll_up import counts_of
from tests.stack.turns import Database

Row = dict[str, Any]
ADMIN = {"sub": "00000000-0000-4000-8000-00000000aaaa", "role": "authenticated", "app_metadata": {"role": "admin"}}


@contextlib.contextmanager
def acting_as(db: Database, person: Person | None) -> Iterator[None]:
    """The connection has the role and the claims of a user, or of an admin, until the end of the block."""
    claims = ADMIN if person is None else {"sub": person.id, "role": "authenticated"}
    with db.transaction(force_rollback=True):
        db.execute(
            "select set_config('request.jwt.claims', %s, true), set_config('role', 'authenticated', true)",
            [json.dumps(claims)],
        )
        db.execute("select private.pre_request()")
        yield


def report(db: Database, metric: str, person: Person | None = None, **options: Any) -> list[Row]:
    """The rows of `usage_report`, by default as an admin."""
    options = {"metric": metric} | options
    arguments = ", ".join(f'"{name}" => %s' for name in options)
    values = [json.dumps(each) if isinstance(each, dict) else each for each in options.values()]
    with acting_as(db, person):
        return db.execute(f"select * from public.usage_report({arguments})", values).fetchall()


def bucket_start(at: datetime, bucket: str | None, zone: str) -> datetime | None:
    """The begin of the bucket in which a time lies, in UTC."""
    if bucket is None:
        return None
    local = at.astimezone(ZoneInfo(zone))
    if bucket == "hour":  # the clock may repeat an hour
        return (at - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)).astimezone(
            UTC
        )
    start = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if bucket == "week":
        start -= timedelta(days=start.weekday())
    elif bucket == "month":
        start = start.replace(day=1)
    return start.astimezone(UTC)


def sums(
    rows: list[Row], name: str, group: Callable[[Row], Any], bucket: str | None, zone: str
) -> dict[tuple[datetime | None, Any], Decimal]:
    """The sums of a column of the roll-up over log rows, by bucket and group; zeros are left out."""
    found: Counter[tuple[datetime | None, Any]] = Counter()
    for row in rows:
        found[bucket_start(row["created_at"], bucket, zone), group(row)] += counts_of(row).get(name, 0)
    return {key: Decimal(value) for key, value in found.items() if value}


def as_sums(rows: list[Row]) -> dict[tuple[datetime | None, Any], Decimal]:
    """The values of a report by bucket and group; zeros are left out."""
    found = {}
    for row in rows:
        start = row["bucket_start"] and row["bucket_start"].astimezone(UTC)
        if row["value"]:
            found[start, row["group_value"]] = row["value"]
    return found
