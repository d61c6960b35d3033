"""Errors of the deployment: a bug, a missing variable, or a service that cannot be reached."""

from __future__ import annotations

from shared.errors.root import ParleyError


class InternalError(ParleyError):
    """Parley failed: a bug, or an unexpected answer of the database."""

    status, code = 500, "internal_error"


class NotConfigured(InternalError):
    """The deployment lacks a variable that this request needs."""

    code = "not_configured"
    client_action = "Ask the operator, whose log names the variable."


class NotCached(ParleyError):
    """The request wants a stored answer only, and there is none."""

    status, code = 504, "not_cached"
    client_action = "Leave out `Cache-Control: only-if-cached` to ask a model."


class DependencyDown(ParleyError):
    """The secrets store or the spool cannot be reached."""

    status, code = 503, "dependency_down"
    client_action = "Retry after `Retry-After`."


class DatabaseUnavailable(DependencyDown):
    """The database cannot be reached in time."""

    code = "database_unavailable"
    client_action = "Retry after `Retry-After`."


class DatabaseBusy(DatabaseUnavailable):
    """The database is busy: a lock, a deadlock, a time limit, or no free connection. Nothing was changed."""

    code = "database_busy"


class NoDefaultModel(DependencyDown):
    """No model can answer a turn that names none."""

    code = "no_default_model"
    client_action = "Inform the operator: a provider needs a key, or the catalogue needs a default."


class KeysUnavailable(DependencyDown):
    """The public keys that verify access tokens cannot be fetched."""

    code = "keys_unavailable"
    client_action = "Retry after `Retry-After`."
