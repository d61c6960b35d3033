"""The role of a request: the checks of Supabase's API gateway before PostgREST and Auth."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

import jwt

from local.keys import Keys
from local.rest.errors import ApiError

_LEEWAY_SECONDS = 30


class Tokens:
    """Signs and verifies tokens with the keys of one project."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._private = jwt.PyJWK(keys.signing_key)
        self._public = jwt.PyJWK(keys.public_key)

    def sign(self, claims: dict[str, Any]) -> str:
        """An ES256 token with these claims."""
        return jwt.encode(claims, self._private, "ES256", {"kid": self.keys.signing_key["kid"]})

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of an ES256 token of the project or an HS256 token of the legacy secret. Raises ApiError 401."""
        if token.count(".") != 2:
            raise ApiError(401, "PGRST301", f"Expected 3 parts in JWT; got {token.count('.') + 1}")
        try:
            algorithm = jwt.get_unverified_header(token).get("alg")
            key: Any = self.keys.jwt_secret if algorithm == "HS256" else self._public
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["HS256" if algorithm == "HS256" else "ES256"],
                leeway=_LEEWAY_SECONDS,
                options={"verify_aud": False},
            )
        except jwt.ExpiredSignatureError:
            raise ApiError(401, "PGRST303", "JWT expired") from None
        except jwt.ImmatureSignatureError:
            raise ApiError(401, "PGRST303", "JWT not yet valid") from None
        except (jwt.PyJWTError, ValueError, RecursionError) as error:  # a forged header can cause any of these
            raise ApiError(401, "PGRST301", f"JWT could not be decoded: {error}") from None
        return claims

    def is_secret_key(self, key: str) -> bool:
        """Whether this is the project's secret key (sb_secret_…)."""
        return hmac.compare_digest(key.encode(), self.keys.secret_key.encode())

    def claims_of(self, headers: Mapping[str, str], query_key: str | None = None) -> dict[str, Any]:
        """The claims of a request from its apikey and Authorization headers; an opaque key gives its role."""
        role = self.role_of(headers.get("apikey") or query_key)
        token = bearer(headers)
        if token and not token.startswith("sb_"):
            return self.verify(token)
        return {"role": role}

    def role_of(self, key: str | None) -> str:
        """The role of an API key. Raises ApiError 401 for a missing or invalid key."""
        if not key:
            hint = "No `apikey` request header or url param was found."
            raise ApiError(401, None, "No API key found in request", hint=hint)
        if self.is_secret_key(key):
            return "service_role"
        if hmac.compare_digest(key.encode(), self.keys.publishable_key.encode()):
            return "anon"
        if key.count(".") != 2:
            raise ApiError(401, None, "Invalid API key", hint="Double check your API key.")
        return str(self.verify(key).get("role") or "anon")


def bearer(headers: Mapping[str, str]) -> str:
    """The token of `Authorization: Bearer …`; empty without one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
