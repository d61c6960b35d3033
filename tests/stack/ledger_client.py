"""The two ways to the ledger's functions: the data API, and connections of our own, which chat uses."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import Coroutine
from typing import Any, Protocol

import httpx
import jwt

from shared.database_errors import refusal
from shared.errors import ParleyError
from shared.ledger_connection import Connections
from tests.stack.people import Person, Stack

WAYS = ("data API", "connection")
_SERVICE_CLAIMS = '{"role":"service_role"}'
_SECONDS = 30.0


class Ledger(Protocol):
    """A way to the ledger, in the name of a person or, without one, of the service."""

    def call(self, name: str, arguments: dict[str, Any], person: Person | None) -> Any:
        """The result. Raises what `shared.ledger_calls.call` raises."""
        ...

    def response(self, name: str, arguments: dict[str, Any], person: Person | None) -> httpx.Response:
        """The result or the error, in the format of the data API."""
        ...

    def close(self) -> None:
        """Ends what it opened."""
        ...


class DataApi:
    """Over HTTP."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._client = httpx.Client(base_url=f"{stack['SUPABASE_URL']}/rest/v1/rpc/", timeout=_SECONDS)

    def call(self, name: str, arguments: dict[str, Any], person: Person | None) -> Any:
        response = self.response(name, arguments, person)
        if response.status_code >= 300:
            raise refusal(response.status_code, response.json())
        return response.json()

    def response(self, name: str, arguments: dict[str, Any], person: Person | None) -> httpx.Response:
        headers = {"apikey": self._stack["SUPABASE_SERVICE_KEY"]}
        if person is not None:
            headers = person.headers | {"apikey": self._stack["SUPABASE_ANON_KEY"]}
        return self._client.post(name, json=arguments, headers=headers)

    def close(self) -> None:
        self._client.close()


class DirectConnections:
    """Over three connections in an event loop of their own, for callers in any thread."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._connections = Connections(url)

    def call(self, name: str, arguments: dict[str, Any], person: Person | None) -> Any:
        claims = _claims_of(person.token) if person else _SERVICE_CLAIMS
        return self._run(self._connections.call(name, arguments, claims, _SECONDS))

    def response(self, name: str, arguments: dict[str, Any], person: Person | None) -> httpx.Response:
        try:
            return httpx.Response(200, json=self.call(name, arguments, person))
        except ParleyError as error:
            return httpx.Response(error.status, json=_as_postgrest(error))

    def close(self) -> None:
        self._run(self._connections.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


def ledger_over(way: str, stack: Stack) -> Ledger:
    """One of WAYS, open."""
    return DataApi(stack) if way == "data API" else DirectConnections(stack["LEDGER_DATABASE_URL"])


def _as_postgrest(error: ParleyError) -> dict[str, Any]:
    metadata = error.metadata
    if error.retry_after_seconds is not None:
        metadata = metadata | {"retry_after": error.retry_after_seconds}
    details = json.dumps({"code": error.code, "metadata": metadata})
    return {"code": f"PT{error.status}", "message": error.message, "details": details, "hint": None}


@functools.lru_cache(4096)
def _claims_of(token: str) -> str:
    """The claims of a token that the local Auth server has just signed."""
    return json.dumps(jwt.decode(token, options={"verify_signature": False}))
