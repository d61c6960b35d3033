"""The statement of a request: one row with the response's body, counts and settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from local.rest.errors import ApiError
from local.rest.expressions import quoted
from local.rest.query import Query
from local.rest.request import RestRequest
from local.rest.sql import RESULT, SqlBuilder

MAX_ROWS = 1000
UPDATED = "parley.updated"  # a setting that counts the rows that an upsert updated


@dataclass(frozen=True)
class Statement:
    """One statement with the settings of its transaction and of its response.

    The result is one row: (total or null, count of rows, body, response.status, response.headers, updated rows or
    null, location or null). `applied` names the preferences that apply, `range_of` what Content-Range describes.
    """

    sql: str
    arguments: list[Any]
    is_read_only: bool
    success_status: int
    offset: int = 0
    has_body: bool = True
    settings: tuple[tuple[str, str], ...] = field(default=())
    applied: tuple[str, ...] = ("count", "tx", "handling", "timezone")
    range_of: str = "page"
    status_if_all_updated: int | None = None


def body_of(request: RestRequest, value: str = "_page", *, is_single: bool = False) -> str:
    """The expression of the body from the rows of _page."""
    if request.media.is_csv:
        keys = "select string_agg(k, ',') from json_object_keys((select row_to_json(_h) from _page as _h limit 1)) as k"
        lines = f"string_agg(substring({value}::text, 2, length({value}::text) - 2), e'\\n')"
        if value != "_page":  # a scalar has no brackets
            lines = f"string_agg({value}::text, e'\\n')"
        return f"coalesce(({keys}), '') || e'\\n' || coalesce({lines}, '')"
    if is_single or request.is_single:
        text = f"coalesce(json_agg({value}) -> 0, 'null')"
    else:
        text = f"coalesce(json_agg({value}), '[]')"
    return f"json_strip_nulls({text})" if request.media.is_stripped else text


def result_of(
    steps: str, body: str, *, total: str = "", counts_updates: bool = False, location: tuple[str, ...] = ()
) -> str:
    """The whole statement. `location` are the key columns of the one new row."""
    texts = [f"nullif(current_setting('response.{name}', true), '')" for name in ("status", "headers")]
    updated = f"coalesce(nullif(current_setting('{UPDATED}', true), ''), '0')::int" if counts_updates else "null::int"
    where = "null::json"
    if location:
        pairs = ", ".join(f"'{name.replace(chr(39), chr(39) * 2)}', min({quoted(name)}::text)" for name in location)
        where = f"(select json_build_object({pairs}) from {RESULT} having count(*) = 1)"
    columns = [total or "null::bigint", "count(*)", f"({body})::text", *texts, updated, where]
    return f"{steps} select {', '.join(columns)} from _page"


def reject_unused_paths(builder: SqlBuilder, query: Query) -> None:
    """Raises ApiError 400 for filters, orders and limits of a table that is not embedded."""
    unused = set(query.rows) - builder.used_paths
    if unused:
        parts = min(unused).split(".")
        name = next(part for i, part in enumerate(parts, 1) if ".".join(parts[:i]) not in builder.used_paths)
        hint = f"Verify that '{name}' is included in the 'select' query parameter."
        raise ApiError(400, "PGRST108", f"'{name}' is not an embedded resource in this request", hint=hint)
