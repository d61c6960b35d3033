"""Verifies the tokens of Google service accounts, which Cloud Scheduler sends to a public function."""

from __future__ import annotations

from typing import Any, Final

import jwt

from shared.auth import LEEWAY_SECONDS, MALFORMED, MAX_TOKEN_BYTES, SigningKeys
from shared.config import settings
from shared.errors import Unauthenticated

ISSUERS: Final = ("https://accounts.google.com", "accounts.google.com")
_KEYS_URL = "https://www.googleapis.com/oauth2/v3/certs"

keys = SigningKeys(lambda: settings().get("CRON_OIDC_KEYS_URL", _KEYS_URL))


async def verify(token: str) -> None:
    """Returns when the token is for CRON_OIDC_AUDIENCE and from a service account of CRON_OIDC_EMAILS.

    Raises Unauthenticated, also while either is unset, and KeysUnavailable when Google's keys cannot be fetched.
    """
    audience, emails = settings().get("CRON_OIDC_AUDIENCE"), settings().names("CRON_OIDC_EMAILS")
    rejected = Unauthenticated("This token may not start a refresh.")
    if not audience or not emails or len(token) > MAX_TOKEN_BYTES:
        raise rejected
    try:
        kid = jwt.get_unverified_header(token).get("kid")
        if not isinstance(kid, str):
            raise rejected
        claims: dict[str, Any] = jwt.decode(
            token,
            await keys.get(kid),
            algorithms=["RS256"],
            audience=audience,
            issuer=ISSUERS,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "aud", "iss", "email"], "strict_aud": True},
        )
    except MALFORMED as error:
        raise rejected from error
    email = claims["email"]
    if claims.get("email_verified") is not True or not isinstance(email, str) or email not in emails:
        raise rejected
