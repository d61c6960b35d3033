"""Which way a call of the ledger takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared import ledger_calls, supabase
from shared.config import settings
from shared.errors import DatabaseUnavailable, NotConfigured
from tests.fakes.supabase import Project

_NOWHERE = "postgresql://parley_ledger@127.0.0.1:9/postgres"

pytestmark = pytest.mark.anyio


@pytest.fixture
def connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is chat."""
    monkeypatch.setattr(ledger_calls, "_address", lambda: settings().ledger_url)


async def test_without_an_address_calls_go_to_the_data_api(project: Project, connecting: None) -> None:  # noqa: ARG001
    """With the headers of the caller."""
    project.answers["/rest/v1/rpc/node_key"] = (200, '"key"')
    assert not ledger_calls.is_direct()
    assert await ledger_calls.call("node_key", {"node_id": 1}, supabase.as_service) == "key"
    assert project.asked[0].headers["apikey"] == "sb_secret_x"


async def test_a_function_other_than_chat_ignores_the_address(
    project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its unit has no driver."""
    monkeypatch.setattr(ledger_calls, "_address", str)  # as before the import of a function
    environ(LEDGER_DATABASE_URL=_NOWHERE)
    project.answers["/rest/v1/rpc/node_key"] = (200, None)
    assert not ledger_calls.is_direct()
    assert await ledger_calls.call("node_key", {"node_id": 1}, supabase.as_service) is None


async def test_with_an_address_nothing_goes_to_the_data_api(
    project: Project,
    environ: Callable[..., None],
    connecting: None,  # noqa: ARG001
) -> None:
    """Neither the service key nor the public key is asked for."""
    environ(LEDGER_DATABASE_URL=_NOWHERE, SUPABASE_SERVICE_KEY="", SUPABASE_ANON_KEY="")
    assert ledger_calls.is_direct()
    with pytest.raises(DatabaseUnavailable) as caught:
        await ledger_calls.call("node_key", {"node_id": 1, "base_url": ""}, supabase.as_service)
    assert caught.value.retry_after_seconds == 2
    with pytest.raises(DatabaseUnavailable):
        await ledger_calls.check(1.0)
    assert project.asked == []


async def test_a_wrong_address_is_named_and_not_replaced(
    project: Project,
    environ: Callable[..., None],
    connecting: None,  # noqa: ARG001
) -> None:
    """A typing error does not send the ledger another way."""
    environ(LEDGER_DATABASE_URL="postgres.example.com")
    assert ledger_calls.is_direct()
    with pytest.raises(NotConfigured, match="LEDGER_DATABASE_URL"):
        await ledger_calls.call("node_key", {}, supabase.as_service)
    assert project.asked == []
