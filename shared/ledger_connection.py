"""The ledger's functions over connections of our own to PostgreSQL, with one statement a call.

The statement sets the claims for its own transaction and calls the function. Nothing stays in a session, so a pooler in
transaction mode may run each call on another server connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import certifi
import psycopg
from psycopg import generators
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.waiting import Ready, Wait

from shared import http
from shared.addresses import is_loopback
from shared.database_errors import PAUSE_SECONDS, is_retried, refusal_of_sqlstate, unavailable
from shared.lenient_json import read_json
from shared.log import log
from shared.per_loop import PerLoop
from shared.sanitize import sanitize_text, sanitized_json

_Connection = psycopg.AsyncConnection[tuple[Any, ...]]

_MAX_CONNECTIONS = 3  # of an instance; a serverless fleet has many
_IDLE_SECONDS = 30.0  # poolers and NAT gateways drop idle connections without notice
_CONNECT_SECONDS = 3
_CANCEL_SECONDS = 5.0
_STATEMENT = (
    "with claims as materialized (select set_config('request.jwt.claims', $1, true) as claims) "
    "select to_json(public.%s(%s))::text from claims where claims is not null"
)
_CHECK = b"select has_function_privilege('public.chat_begin(jsonb)', 'execute')::text"


class Connections:
    """Connections to one address, for at most three calls at once: opened when needed, closed when broken or unused.

    The connection of a cancelled call ends in its own time, so a fourth may be open for some seconds.
    There is no task in the background, so an instance may be frozen between two requests.
    """

    def __init__(self, url: str) -> None:
        self._parameters = connection_parameters(url)
        self._slots = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._idle: list[tuple[float, _Connection]] = []  # with the time since when; the latest is last
        self._ending: set[asyncio.Future[Any]] = set()

    async def call(self, name: str, arguments: dict[str, Any], claims: str, timeout_seconds: float) -> Any:
        """The result of the ledger's function `name` with these claims. Raises as `ledger_calls.call` does."""
        values = [claims.encode(), *(_as_text(value).encode() for value in arguments.values())]
        text = await self._within(timeout_seconds, _statement(name, tuple(arguments)), values)
        return None if text is None else read_json(text)

    async def check(self, timeout_seconds: float) -> None:
        """Returns if the database answers and the role may begin turns. Raises DatabaseUnavailable, Forbidden."""
        if await self._within(timeout_seconds, _CHECK, []) != b"true":
            raise refusal_of_sqlstate("42501", "", None)

    async def _within(self, timeout_seconds: float, statement: bytes, values: list[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._fetch_or_retry(statement, values)
        except psycopg.Error as error:
            message = str(error.diag.message_primary)
            raise refusal_of_sqlstate(error.sqlstate, message, error.diag.message_detail) from error
        except (TimeoutError, OSError) as error:
            raise unavailable() from error

    async def _fetch_or_retry(self, statement: bytes, values: list[bytes]) -> bytes | None:
        """As `_fetch`. A statement that met a busy database, which changed nothing, is sent once more."""
        try:
            return await self._fetch(statement, values)
        except psycopg.Error as error:
            if not is_retried(error.sqlstate, error.diag.message_detail):
                raise
            log("ledger_retry", sqlstate=error.sqlstate)
        await asyncio.sleep(PAUSE_SECONDS)
        return await self._fetch(statement, values)

    async def _fetch(self, statement: bytes, values: list[bytes]) -> bytes | None:
        """The only column of the only row. When the connection is lost, the statement is sent again over a new one.

        Every function of the ledger may be called twice: a begin by its turn and worker, a finish by its turn, an
        extension because the end of the turn releases it.
        """
        async with self._slots:
            connection = await self._take()
            try:
                return await self._run(connection, statement, values)
            except psycopg.Error as error:
                if not connection.closed:
                    raise
                log("ledger_connection_lost", sqlstate=error.sqlstate)
            await self._close_idle()  # what broke one connection broke the others
            return await self._run(await self._connect(), statement, values)

    async def close(self) -> None:
        """Closes all connections."""
        await self._close_idle()
        if self._ending:
            await asyncio.wait(self._ending)

    async def _take(self) -> _Connection:
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < _IDLE_SECONDS and _is_open(connection):
                return connection
            await connection.close()
        return await self._connect()

    async def _connect(self) -> _Connection:
        try:
            return await psycopg.AsyncConnection.connect(**self._parameters)
        except psycopg.Error as error:
            # libpq names host, port and role in its reason, and never the password.
            log("ledger_connection_failed", level="warning", reason=str(error).partition("\n")[0][:300])
            raise

    async def _run(self, connection: _Connection, statement: bytes, values: list[bytes]) -> bytes | None:
        try:
            value = await _only_value(connection, statement, values)
        except psycopg.Error:
            await self._give_back(connection)
            raise
        except BaseException:  # cancelled, while the statement runs
            self._end(connection)
            raise
        await self._give_back(connection)
        return value

    async def _give_back(self, connection: _Connection) -> None:
        now = time.monotonic()
        if connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._idle.append((now, connection))
        else:
            await connection.close()
        while self._idle and now - self._idle[0][0] > _IDLE_SECONDS:
            await self._idle.pop(0)[1].close()

    def _end(self, connection: _Connection) -> None:
        """Stops a statement and closes its connection. The caller has no time to wait for either."""
        ending = asyncio.ensure_future(_ended(connection))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _close_idle(self) -> None:
        while self._idle:
            await self._idle.pop()[1].close()


def connection_parameters(url: str) -> dict[str, Any]:
    """The arguments of psycopg's `connect`; a host other than this machine is verified by certificate and name."""
    parameters: dict[str, Any] = dict(conninfo_to_dict(url))
    if not is_loopback(str(parameters["host"])):
        parameters = {"sslrootcert": certifi.where()} | parameters | {"sslmode": "verify-full"}
    return parameters | {
        "autocommit": True,
        "prepare_threshold": None,  # a pooler may run the next call on another connection
        "application_name": "parley chat",
        "connect_timeout": _CONNECT_SECONDS,
        "gssencmode": "disable",  # the negotiation would cost a round trip
        "client_encoding": "utf8",
    }


def _is_open(connection: _Connection) -> bool:
    """Whether an idle connection is alive, as far as the operating system knows; the server is not asked."""
    try:
        connection.pgconn.consume_input()
        connection.pgconn.consume_input()  # the server's last message and the end of the connection are two reads
    except psycopg.OperationalError:
        return False
    return connection.pgconn.transaction_status == TransactionStatus.IDLE


async def _only_value(connection: _Connection, statement: bytes, values: Sequence[bytes]) -> bytes | None:
    """The only column of the only row.

    It asks libpq itself: psycopg's cursor converts values and prepares statements, which costs more than the rest.
    """
    pgconn = connection.pgconn
    pgconn.send_query_params(statement, values)
    running = generators.execute(pgconn)
    try:
        wanted = next(running)
        while True:
            wanted = running.send(await _readiness(pgconn.socket, wanted))
    except StopIteration as end:
        result = end.value[0]
    if result.status != ExecStatus.TUPLES_OK:
        raise psycopg.errors.error_from_result(result)
    found: bytes | None = result.get_value(0, 0)
    return found


async def _readiness(fileno: int, wanted: Wait) -> Ready:
    """What the socket is ready for, as soon as it is ready for anything that is wanted."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    if wanted & Wait.R:
        loop.add_reader(fileno, _resolve, ready, Ready.R)
    if wanted & Wait.W:
        loop.add_writer(fileno, _resolve, ready, Ready.W)
    try:
        found: Ready = await ready
    finally:
        if wanted & Wait.R:
            loop.remove_reader(fileno)
        if wanted & Wait.W:
            loop.remove_writer(fileno)
    return found


def _resolve(ready: asyncio.Future[Ready], found: Ready) -> None:
    if not ready.done():
        ready.set_result(found)


async def _ended(connection: _Connection) -> None:
    with suppress(psycopg.Error, OSError):
        await connection.cancel_safe(timeout=_CANCEL_SECONDS)
    await connection.close()


def _no_connections() -> dict[str, Connections]:
    http.at_close(_close_all)
    return {}


_current = PerLoop(_no_connections)  # by their address


async def _connections(url: str) -> Connections:
    """The connections of the running event loop; those to another address, which has been replaced, are closed."""
    current = _current()
    if url in current:
        return current[url]
    connections, replaced = Connections(url), tuple(current.values())
    current.clear()
    current[url] = connections  # before anything is awaited: calls that come meanwhile use the same
    for each in replaced:
        await each.close()
    return connections


async def _close_all() -> None:
    for each in (_current.pop() or {}).values():
        await each.close()


async def call(url: str, name: str, arguments: dict[str, Any], claims: str, timeout_seconds: float) -> Any:
    """As `Connections.call`, over the connections of the running event loop."""
    return await (await _connections(url)).call(name, arguments, claims, timeout_seconds)


async def check(url: str, timeout_seconds: float) -> None:
    """As `Connections.check`, over the connections of the running event loop."""
    await (await _connections(url)).check(timeout_seconds)


def _statement(name: str, parameters: tuple[str, ...]) -> bytes:
    """Sets the claims before it calls the function; the names come from our own code, never from a request."""
    listed = ", ".join(f"{parameter} => ${place}" for place, parameter in enumerate(parameters, 2))
    return (_STATEMENT % (name, listed)).encode()


def _as_text(value: Any) -> str:
    """A text as it is, anything else as JSON; both without characters that PostgreSQL cannot store."""
    return str(sanitize_text(value)) if isinstance(value, str) else sanitized_json(value)
