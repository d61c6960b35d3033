"""The keys of one local project: API keys of both kinds, and the signing key of access tokens."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from local.data_dir import write_private

_TEN_YEARS_SECONDS = 10 * 365 * 86400


@dataclass(frozen=True, slots=True)
class Keys:
    """`signing_key` is a private ES256 JWK; the legacy keys are HS256 JWTs over `jwt_secret`."""

    publishable_key: str
    secret_key: str
    anon_key: str
    service_role_key: str
    jwt_secret: str
    signing_key: dict[str, Any]

    def __repr__(self) -> str:
        return "Keys(…)"

    @property
    def public_key(self) -> dict[str, Any]:
        """The public JWK, which verifies tokens."""
        return {name: value for name, value in self.signing_key.items() if name != "d"} | {"key_ops": ["verify"]}


def load_or_create(path: Path) -> Keys:
    """The keys in the file at `path`, created on the first call; only its owner can read it."""
    if path.exists():
        return Keys(**json.loads(path.read_text()))
    keys = _create()
    write_private(path, json.dumps(asdict(keys), indent=2) + "\n")
    return keys


def _create() -> Keys:
    secret = secrets.token_urlsafe(40)
    private = ec.generate_private_key(ec.SECP256R1())
    jwk: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(private, as_dict=True)
    return Keys(
        publishable_key=f"sb_publishable_{secrets.token_urlsafe(22)}",
        secret_key=f"sb_secret_{secrets.token_urlsafe(22)}",
        anon_key=_legacy_key("anon", secret),
        service_role_key=_legacy_key("service_role", secret),
        jwt_secret=secret,
        signing_key=jwk | {"kid": str(uuid.uuid4()), "alg": "ES256", "use": "sig"},
    )


def _legacy_key(role: str, secret: str) -> str:
    now = int(time.time())
    claims = {"iss": "supabase-local", "role": role, "iat": now, "exp": now + _TEN_YEARS_SECONDS}
    return jwt.encode(claims, secret, "HS256")
