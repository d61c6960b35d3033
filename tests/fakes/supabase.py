"""A Supabase project on loopback: signing keys, and a data API with scripted answers."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

PERSON_ID = "11111111-2222-4333-8444-555555555555"


@dataclass(frozen=True)
class SigningKey:
    """A private key, and its public half as the project lists it."""

    kid: str
    algorithm: str
    private: Any
    listed: dict[str, Any]


@functools.cache
def signing_key(algorithm: str = "ES256", kid: str = "key-1") -> SigningKey:
    """A key pair, made once."""
    private: Any
    listed: dict[str, Any]
    if algorithm == "ES256":
        private = ec.generate_private_key(ec.SECP256R1())
        listed = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    elif algorithm == "RS256":
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        listed = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    else:
        private = ed25519.Ed25519PrivateKey.generate()
        listed = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return SigningKey(kid, algorithm, private, listed | {"kid": kid, "alg": algorithm, "use": "sig"})


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the data API; header names are lowercase."""

    method: str
    path: str
    headers: dict[str, str]
    arguments: Any


@dataclass
class Project:
    """`answers` by path, each a status with JSON or text; `keys_status` and `before_keys` script the key endpoint."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=lambda: [signing_key().listed])
    keys_status: int = 200
    before_keys: Callable[[], None] = lambda: None
    keys_asked: int = 0
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A signed-in user's claims; a change to None leaves the claim out."""
        now = int(time.time())
        usual = {
            "sub": PERSON_ID,
            "aud": "authenticated",
            "iss": f"{self.url}/auth/v1",
            "role": "authenticated",
            "iat": now,
            "exp": now + 3600,
        }
        return {name: value for name, value in (usual | changes).items() if value is not None}

    def token(self, key: SigningKey | None = None, **changes: Any) -> str:
        """An access token with these claims."""
        key = key or signing_key()
        return jwt.encode(self.claims(**changes), key.private, algorithm=key.algorithm, headers={"kid": key.kid})

    def asked_of(self, name: str) -> list[Any]:
        """Arguments of the calls of a database function."""
        return [each.arguments for each in self.asked if each.path == f"/rest/v1/rpc/{name}"]

    async def list_keys(self, _request: web.Request) -> web.Response:
        """The public keys."""
        self.keys_asked += 1
        self.before_keys()
        await asyncio.sleep(0)
        return web.json_response({"keys": self.keys}, status=self.keys_status)

    async def data(self, request: web.Request) -> web.Response:
        """The scripted answer."""
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(request.method, request.path, headers, json.loads(raw) if raw else None))
        status, answer = self.answers[request.path]
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return web.Response(status=status, text=text, content_type="application/json")


@asynccontextmanager
async def serving_project() -> AsyncIterator[Project]:
    """The running project."""
    running = Project()
    app = web.Application()
    app.router.add_get("/auth/v1/.well-known/jwks.json", running.list_keys)
    app.router.add_route("*", "/rest/v1/{path:.*}", running.data)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    running.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield running
    finally:
        await runner.cleanup()
