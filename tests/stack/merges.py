"""Merges of a provider's list as the database makes them, and what the catalogue then has."""

from __future__ import annotations

import json
from typing import Any

from tests.stack.turns import Database

Row = dict[str, Any]
PROVIDER = "acme"


def listed_models(*names: str, **changes: Any) -> list[Row]:
    """Entries of a provider's list, with the usual fields or changed ones."""
    usual = {"capabilities": {"context_window": 10}, "pricing": None, "retires_on": None, "is_addable": True}
    return [{"upstream_id": name, "model_key": name, "model_name": name} | usual | changes for name in names]


def merge_list(db: Database, listed: list[Row], **asked: Any) -> Row:
    """The outcome of a merge of the list under the lease's fence. Raises psycopg.Error when it is refused."""
    merge = {"provider": PROVIDER, "node_id": None, "listed": listed, "fence": 7, "usable": [PROVIDER]} | asked
    found = db.execute("select public.merge_models(%s) as outcome", [json.dumps(merge)]).fetchone()
    assert found is not None
    received: Row = found["outcome"]
    return received


def merge_counts(received: Row) -> tuple[int, int, int, int]:
    """How many models a merge added, updated, marked as missing and deactivated."""
    return received["added"], received["updated"], received["missing"], received["deactivated"]


def catalogue_row(db: Database, upstream_id: str, provider: str = PROVIDER) -> Row:
    """The provider's model in the catalogue."""
    query = "select * from public.llm_models where provider = %s and upstream_id = %s"
    found = db.execute(query, [provider, upstream_id]).fetchone()
    assert found is not None
    return found


def set_row(db: Database, upstream_id: str, **changes: Any) -> None:
    """Changes the model in the catalogue as an admin does it."""
    columns = ", ".join(f"{name} = %s" for name in changes)
    values = [json.dumps(value) if isinstance(value, dict) else value for value in changes.values()]
    query = f"update public.llm_models set {columns} where provider = '{PROVIDER}' and upstream_id = %s"
    db.execute(query, [*values, upstream_id])


def default_keys(db: Database) -> list[str]:
    """The keys of all active defaults."""
    rows = db.execute("select model_key from public.llm_models where is_default and is_active").fetchall()
    return [row["model_key"] for row in rows]
