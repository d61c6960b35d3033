"""Decides who may start a run: the cron secret, Google's scheduler, an admin, or AWS's schedule."""

from __future__ import annotations

import hmac
import json

import jwt
from starlette.requests import Request

from functions.refresh import google_oidc
from shared.auth import authenticate_admin, bearer_token
from shared.config import settings
from shared.errors import NotFound
from shared.log import log

_MIN_SECRET_LENGTH = 32


async def authorize(request: Request) -> str:
    """The trigger's name for the run's row.

    Raises Unauthenticated, Forbidden for a user who is no admin, SecondFactorRequired, KeysUnavailable when a token
    cannot be checked. A CRON_SECRET that is unset or short matches no token.
    """
    secret = settings().get("CRON_SECRET")
    if secret and len(secret) < _MIN_SECRET_LENGTH:
        log("cron_secret_refused", problem=f"CRON_SECRET {settings().wrong('CRON_SECRET')}")
    token = bearer_token(request)
    if len(secret) >= _MIN_SECRET_LENGTH and hmac.compare_digest(token.encode(), secret.encode()):
        return "cron-secret"
    if _issuer(token) in google_oidc.ISSUERS:
        await google_oidc.verify(token)
        return "google-oidc"
    await authenticate_admin(request, "Only an admin may start a refresh.")
    return "admin"


def authorize_event(request: Request) -> str:
    """`aws-event` for an event that Lambda delivered. Raises NotFound for any other request.

    The Lambda Web Adapter overwrites this header on every request: null for an event, an object for a request to the
    function URL. Outside Lambda a client can send it, so it counts only when Lambda's own variable is set.
    """
    is_lambda = bool(settings().get("AWS_LAMBDA_FUNCTION_NAME"))
    if is_lambda and request.headers.getlist("x-amzn-request-context") == ["null"]:
        return "aws-event"
    raise NotFound("There is nothing at this path.")


def is_event(request: Request) -> bool:
    """Whether Lambda delivered the request as an event, including events that `authorize_event` rejects.

    It grants nothing. It separates failed events from failed requests to the function URL, which always have a
    context.
    """
    contexts = request.headers.getlist("x-amzn-request-context")
    return bool(settings().get("AWS_LAMBDA_FUNCTION_NAME")) and not any(map(_is_context, contexts))


def _is_context(text: str) -> bool:
    try:
        context = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(context, dict) and bool(context)


def _issuer(token: str) -> str:
    """The unverified issuer of a token, which selects the verifier; empty when the token is not a JWT."""
    try:
        return str(jwt.decode(token, options={"verify_signature": False}).get("iss"))
    except jwt.PyJWTError:
        return ""
