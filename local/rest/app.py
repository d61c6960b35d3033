"""The HTTP side of the data API: one request, one transaction, one response."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.rest.errors import ApiError, from_postgres
from local.rest.expressions import quoted
from local.rest.request import RestRequest
from local.rest.responses import error_response, plan_response, response_of
from local.rest.results import Statement
from local.rest.schema_cache import SCHEMA, SchemaCache, read_schema
from local.rest.statement import allowed_methods, build_statement
from local.tokens import Tokens


class RestApi:
    """The data API of one database at `url`; an ASGI app. The pool connects as `authenticator`."""

    def __init__(self, pool: AsyncConnectionPool[Any], tokens: Tokens, url: str) -> None:
        self._pool, self._tokens, self._url = pool, tokens, url
        self._schema: SchemaCache | None = None

    def forget_schema(self) -> None:
        """Makes the next request read the schema again."""
        self._schema = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        request = Request(scope, receive, send)
        await (await self.handle(request))(scope, receive, send)

    async def handle(self, request: Request) -> Response:
        """The response; errors have PostgREST's JSON format."""
        role = "anon"
        try:
            claims = self._tokens.claims_of(request.headers, request.query_params.get("apikey"))
            role = claims["role"] = str(claims.get("role") or "anon")
            rest_request = await self._read(request)
            rest_request.check()
            async with self._pool.connection(timeout=3) as connection:
                return await self._answer(rest_request, connection, claims)
        except ApiError as error:
            return error_response(error, request)
        except PoolTimeout:
            return error_response(ApiError(503, "PGRST003", "Timed out acquiring a database connection."), request)
        except psycopg.Error as error:
            return error_response(from_postgres(error, role), request)
        except ClientDisconnect:
            return Response(status_code=400)  # the client has disconnected

    async def _answer(
        self, rest_request: RestRequest, connection: psycopg.AsyncConnection[Any], claims: dict[str, Any]
    ) -> Response:
        schema = self._schema or await self._read_schema(connection)
        build = _allow if rest_request.method == "OPTIONS" else build_statement
        try:
            built = build(rest_request, schema)
        except ApiError as error:
            if not error.is_cache_miss:
                raise
            schema = await self._read_schema(connection)
            built = build(rest_request, schema)
        if isinstance(built, Response):
            return built
        settings = _settings(rest_request, built, claims, schema)
        return await _run(rest_request, built, settings, schema.pre_request, connection)

    async def _read(self, request: Request) -> RestRequest:
        headers = dict(request.headers) | {"prefer": ",".join(request.headers.getlist("prefer"))}
        query = request.scope["query_string"].decode("latin-1")
        path = request.path_params["path"].rstrip("/")
        return RestRequest(request.method, path, query, headers, await request.body(), f"{self._url}/rest/v1/")

    async def _read_schema(self, connection: psycopg.AsyncConnection[Any]) -> SchemaCache:
        self._schema = schema = await read_schema(connection)
        return schema


def _allow(rest_request: RestRequest, schema: SchemaCache) -> Response:
    return Response(headers={"allow": allowed_methods(rest_request.path, schema)})


def _settings(
    rest_request: RestRequest, statement: Statement, claims: dict[str, Any], schema: SchemaCache
) -> list[tuple[str, str]]:
    role, zone = claims["role"], rest_request.preferences.get("timezone")
    return [
        ("search_path", f"{SCHEMA}, extensions"),
        *schema.role_settings.get(role, []),
        *statement.settings,
        *([("timezone", zone)] if zone else []),
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
    pre_request: str | None,
    connection: psycopg.AsyncConnection[Any],
) -> Response:
    calls = ", ".join(f"set_config(${2 * i + 1}, ${2 * i + 2}, true)" for i in range(len(settings)))
    flat = [text for setting in settings for text in setting]
    # One round trip; a result that decides whether the change is kept is read before the commit. After an error the
    # pool rolls back when the connection returns to it.
    is_committed = statement.is_read_only or not rest_request.is_checked
    explain = rest_request.media.explain
    text = statement.sql if explain is None else f"explain ({explain}) {statement.sql}"
    async with connection.pipeline():
        await connection.execute(b"begin read only" if statement.is_read_only else b"begin")
        await connection.execute(f"select {calls}".encode(), flat)
        if pre_request:
            await connection.execute(f"select {'.'.join(map(quoted, pre_request.split('.')))}()".encode())
        cursor = await connection.execute(text.encode(), statement.arguments)
        if is_committed:
            await connection.execute(b"commit")
    row: tuple[Any, ...] | None = await cursor.fetchone()
    assert row is not None  # noqa: S101 - an aggregate without group by has one row
    if explain is None:
        response = response_of(rest_request, statement, row)
    else:
        response = plan_response(rest_request, [row[0], *(each[0] for each in await cursor.fetchall())])
    if not is_committed:
        await connection.execute(b"rollback" if rest_request.is_rolled_back else b"commit")
    return response
