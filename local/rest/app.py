"""From an HTTP request to one transaction and back."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from starlette.requests import Request
from starlette.responses import Response

from local.rest.catalogue import Catalogue, Table, read_catalogue
from local.rest.errors import ApiError, from_postgres
from local.rest.query import Embed, Query, parse_query
from local.rest.sql import Statement, quoted
from local.tokens import Tokens

_MAX_ROWS = 1000
_RANGE = re.compile(r"(\d+)-(\d*)")
_SINGLE = "application/vnd.pgrst.object+json"


@dataclass
class Work:
    """The statement of one request, and how its result becomes a response."""

    sql: str
    arguments: list[Any]
    is_read_only: bool
    success: int
    offset: int = 0
    is_void: bool = False
    has_body: bool = True


class RestApi:
    """Serves one database with a pool of connections as `authenticator`."""

    def __init__(self, pool: AsyncConnectionPool[Any], tokens: Tokens) -> None:
        self._pool, self._tokens = pool, tokens
        self._catalogue: Catalogue | None = None

    async def handle(self, request: Request) -> Response:
        """The response; errors are PostgREST's JSON."""
        role = "anon"
        try:
            claims = self._tokens.claims_of(request.headers, request.query_params.get("apikey"))
            role = str(claims.setdefault("role", "anon"))
            body = await request.body()
            async with self._pool.connection(timeout=3) as connection:
                return await self._answer(request, body, connection, claims)
        except ApiError as error:
            return _error_response(error, request)
        except PoolTimeout:
            return _error_response(ApiError(503, "PGRST003", "Timed out acquiring a database connection."), request)
        except psycopg.Error as error:
            if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
                await self._pool.check()  # after a restart of PostgreSQL, one failed request is enough
            return _error_response(from_postgres(error, role), request)

    async def _answer(
        self, request: Request, body: bytes, connection: psycopg.AsyncConnection[Any], claims: dict[str, Any]
    ) -> Response:
        for is_second_try in (False, True):
            if self._catalogue is None or is_second_try:
                self._catalogue = await read_catalogue(connection)
            try:
                work = _plan(request, body, self._catalogue)
            except ApiError as error:
                if is_second_try or not error.is_cache_miss:
                    raise
            else:
                row = await self._run(request, work, connection, claims)
                return _response(request, work, row)
        raise AssertionError("unreachable")

    async def _run(
        self, request: Request, work: Work, connection: psycopg.AsyncConnection[Any], claims: dict[str, Any]
    ) -> tuple[Any, ...]:
        assert self._catalogue is not None  # noqa: S101 - read before anything is planned
        role = str(claims["role"])
        settings = [
            ("search_path", "public, extensions"),
            *self._catalogue.role_settings.get(role, []),
            ("role", role),
            ("request.jwt.claims", json.dumps(claims)),
            ("request.method", request.method),
            ("request.path", request.url.path),
            ("request.headers", json.dumps(dict(request.headers))),
        ]
        calls = ", ".join(f"set_config(${2 * i + 1}, ${2 * i + 2}, true)" for i in range(len(settings)))
        flat = [text for setting in settings for text in setting]
        # One round trip up to the result; what goes wrong is rolled back when the connection goes back to the pool.
        async with connection.pipeline():
            await connection.execute(b"begin read only" if work.is_read_only else b"begin")
            await connection.execute(f"select {calls}".encode(), flat)
            cursor = await connection.execute(work.sql.encode(), work.arguments)
        row: tuple[Any, ...] | None = await cursor.fetchone()
        assert row is not None  # noqa: S101 - an aggregate without group by has one row
        if _SINGLE in request.headers.get("accept", "") and row[1] != 1:
            text = "Cannot coerce the result to a single JSON object"
            raise ApiError(406, "PGRST116", text, f"The result contains {row[1]} rows")
        await connection.execute(b"commit")
        return row


def _plan(request: Request, body: bytes, catalogue: Catalogue) -> Work:
    path = unquote(request.url.path.split("/rest/v1", 1)[-1]).strip("/")
    query = parse_query(request.url.query, is_call=path.startswith("rpc/") and request.method != "POST")
    statement = Statement(catalogue, query)
    if path.startswith("rpc/"):
        work = _plan_call(request, path[4:], body, statement, catalogue, query)
    elif request.method in {"GET", "HEAD"}:
        work = _plan_read(request, catalogue.table(path), statement, query)
    else:
        work = _plan_write(request, catalogue.table(path), body, statement, query)
    unused = set(query.rows) - statement.used_paths
    if unused and work.has_body:
        raise ApiError(400, "PGRST108", f"'{min(unused)}' is not an embedded resource in this request")
    return work


def _plan_read(request: Request, table: Table, statement: Statement, query: Query) -> Work:
    rows = query.of("")
    if match := _RANGE.fullmatch(request.headers.get("range", "")):
        rows.offset = rows.offset or int(match[1])
        rows.limit = rows.limit or (int(match[2]) - int(match[1]) + 1 if match[2] else None)
    reference = f"public.{quoted(table.name)}"
    page = statement.read(table, reference, reference, max_rows=_MAX_ROWS)
    total = "null::bigint"
    if _preferences(request).get("count"):
        total = f"(select count(*) from {reference}{statement.where(table, reference)})"
    text = _wrapped(f"with _page as ({page})", total, _rows_as_json(request))
    return Work(text, statement.arguments, is_read_only=True, success=200, offset=rows.offset)


def _plan_write(request: Request, table: Table, body: bytes, statement: Statement, query: Query) -> Work:
    preferences = _preferences(request)
    wants_rows = preferences.get("return") == "representation"
    success = {"POST": 201, "PATCH": 200, "DELETE": 200}.get(request.method)
    if success is None:
        raise ApiError(405, "PGRST117", f"Unsupported HTTP method: {request.method}")
    if request.method == "DELETE":
        change = statement.delete(table)
    else:
        rows = _body_rows(body)
        change = (
            statement.insert(table, rows, preferences) if request.method == "POST" else statement.update(table, rows[0])
        )
    query.of("").where.clear()  # they chose what to change, not what of it to show
    returned = _returned(table, query) if wants_rows else "1"
    page = statement.read_result(table) if wants_rows else "select 1 from _result"
    shown = _rows_as_json(request) if wants_rows else "''"
    text = _wrapped(f"with _result as ({change} returning {returned}), _page as ({page})", "null::bigint", shown)
    status = success if wants_rows or request.method == "POST" else 204
    return Work(text, statement.arguments, is_read_only=False, success=status, has_body=wants_rows)


def _returned(table: Table, query: Query) -> str:
    """Only the columns asked for: `returning *` needs the right to read all of them."""
    reference = f"public.{quoted(table.name)}"
    names = [item.field.name for item in query.select if not isinstance(item, Embed)]
    if "*" in names or len(names) < len(query.select):
        return f"{reference}.*"
    return ", ".join(f"{reference}.{quoted(name)}" for name in dict.fromkeys(names))


def _plan_call(
    request: Request, name: str, body: bytes, statement: Statement, catalogue: Catalogue, query: Query
) -> Work:
    is_posted = request.method == "POST"
    if request.method not in {"GET", "HEAD", "POST"}:
        raise ApiError(405, "PGRST101", f"Cannot use the {request.method} method on RPC")
    given: dict[str, Any] = _body_json(body or b"{}") if is_posted else dict(query.arguments)
    if not isinstance(given, dict):
        raise ApiError(400, "PGRST102", "Empty or invalid json")
    function = catalogue.function(name, set(given))
    call = statement.call(function, given, is_posted=is_posted)
    if function.is_composite:
        page = statement.read_result(Table(name, {}, ()), max_rows=_MAX_ROWS if function.is_set else None)
        shown = _rows_as_json(request) if function.is_set else "coalesce(json_agg(_page) -> 0, 'null')"
    else:
        page = "select v from _result"
        shown = "coalesce(json_agg(_page.v), '[]')" if function.is_set else "coalesce(json_agg(_page.v) -> 0, 'null')"
    text = _wrapped(f"with _result as ({call}), _page as ({page})", "null::bigint", shown)
    return Work(
        text,
        statement.arguments,
        is_read_only=not is_posted or function.is_read_only,
        success=204 if function.is_void else 200,
        offset=query.of("").offset,
        is_void=function.is_void,
    )


def _wrapped(steps: str, total: str, shown: str) -> str:
    settings = ", ".join(f"nullif(current_setting('response.{name}', true), '')" for name in ("status", "headers"))
    return f"{steps} select {total}, count(*), ({shown})::text, {settings} from _page"


def _rows_as_json(request: Request) -> str:
    if _SINGLE in request.headers.get("accept", ""):
        return "coalesce(json_agg(_page) -> 0, 'null')"
    return "coalesce(json_agg(_page), '[]')"


def _body_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise ApiError(400, "PGRST102", "Empty or invalid json") from None


def _body_rows(body: bytes) -> list[dict[str, Any]]:
    value = _body_json(body)
    rows = value if isinstance(value, list) else [value]
    if not all(isinstance(row, dict) for row in rows):
        raise ApiError(400, "PGRST102", "Empty or invalid json")
    return rows


def _preferences(request: Request) -> dict[str, str]:
    parts = ",".join(request.headers.getlist("prefer")).split(",")
    return {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in parts)}


def _response(request: Request, work: Work, row: tuple[Any, ...]) -> Response:
    total, count, body, status, headers = row
    kind = _SINGLE if _SINGLE in request.headers.get("accept", "") else "application/json"
    shown = {"content-type": f"{kind}; charset=utf-8"}
    end = f"{work.offset}-{work.offset + count - 1}" if count else "*"
    shown["content-range"] = f"{end}/{total if total is not None else '*'}"
    for pair in json.loads(headers or "[]"):
        shown |= {name.lower(): value for name, value in pair.items()}
    is_partial = work.is_read_only and total is not None and count < total
    code = int(status or (206 if is_partial else work.success))
    is_silent = work.is_void or not work.has_body or request.method == "HEAD"
    return Response("" if is_silent else body, code, shown)


def _error_response(error: ApiError, request: Request) -> Response:
    headers = {"proxy-status": f"PostgREST; error={error.body['code']}"}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    body = b"" if request.method == "HEAD" else json.dumps(error.body).encode()
    return Response(body, error.status, headers, "application/json")
