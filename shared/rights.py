"""What the database grants to a token beyond its claims: to an OAuth app, and to an admin without a second factor."""

from __future__ import annotations

import time

from shared import supabase
from shared.errors import AppNotAllowed, DatabaseUnavailable, InternalError, SecondFactorRequired

_CACHE_SECONDS = 15.0
_MAX_CACHED = 1000
_scopes_of_apps: dict[str, tuple[float, frozenset[str]]] = {}


async def require_app_scope(client_id: str, token: str, scope: str | None) -> None:
    """Returns if the operator allows the OAuth app this scope; scopes are cached for 15 seconds.

    None as scope means that no app may do this. Raises AppNotAllowed, Unauthenticated, DatabaseUnavailable.
    """
    if scope is None:
        raise AppNotAllowed("An app may not do this.")
    good_until, scopes = _scopes_of_apps.get(client_id, (0.0, frozenset()))
    if time.monotonic() >= good_until:
        rights = await supabase.rpc("my_rights", {}, supabase.as_caller(token))
        good_until, scopes = time.monotonic() + _CACHE_SECONDS, frozenset(rights["app_scopes"] or ())
        if len(_scopes_of_apps) >= _MAX_CACHED:
            _scopes_of_apps.clear()
        _scopes_of_apps[client_id] = good_until, scopes
    if scope not in scopes:
        raise AppNotAllowed(f"The operator does not allow this app the scope {scope}.", metadata={"scope": scope})


async def require_second_factor(token: str) -> None:
    """Returns if an admin of this deployment may act without a second factor. Raises SecondFactorRequired.

    A database that does not answer demands nothing: diagnostics must run then, and show no user's data.
    """
    try:
        rights = await supabase.rpc("my_rights", {}, supabase.as_caller(token), timeout_seconds=2.0)
    except (DatabaseUnavailable, InternalError):
        return
    if not rights["is_admin"]:
        raise SecondFactorRequired("Admins sign in with a second factor here.")
