"""Authentication: Supabase access tokens, verified in this process without a network round trip, and API keys."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import jwt
from starlette.requests import Request

from shared import http
from shared.api_keys import PREFIX, ApiKey, api_keys
from shared.bounded_responses import read_within
from shared.config import settings
from shared.errors import AppNotAllowed, Forbidden, InsufficientScope, KeysUnavailable, Unauthenticated
from shared.identifiers import is_canonical_uuid
from shared.rights import SCOPES, app_scopes, require_app_scope, require_second_factor

_ASYMMETRIC = frozenset({"ES256", "RS256", "EdDSA"})
_REQUIRED_CLAIMS = ["exp", "iat", "sub", "aud", "iss", "role"]
_TYPES = {
    "exp": int | float,
    "iat": int | float,
    "is_anonymous": bool | None,
    "app_metadata": dict | None,
    "user_metadata": dict | None,
    "client_id": str | None,
    "aal": str | None,
}
MALFORMED = (jwt.PyJWTError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)
LEEWAY_SECONDS = 30
MAX_TOKEN_BYTES = 8192
_MAX_KEYS_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in user; `token` authenticates database requests and is never logged.

    `claims` is the token's verified payload as JSON, for requests over a connection of our own.
    `api_key` is the key of the request instead of a token; `token` is empty then, so that no request is made with it.
    `client_id` is the OAuth app that the user consented to; it is never an admin. `aal` is `aal2` with a second factor.
    """

    id: str
    token: str
    is_anonymous: bool
    is_admin: bool
    claims: str = "{}"
    api_key: ApiKey | None = None
    client_id: str | None = None
    aal: str | None = None

    def __repr__(self) -> str:
        return f"Person(id={self.id!r})"


def _project_keys() -> str:
    return settings().supabase_url + "/auth/v1/.well-known/jwks.json"


class SigningKeys:
    """The public keys at a URL, by default the project's.

    They are fetched again after ten minutes. If the URL is down, old keys are used for up to a day.
    """

    ttl_seconds = 600.0
    refetch_seconds = 30.0
    stale_seconds = 86400.0

    def __init__(self, address: Callable[[], str] = _project_keys) -> None:
        self._address = address
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self, kid: str) -> jwt.PyJWK:
        """The key named `kid`.

        Raises Unauthenticated if no key has this name, KeysUnavailable if the keys cannot be fetched.
        """
        is_missing = kid not in self._keys and self._lock.locked()
        if is_missing or self._needs_fetch(kid):
            async with self._lock:  # single flight: requests that waited find the keys
                if self._needs_fetch(kid):
                    await self._fetch()
        age = time.monotonic() - self._fetched_at
        if age > self.stale_seconds:
            raise KeysUnavailable("Sign-in cannot be checked right now.", retry_after_seconds=5)
        if kid not in self._keys:
            raise Unauthenticated("The access token is signed with an unknown key.")
        return self._keys[kid]

    def _needs_fetch(self, kid: str) -> bool:
        now = time.monotonic()
        if self._fetched_at == float("-inf"):
            return now - self._tried_at > 1.0
        is_wanted = kid not in self._keys or now - self._fetched_at > self.ttl_seconds
        return is_wanted and now - self._tried_at > self.refetch_seconds

    async def _fetch(self) -> None:
        self._tried_at = time.monotonic()
        url = self._address()
        try:
            async with asyncio.timeout(3), http.session().get(url, allow_redirects=False) as response:
                response.raise_for_status()
                listed = json.loads(await read_within(response.content, _MAX_KEYS_BYTES))["keys"]
            keys = {key["kid"]: key for key in listed if key.get("use", "sig") == "sig" and "kid" in key}
        except (aiohttp.ClientError, OSError, LookupError, ValueError, TypeError, AttributeError, RecursionError):
            self._tried_at = time.monotonic()  # requests that waited for a failed fetch do not repeat it
            return  # the old keys stay; get() checks their age
        self._keys = {kid: parsed for kid, key in keys.items() if (parsed := _parse_key(key))}
        self._fetched_at = time.monotonic()


def _parse_key(key: dict[str, Any]) -> jwt.PyJWK | None:
    try:
        parsed = jwt.PyJWK(key)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None  # an unknown or broken key does not affect the others
    return parsed if parsed.algorithm_name in _ASYMMETRIC else None


class Verifier:
    """Verifies tokens; caches valid ones by hash for up to a minute and never beyond their expiry."""

    cache_seconds = 60.0
    max_cached = 10_000

    def __init__(self, keys: SigningKeys | None = None) -> None:
        self.keys = keys or SigningKeys()
        self._known: dict[bytes, tuple[float, Person]] = {}

    async def verify(self, token: str) -> Person:
        """The user of `token`. Raises Unauthenticated or KeysUnavailable."""
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthenticated("The access token is too long.")
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        good_until, person = self._known.get(digest, (0.0, None))
        if person is not None and time.time() < good_until:
            return person
        claims = await self._claims(token)
        person = Person(
            id=claims["sub"],
            token=token,
            is_anonymous=claims.get("is_anonymous") is True,
            is_admin=(claims.get("app_metadata") or {}).get("role") == "admin" and not claims.get("client_id"),
            claims=json.dumps(claims, separators=(",", ":")),
            client_id=claims.get("client_id") or None,
            aal=claims.get("aal"),
        )
        if len(self._known) >= self.max_cached:
            self._known.clear()
        self._known[digest] = (min(time.time() + self.cache_seconds, float(claims["exp"])), person)
        return person

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(header)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[header["alg"]],
                audience="authenticated",
                issuer=settings().issuers,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED_CLAIMS, "strict_aud": True},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("The access token has expired.") from error
        except MALFORMED as error:
            raise Unauthenticated("The access token is not valid.") from error
        if claims["role"] != "authenticated" or not is_canonical_uuid(claims["sub"]):
            raise Unauthenticated("This is not a signed-in user's access token.")
        if not all(isinstance(claims.get(name), kinds) for name, kinds in _TYPES.items()):
            raise Unauthenticated("A claim of the access token has the wrong type.")
        return claims

    async def _key(self, header: dict[str, Any]) -> jwt.PyJWK | str:
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm == "HS256" and (secret := settings().checked("SUPABASE_JWT_SECRET")):
            return secret
        if algorithm not in _ASYMMETRIC or not isinstance(kid, str):
            raise Unauthenticated("The access token is signed in a way that is not accepted.")
        key = await self.keys.get(kid)
        if key.algorithm_name != algorithm:
            raise Unauthenticated("The access token names another algorithm than its key.")
        return key


verifier = Verifier()


def bearer_token(request: Request) -> str:
    """The token of `Authorization: Bearer …`. Raises Unauthenticated if there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Send the access token as Authorization: Bearer <token>.")
    return token.strip()


def _credential(request: Request) -> str:
    """The token or key of `Authorization: Bearer …`, else the key of `x-api-key`. Raises Unauthenticated."""
    key = request.headers.get("x-api-key", "").strip()
    return key if key and "authorization" not in request.headers else bearer_token(request)


async def authenticate(request: Request, scope: str | None = None) -> Person:
    """The user who sent the request, with an access token, or with an API key or an OAuth app that has the scope.

    None as scope means that no key and no app may do this. Raises Unauthenticated, InvalidApiKey, InsufficientScope,
    AppNotAllowed, KeysUnavailable, DatabaseUnavailable.
    """
    credential = _credential(request)
    if not credential.startswith(PREFIX):
        person = await verifier.verify(credential)
        if person.client_id is not None:
            await require_app_scope(person.client_id, person.token, scope)
        return person
    key = await api_keys.resolve(credential)
    if scope is None:
        raise InsufficientScope("API keys cannot do this. Send an access token.")
    if scope not in key.scopes:
        raise InsufficientScope(f"This API key lacks the scope {scope}.", metadata={"scope": scope})
    return Person(id=key.user_id, token="", is_anonymous=False, is_admin=False, api_key=key)


async def authenticate_client(request: Request) -> tuple[Person, frozenset[str]]:
    """The user who sent the request, and all scopes of the token, API key or OAuth app.

    Raises Unauthenticated, InvalidApiKey, AppNotAllowed for an app without any scope, KeysUnavailable,
    DatabaseUnavailable.
    """
    credential = _credential(request)
    if credential.startswith(PREFIX):
        key = await api_keys.resolve(credential)
        return Person(id=key.user_id, token="", is_anonymous=False, is_admin=False, api_key=key), key.scopes
    person = await verifier.verify(credential)
    if person.client_id is None:
        return person, SCOPES
    scopes = await app_scopes.get(person.client_id, person.token)
    if not scopes:
        raise AppNotAllowed("The operator does not allow this app, or the user has revoked it.")
    return person, scopes


def insufficient(person: Person, scope: str) -> Forbidden:
    """The refusal of a key or an app that lacks the scope."""
    if person.api_key is not None:
        return InsufficientScope(f"This API key lacks the scope {scope}.", metadata={"scope": scope})
    return AppNotAllowed(f"The operator does not allow this app the scope {scope}.", metadata={"scope": scope})


async def authenticate_admin(request: Request, refusal: str = "This is for admins.") -> Person:
    """The admin who sent the request.

    Raises what `authenticate` raises, Forbidden with this message for a user who is no admin, SecondFactorRequired.
    """
    person = await authenticate(request)
    if not person.is_admin:
        raise Forbidden(refusal)
    await demand_second_factor(person)
    return person


async def demand_second_factor(person: Person) -> None:
    """Returns if this admin may act as one. Raises SecondFactorRequired."""
    if person.aal != "aal2":
        await require_second_factor(person.token)
