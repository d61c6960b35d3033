"""The HTTP side of the data API: one request, one transaction, one response."""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from local.rest.errors import ApiError, from_postgres
from local.rest.schema_cache import SchemaCache, read_schema
from local.rest.statement import RestRequest, Statement, build_statement
from local.tokens import Tokens

_STATUS = re.compile("[2-5][0-9][0-9]")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_WITHOUT_BODY = {204, 205, 304}


class RestApi:
    """The data API of one database; the pool connects as `authenticator`."""

    def __init__(self, pool: AsyncConnectionPool[Any], tokens: Tokens) -> None:
        self._pool, self._tokens = pool, tokens
        self._schema: SchemaCache | None = None

    def forget_schema(self) -> None:
        """Makes the next request read the schema again."""
        self._schema = None

    async def handle(self, request: Request) -> Response:
        """The response; errors have PostgREST's JSON format."""
        role = "anon"
        try:
            claims = self._tokens.claims_of(request.headers, request.query_params.get("apikey"))
            role = claims["role"] = str(claims.get("role") or "anon")
            rest_request = await _read(request)
            async with self._pool.connection(timeout=3) as connection:
                return await self._answer(rest_request, connection, claims)
        except ApiError as error:
            return _error_response(error, request)
        except PoolTimeout:
            return _error_response(ApiError(503, "PGRST003", "Timed out acquiring a database connection."), request)
        except psycopg.Error as error:
            return _error_response(from_postgres(error, role), request)
        except ClientDisconnect:
            return Response(status_code=400)  # the client has disconnected

    async def _answer(
        self, rest_request: RestRequest, connection: psycopg.AsyncConnection[Any], claims: dict[str, Any]
    ) -> Response:
        schema = self._schema or await self._read_schema(connection)
        try:
            statement = build_statement(rest_request, schema)
        except ApiError as error:
            if not error.is_cache_miss:
                raise
            schema = await self._read_schema(connection)
            statement = build_statement(rest_request, schema)
        settings = _settings(rest_request, statement, claims, schema)
        return await _run(rest_request, statement, settings, connection)

    async def _read_schema(self, connection: psycopg.AsyncConnection[Any]) -> SchemaCache:
        self._schema = schema = await read_schema(connection)
        return schema


async def _read(request: Request) -> RestRequest:
    headers = dict(request.headers) | {"prefer": ",".join(request.headers.getlist("prefer"))}
    query = request.scope["query_string"].decode("latin-1")
    path = request.path_params["path"].strip("/")
    return RestRequest(request.method, path, query, headers, await request.body())


def _settings(
    rest_request: RestRequest, statement: Statement, claims: dict[str, Any], schema: SchemaCache
) -> list[tuple[str, str]]:
    role = claims["role"]
    return [
        ("search_path", "public, extensions"),
        *schema.role_settings.get(role, []),
        *statement.settings,
        ("role", role),
        ("request.jwt.claims", json.dumps(claims)),
        ("request.method", rest_request.method),
        ("request.path", f"/{rest_request.path}"),
        ("request.headers", json.dumps(rest_request.headers)),
    ]


async def _run(
    rest_request: RestRequest,
    statement: Statement,
    settings: list[tuple[str, str]],
    connection: psycopg.AsyncConnection[Any],
) -> Response:
    calls = ", ".join(f"set_config(${2 * i + 1}, ${2 * i + 2}, true)" for i in range(len(settings)))
    flat = [text for setting in settings for text in setting]
    # One round trip; a result that must be one row is counted before the commit. After an error the pool rolls back
    # when the connection returns to it.
    is_committed = statement.is_read_only or not rest_request.is_single
    async with connection.pipeline():
        await connection.execute(b"begin read only" if statement.is_read_only else b"begin")
        await connection.execute(f"select {calls}".encode(), flat)
        cursor = await connection.execute(statement.sql.encode(), statement.arguments)
        if is_committed:
            await connection.execute(b"commit")
    row: tuple[Any, ...] | None = await cursor.fetchone()
    assert row is not None  # noqa: S101 - an aggregate without group by has one row
    response = _response(rest_request, statement, row)
    if not is_committed:
        await connection.execute(b"commit")
    return response


def _response(rest_request: RestRequest, statement: Statement, row: tuple[Any, ...]) -> Response:
    total, count, body, status, headers = row
    if rest_request.is_single and count != 1:
        text = "Cannot coerce the result to a single JSON object"
        raise ApiError(406, "PGRST116", text, f"The result contains {count} rows")
    if total is not None and statement.offset > total:
        details = f"An offset of {statement.offset} was requested, but there are only {total} rows."
        raise ApiError(416, "PGRST103", "Requested range not satisfiable", details)
    kind = "application/vnd.pgrst.object+json" if rest_request.is_single else "application/json"
    end = f"{statement.offset}-{statement.offset + count - 1}" if count else "*"
    response_headers = {
        "content-type": f"{kind}; charset=utf-8",
        "content-range": f"{end}/{total if total is not None else '*'}",
        **_chosen_headers(headers),
    }
    is_partial = statement.is_read_only and total is not None and count < total
    code = _chosen_status(status) or (206 if is_partial else statement.success_status)
    is_empty = not statement.has_body or rest_request.method == "HEAD" or code in _WITHOUT_BODY
    return Response(b"" if is_empty else body, code, response_headers)


def _chosen_status(text: str | None) -> int | None:
    """The status that a function set in response.status; None without one."""
    if text is None:
        return None
    if not _STATUS.fullmatch(text):
        raise ApiError(500, "PGRST112", "response.status GUC must be a valid status code")
    return int(text)


def _chosen_headers(text: str | None) -> dict[str, str]:
    """The headers that a function set in response.headers as `[{"name": "value"}, …]`."""
    try:
        pairs = [pair for each in json.loads(text or "[]") for pair in each.items()]
        if all(_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value) for name, value in pairs):
            return {name.lower(): value for name, value in pairs}
    except (ValueError, AttributeError, TypeError):
        pass
    message = "response.headers GUC must be a JSON array composed of objects with a single key and a string value"
    raise ApiError(500, "PGRST111", message)


def _error_response(error: ApiError, request: Request) -> Response:
    headers = {"proxy-status": f"PostgREST; error={error.body['code']}"}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    body = b"" if request.method == "HEAD" or error.status in _WITHOUT_BODY else json.dumps(error.body).encode()
    return Response(body, error.status, headers, "application/json")
