"""The supabase-py client."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from postgrest import APIError

from shared.errors import DatabaseUnavailable, NotConfigured
from shared.supabase_py import database_errors, service_client


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (APIError({"message": "secret words", "code": "23505"}), "23505"),
        (httpx.ConnectError("secret words"), "ConnectError"),
        (httpx.ReadTimeout("secret words"), "ReadTimeout"),
    ],
    ids=["refused", "down", "slow"],
)
def test_a_failing_database_is_reported_by_its_code(failure: Exception, code: str) -> None:
    """The metadata has the code for the operator, without the message of PostgreSQL or the network."""
    with pytest.raises(DatabaseUnavailable) as caught, database_errors():
        raise failure
    assert caught.value.metadata == {"code": code}
    assert "secret" not in caught.value.message


def test_other_errors_are_not_converted() -> None:
    """An error that is not the database's is raised unchanged."""
    with pytest.raises(KeyError), database_errors():
        raise KeyError


@pytest.mark.anyio
async def test_a_missing_variable_is_named(environ: Callable[..., None]) -> None:
    """The error names the variable."""
    environ(SUPABASE_URL="http://127.0.0.1:9")
    with pytest.raises(NotConfigured, match="SUPABASE_SERVICE_KEY"):
        await service_client()
