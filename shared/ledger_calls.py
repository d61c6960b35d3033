"""Calls of the ledger's database functions: over a connection of our own where chat has one, else over the data API."""

from __future__ import annotations

import importlib
from typing import Any

from shared import supabase
from shared.auth import Person
from shared.config import settings

URL_VARIABLE = "LEDGER_DATABASE_URL"
_CONNECTION = "shared.ledger_connection"  # loads psycopg, so only processes that use it import it
_SERVICE_CLAIMS = '{"role":"service_role"}'
_is_allowed = False


def allow_direct_connection() -> None:
    """Lets this process use LEDGER_DATABASE_URL. chat calls it as it starts; other functions have no such driver."""
    global _is_allowed  # noqa: PLW0603 - one per process, as the function that it runs
    _is_allowed = True
    if is_direct():
        importlib.import_module(_CONNECTION)


def is_direct() -> bool:
    """Whether calls go to PostgreSQL itself."""
    return _is_allowed and bool(settings().get(URL_VARIABLE))


async def call(name: str, arguments: dict[str, Any], person: Person | None, *, timeout_seconds: float = 5.0) -> Any:
    """The result of a database function, in the name of `person`, or of the service when it is None.

    Raises the class of `shared.errors` whose code the function raised, Unauthenticated if the token is not accepted,
    DatabaseUnavailable if the database does not answer in time, NotConfigured, InternalError otherwise.
    """
    if is_direct():
        claims = person.claims if person else _SERVICE_CLAIMS
        connection = importlib.import_module(_CONNECTION)
        return await connection.call(name, arguments, claims, timeout_seconds)
    headers = supabase.as_caller(person.token) if person else supabase.as_service()
    return await supabase.rpc(name, arguments, headers, timeout_seconds=timeout_seconds)


async def check(*, timeout_seconds: float) -> None:
    """Returns when the database answers. Raises as `call` does."""
    if is_direct():
        connection = importlib.import_module(_CONNECTION)
        await connection.check(timeout_seconds)
    else:
        await supabase.select("llm_models?select=id&limit=1", supabase.as_service(), timeout_seconds=timeout_seconds)
