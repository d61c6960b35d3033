"""Calls of the ledger's database functions: over a connection of our own if there is one, else over the data API."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from shared import supabase
from shared.errors import NotConfigured

SERVICE_CLAIMS = '{"role":"service_role"}'
_CONNECTION = "shared.ledger_connection"  # loads psycopg, so it is imported by processes that connect only
_address: Callable[[], str] = str


def connect_to(address: Callable[[], str]) -> None:
    """Makes this process connect to PostgreSQL at the address that `address` returns; not while that is empty.

    chat and assist call it as they start; the units of other functions have no driver.
    """
    global _address  # noqa: PLW0603 - one per process, as the function that it runs
    _address = address
    if is_direct():
        importlib.import_module(_CONNECTION)


def is_direct() -> bool:
    """Whether calls go to PostgreSQL itself; they raise NotConfigured if its address is wrong."""
    try:
        return bool(_address())
    except NotConfigured:
        return True


async def call(
    name: str,
    arguments: dict[str, Any],
    headers: Callable[[], dict[str, str]],
    claims: str = SERVICE_CLAIMS,
    *,
    timeout_seconds: float = 5.0,
) -> Any:
    """The result of a database function: with `claims` over a connection, with `headers` over the data API.

    Raises the class of `shared.errors` whose code the function raised, Unauthenticated if the token is not accepted,
    DatabaseUnavailable if the database does not answer in time, NotConfigured, InternalError otherwise.
    """
    if url := _address():
        connection = importlib.import_module(_CONNECTION)
        return await connection.call(url, name, arguments, claims, timeout_seconds)
    return await supabase.rpc(name, arguments, headers(), timeout_seconds=timeout_seconds)


async def check(timeout_seconds: float) -> None:
    """Returns when the database answers. Raises as `call` does."""
    if url := _address():
        await importlib.import_module(_CONNECTION).check(url, timeout_seconds)
    else:
        await supabase.select("llm_models?select=id&limit=1", supabase.as_service(), timeout_seconds=timeout_seconds)
