"""Who may start a run: whoever holds the cron secret."""

from __future__ import annotations

import hmac

from starlette.requests import Request

from shared.auth import bearer_token
from shared.config import settings
from shared.errors import Unauthenticated

_MIN_SECRET_LENGTH = 32


def authorize(request: Request) -> str:
    """What started the run, for its row. Raises Unauthenticated; a secret that is unset or short admits nobody."""
    secret = settings().get("CRON_SECRET")
    given = bearer_token(request)
    if len(secret) >= _MIN_SECRET_LENGTH and hmac.compare_digest(given.encode(), secret.encode()):
        return "cron-secret"
    raise Unauthenticated("This token may not start a refresh.")
