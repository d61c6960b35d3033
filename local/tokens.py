"""Who a request speaks as: the checks that Supabase's API gateway makes before PostgREST and Auth see it."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

import jwt

from local.keys import Keys
from local.rest.errors import ApiError

_LEEWAY_SECONDS = 30


class Tokens:
    """Signs and verifies with one project's keys."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._private = jwt.PyJWK(keys.signing_key)
        self._public = jwt.PyJWK(keys.public_key)

    def sign(self, claims: dict[str, Any]) -> str:
        """An ES256 token."""
        return jwt.encode(claims, self._private, "ES256", {"kid": self.keys.signing_key["kid"]})

    def verify(self, token: str) -> dict[str, Any]:
        """Its claims, whoever signed it: ES256 with the project's key, or HS256 with the legacy secret."""
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
        except (jwt.PyJWTError, ValueError, RecursionError) as error:  # whatever else a forged header holds
            raise ApiError(401, "PGRST301", f"JWT could not be decoded: {error}") from None
        return claims

    def is_secret_key(self, key: str) -> bool:
        """The new kind of service key."""
        return hmac.compare_digest(key.encode(), self.keys.secret_key.encode())

    def claims_of(self, headers: Mapping[str, str], query_key: str | None = None) -> dict[str, Any]:
        """Claims of a request by its apikey and Authorization headers; opaque keys become the roles they stand for."""
        role = self.role_of(headers.get("apikey") or query_key)
        token = bearer(headers)
        if token and not token.startswith("sb_"):
            return self.verify(token)
        return {"role": role}

    def role_of(self, key: str | None) -> str:
        """The role an API key stands for. Raises ApiError 401 for none and for a wrong one."""
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
    """The token of `Authorization: Bearer …`, empty without one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
