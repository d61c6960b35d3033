"""What the database grants to OAuth apps and to admins without a second factor."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared import rights
from shared.errors import AppNotAllowed, DatabaseUnavailable, SecondFactorRequired
from tests.fakes.supabase import Project

pytestmark = pytest.mark.anyio
PATH = "/rest/v1/rpc/my_rights"


@pytest.fixture(autouse=True)
def _configured(project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    environ(SUPABASE_URL=project.url, SUPABASE_ANON_KEY="anon")
    monkeypatch.setattr(rights, "app_scopes", rights.AppScopes())


async def test_the_scopes_of_an_app_are_remembered(project: Project) -> None:
    """One call answers several requests; a scope that is missing is refused."""
    project.answers[PATH] = (200, {"is_admin": False, "app_scopes": ["models"]})
    await rights.require_app_scope("app", "token", "models")
    with pytest.raises(AppNotAllowed):
        await rights.require_app_scope("app", "token", "chat")
    assert len(project.asked) == 1


async def test_a_user_who_revoked_an_app_takes_it_from_no_other_user(project: Project) -> None:
    """The scopes of one user's token are not remembered for another's."""
    project.answers[PATH] = (200, {"is_admin": False, "app_scopes": []})
    with pytest.raises(AppNotAllowed):
        await rights.require_app_scope("app", "token of one", "models")
    project.answers[PATH] = (200, {"is_admin": False, "app_scopes": ["models"]})
    await rights.require_app_scope("app", "token of another", "models")


@pytest.mark.parametrize("scopes", [[], None])
async def test_an_app_without_scopes_may_do_nothing(project: Project, scopes: list[str] | None) -> None:
    """An app that is not listed is refused."""
    project.answers[PATH] = (200, {"is_admin": False, "app_scopes": scopes})
    with pytest.raises(AppNotAllowed):
        await rights.require_app_scope("app", "token", "models")


async def test_what_no_app_may_do_needs_no_call(project: Project) -> None:
    """Routes without a scope refuse every app."""
    with pytest.raises(AppNotAllowed):
        await rights.require_app_scope("app", "token", None)
    assert project.asked == []


async def test_a_database_that_is_down_allows_no_app(project: Project) -> None:
    """503 for the app."""
    project.answers[PATH] = (503, {})
    with pytest.raises(DatabaseUnavailable):
        await rights.require_app_scope("app", "token", "models")


async def test_a_second_factor_is_demanded_by_the_database(project: Project) -> None:
    """An admin whose token has no rights needs one; a database that is down demands nothing."""
    project.answers[PATH] = (200, {"is_admin": False})
    with pytest.raises(SecondFactorRequired):
        await rights.require_second_factor("token")
    for answer in ((200, {"is_admin": True}), (503, {}), (404, {"code": "PGRST202"})):
        project.answers[PATH] = answer
        await rights.require_second_factor("token")


async def test_a_refresh_without_the_publishable_key_asks_as_the_user(
    project: Project, environ: Callable[..., None]
) -> None:
    """The service's key passes the gateway, and the token is the admin's: the demand is not skipped."""
    environ(SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x", SUPABASE_ANON_KEY="")
    project.answers[PATH] = (200, {"is_admin": False})
    with pytest.raises(SecondFactorRequired):
        await rights.require_second_factor("token")
    (asked,) = project.asked
    assert (asked.headers["apikey"], asked.headers["authorization"]) == ("sb_secret_x", "Bearer token")
