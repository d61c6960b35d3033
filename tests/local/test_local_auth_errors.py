"""The errors of Auth: the right code for invalid requests, never a 500 for hostile ones."""

from __future__ import annotations

import time
import uuid
from typing import Any

import httpx
import jwt
import pytest

from tests.local.servers import Api


def _email(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}@example.com"


def _post(api: Api, path: str, body: Any, **headers: str) -> httpx.Response:
    return api.http.post(f"{api.url}/auth/v1/{path}", json=body, headers=api.headers() | headers)


def test_a_request_needs_a_key(api: Api) -> None:
    """A missing or wrong key is a 401, as at Supabase's gateway, except for links, JWKS and health."""
    for headers in ({}, {"apikey": "wrong"}, {"apikey": "a.b.c"}):
        refused = api.http.post(f"{api.url}/auth/v1/signup", json={}, headers=headers)
        assert (refused.status_code, set(refused.json())) == (401, {"message", "hint"})
    assert api.http.get(f"{api.url}/auth/v1/.well-known/jwks.json").status_code == 200
    assert api.http.get(f"{api.url}/auth/v1/health").status_code == 200
    for key in (api.keys.publishable_key, api.keys.anon_key, api.keys.secret_key, api.keys.service_role_key):
        assert api.client(key).auth.sign_in_anonymously().session


def test_an_invalid_token_is_rejected(api: Api) -> None:
    """A missing, forged or expired token, or one of an unknown or deleted user, has GoTrue's code."""
    key, now = jwt.PyJWK(api.keys.signing_key), int(time.time())
    claims = {"sub": str(uuid.uuid4()), "role": "authenticated", "exp": now + 60}
    cases = {
        "": (401, "no_authorization"),
        api.keys.publishable_key: (401, "no_authorization"),
        "a.b.c": (403, "bad_jwt"),
        jwt.encode(claims, "x" * 32, "HS256"): (403, "bad_jwt"),
        jwt.encode(claims | {"exp": now - 60}, key, "ES256"): (403, "bad_jwt"),
        api.keys.anon_key: (403, "bad_jwt"),
        jwt.encode(claims, key, "ES256"): (403, "user_not_found"),
        jwt.encode(claims | {"sub": "unknown"}, key, "ES256"): (403, "user_not_found"),
    }
    for token, expected in cases.items():
        response = api.http.get(f"{api.url}/auth/v1/user", headers=api.headers(token or None))
        assert (response.status_code, response.json()["error_code"]) == expected


def test_errors_have_the_shape_of_the_clients_version(api: Api) -> None:
    """Older clients get a numeric code, newer ones a text code and the version header."""
    wrong = {"email": _email("shape"), "password": "x"}
    old = _post(api, "token?grant_type=password", wrong)
    assert old.json() == {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"}
    assert "x-supabase-api-version" not in old.headers
    new = _post(api, "token?grant_type=password", wrong, **{"x-supabase-api-version": "2024-01-01"})
    assert new.json() == {"code": "invalid_credentials", "message": "Invalid login credentials"}
    assert new.headers["x-supabase-api-version"] == "2024-01-01"
    assert new.headers["x-sb-error-code"] == old.headers["x-sb-error-code"] == "invalid_credentials"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("signup", '{"email": "a\\u0000@b.de", "password": "secret7"}'),
        ("signup", '{"email": "nul@b.de", "password": "secret7", "data": {"a": "\\u0000"}}'),
        ("signup", '{"email": "lone@b.de", "password": "secret\\ud800"}'),
        ("signup", '{"email": "lone\\ud800@b.de", "password": "secret7"}'),
        ("signup", '{"email": "list@b.de", "password": "secret7", "data": [1]}'),
        ("signup", '{"email": "number@b.de", "password": 12345678}'),
        ("signup", '{"email": ["a@b.de"], "password": "secret7"}'),
        ("signup", "[]"),
        ("signup", "{"),
        ("signup", "[" * 100_000),
        ("signup", '{"data":' * 50_000),
        ("token?grant_type=password", '{"email": "a\\u0000", "password": "x"}'),
        ("token?grant_type=password", '{"email": "\\ud800", "password": "\\ud800"}'),
        ("token?grant_type=password", "{}"),
        ("token?grant_type=refresh_token", '{"refresh_token": "\\u0000"}'),
        ("token?grant_type=magic", "{}"),
        ("token", "{}"),
        ("otp", "{}"),
        ("otp", '{"email": "x@y.de", "data": 5}'),
        ("verify", '{"token_hash": "\\u0000", "type": "email"}'),
        ("verify", '{"email": "\\ud800", "token": "1", "type": "email"}'),
        ("verify", "{}"),
        ("logout", "{}"),
        ("admin/users", "{}"),
    ],
)
def test_a_hostile_body_is_rejected(api: Api, path: str, body: str) -> None:
    """Every invalid body gives a 4xx in JSON with a code."""
    response = api.http.post(f"{api.url}/auth/v1/{path}", content=body.encode(), headers=api.headers())
    assert 400 <= response.status_code < 500, response.text
    assert response.json()["error_code"]
