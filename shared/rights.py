"""What the database grants to a token beyond its claims: to an OAuth app, and to an admin without a second factor."""

from __future__ import annotations

import time
from typing import Final

from shared import supabase
from shared.config import settings
from shared.errors import AppNotAllowed, DatabaseUnavailable, InternalError, SecondFactorRequired

SCOPES: Final = frozenset({"chat", "history", "models", "usage"})
"""What a key or an app can be allowed: to run turns, search the user's messages, list models, read the user's usage."""
_CACHE_SECONDS = 15.0
_MAX_CACHED = 1000


class AppScopes:
    """The scopes of OAuth apps for a user, who may have revoked them; an instance remembers them for 15 seconds."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[float, frozenset[str]]] = {}

    async def get(self, client_id: str, token: str) -> frozenset[str]:
        """The app's scopes, none if it is not listed or the user has revoked it.

        Raises Unauthenticated, DatabaseUnavailable.
        """
        good_until, scopes = self._known.get((client_id, token), (0.0, frozenset()))
        if time.monotonic() >= good_until:
            rights = await supabase.rpc("my_rights", {}, _headers(token))
            scopes = frozenset(rights["app_scopes"] or ())
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            self._known[client_id, token] = time.monotonic() + _CACHE_SECONDS, scopes
        return scopes


app_scopes = AppScopes()


async def require_app_scope(client_id: str, token: str, scope: str | None) -> None:
    """Returns if the operator allows the OAuth app this scope.

    None as scope means that no app may do this. Raises AppNotAllowed, Unauthenticated, DatabaseUnavailable.
    """
    if scope is None:
        raise AppNotAllowed("An app may not do this.")
    if scope not in await app_scopes.get(client_id, token):
        raise AppNotAllowed(f"The operator does not allow this app the scope {scope}.", metadata={"scope": scope})


async def require_second_factor(token: str) -> None:
    """Returns if an admin of this deployment may act without a second factor. Raises SecondFactorRequired.

    A database that does not answer demands nothing: diagnostics must run then, and show no user's data.
    """
    try:
        rights = await supabase.rpc("my_rights", {}, _headers(token), timeout_seconds=2.0)
    except (DatabaseUnavailable, InternalError):
        return
    if not rights["is_admin"]:
        raise SecondFactorRequired("Admins sign in with a second factor here.")


def _headers(token: str) -> dict[str, str]:
    """Headers of a request as the user; a refresh without the publishable key passes the gateway with its own."""
    if settings().get("SUPABASE_ANON_KEY"):
        return supabase.as_caller(token)
    return supabase.as_service() | {"Authorization": f"Bearer {token}"}
