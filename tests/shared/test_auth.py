"""Access tokens: which ones are accepted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.auth import Verifier, bearer_token
from shared.errors import Unauthenticated
from tests.asgi import Caller, request_of
from tests.fakes.supabase import PERSON_ID, Project, SigningKey, signing_key

pytestmark = pytest.mark.anyio
SECRET = "s" * 40
OTHER = signing_key("ES256", "other")


def _signed(header: dict[str, Any], claims: dict[str, Any], secret: bytes = b"") -> str:
    """A hand-made token, with an HMAC if there is a secret."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(secret, b".".join(parts), hashlib.sha256) if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_a_valid_token_identifies_its_user(project: Project, algorithm: str) -> None:
    """The person has the id, whether they are anonymous, and whether they are an admin."""
    key = signing_key(algorithm, algorithm)
    project.keys.append(key.listed)
    token = project.token(key, is_anonymous=True, app_metadata={"role": "admin"})
    person = await Verifier().verify(token)
    assert (person.id, person.token, person.is_anonymous, person.is_admin) == (PERSON_ID, token, True, True)
    assert token not in repr(person)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"user_metadata": {"role": "admin"}},
        {"app_metadata": {"role": "member"}},
        {"app_metadata": None},
        {"app_metadata": {"role": ["admin"]}},
        {"app_metadata": {"role": {"admin": True}}},
    ],
)
async def test_users_cannot_make_themselves_admins(project: Project, changes: dict[str, Any]) -> None:
    """Only app_metadata counts, which users cannot write."""
    person = await Verifier().verify(project.token(**changes))
    assert (person.is_admin, person.is_anonymous) == (False, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "anon"},
        {"aud": ["authenticated"]},
        {"aud": ["authenticated", "other"]},
        {"iss": "https://evil.example/auth/v1"},
        {"iss": "supabase"},
        {"role": "service_role"},
        {"role": "anon"},
        {"role": ["authenticated"]},
        {"sub": "not-a-uuid"},
        {"sub": PERSON_ID.replace("1", "A")},
        {"sub": PERSON_ID.replace("-", "")},
        {"sub": PERSON_ID + " "},
        {"exp": 1},
        {"exp": "soon"},
        {"exp": "4000000000"},
        {"exp": [4_000_000_000]},
        {"exp": float("inf")},
        {"iat": {"at": 1}},
        {"iat": float("inf")},
        {"app_metadata": "admin"},
        {"app_metadata": ["admin"]},
        {"app_metadata": 7},
        {"app_metadata": True},
        {"user_metadata": "admin"},
        {"user_metadata": [1]},
        {"is_anonymous": "true"},
        {"is_anonymous": 1},
        {"is_anonymous": {}},
        {"sub": {"id": PERSON_ID}},
        {"role": {"authenticated": True}},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
        *({name: None} for name in ("exp", "iat", "sub", "aud", "iss", "role")),
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_or_missing_claim_is_rejected(project: Project, changes: dict[str, Any]) -> None:
    """Every claim must be present and right."""
    with pytest.raises(Unauthenticated):
        await Verifier().verify(project.token(**changes))


async def test_supabase_issuer_replaces_the_accepted_issuers(project: Project, environ: Callable[..., None]) -> None:
    """The keys still come from SUPABASE_URL, whose own issuer is then rejected."""
    outside, domain = "https://p.supabase.co/auth/v1", "https://auth.example.com/auth/v1"
    environ(SUPABASE_ISSUER=f"{outside}, {domain}")
    for issuer in (outside, domain):
        assert (await Verifier().verify(project.token(iss=issuer))).id == PERSON_ID
    assert project.keys_asked == 2
    for issuer in (f"{project.url}/auth/v1", f"{outside}/", "https://evil.example/auth/v1", f"{outside}, {domain}"):
        with pytest.raises(Unauthenticated):
            await Verifier().verify(project.token(iss=issuer))


@pytest.mark.parametrize(
    ("claim", "seconds", "is_accepted"),
    [("exp", -10, True), ("exp", -60, False), ("iat", 10, True), ("iat", 60, False), ("nbf", 10, True)],
)
async def test_clocks_may_differ_by_30_seconds(
    project: Project, claim: str, seconds: int, *, is_accepted: bool
) -> None:
    """Times within 30 seconds are accepted, others rejected."""
    changes: dict[str, Any] = {claim: int(time.time()) + seconds}
    token = project.token(**changes)
    if is_accepted:
        assert (await Verifier().verify(token)).id == PERSON_ID
    else:
        with pytest.raises(Unauthenticated):
            await Verifier().verify(token)


async def test_tokens_without_the_projects_signature_are_rejected(project: Project) -> None:
    """No signature, a foreign key under a known or unknown name, and an unset shared secret are rejected."""
    good, claims = project.token(), project.claims()
    for token in (
        _signed({"alg": "none", "typ": "JWT"}, claims),
        _signed({"alg": "None", "kid": "key-1"}, claims),
        _signed({"alg": "HS256", "kid": "key-1"}, claims, SECRET.encode()),
        _signed({"alg": "HS256"}, claims, b"\x00"),
        _signed({"kid": "key-1"}, claims, SECRET.encode()),
        _signed({"alg": ["ES256"], "kid": "key-1"}, claims, SECRET.encode()),
        _signed({"alg": "ES256", "kid": 1}, claims, SECRET.encode()),
        _signed({"alg": "ES256"}, claims, SECRET.encode()),
        project.token(SigningKey("key-1", "ES256", OTHER.private, {})),
        project.token(OTHER),
        good[:-4] + "AAAA",
        good.rpartition(".")[0] + ".",
    ):
        with pytest.raises(Unauthenticated):
            await Verifier().verify(token)


@pytest.mark.parametrize("secret", ["", SECRET])
async def test_a_public_key_is_no_shared_secret(project: Project, environ: Callable[..., None], secret: str) -> None:
    """A token with an HMAC by the public key is rejected."""
    environ(SUPABASE_JWT_SECRET=secret)
    public = signing_key().private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for known in (pem, json.dumps(signing_key().listed).encode()):
        with pytest.raises(Unauthenticated):
            await Verifier().verify(_signed({"alg": "HS256", "kid": "key-1"}, project.claims(), known))


async def test_a_key_serves_only_its_own_algorithm(project: Project) -> None:
    """A token with another algorithm than its key's is rejected before it is verified."""
    rsa = signing_key("RS256", "rsa")
    project.keys.append(rsa.listed)
    forged = jwt.encode(project.claims(), rsa.private, algorithm="RS256", headers={"kid": "key-1"})
    with pytest.raises(Unauthenticated, match="another algorithm"):
        await Verifier().verify(forged)
    other_hash = jwt.encode(project.claims(), rsa.private, algorithm="PS256", headers={"kid": "rsa"})
    with pytest.raises(Unauthenticated):
        await Verifier().verify(other_hash)


async def test_hs256_needs_the_projects_secret(project: Project, environ: Callable[..., None]) -> None:
    """A legacy project's secret verifies tokens; another secret does not."""
    environ(SUPABASE_JWT_SECRET=SECRET)
    legacy = _signed({"alg": "HS256", "typ": "JWT"}, project.claims(), SECRET.encode())
    assert (await Verifier().verify(legacy)).id == PERSON_ID
    with pytest.raises(Unauthenticated):
        await Verifier().verify(_signed({"alg": "HS256"}, project.claims(), b"t" * 40))
    assert (await Verifier().verify(project.token())).id == PERSON_ID


@pytest.mark.parametrize(
    "token",
    ["", "a.b", "a.b.c", "a.b.c.d", "ä.ö.ü", "\ud800", "sb_publishable_abc", "sb_secret_abc", "e30.e30.e30", "null"],
    ids=ascii,
)
async def test_other_text_is_rejected_without_fetching_keys(project: Project, token: str) -> None:
    """API keys and noise cause no request to the key server."""
    with pytest.raises(Unauthenticated):
        await Verifier().verify(token)
    assert project.keys_asked == 0


async def test_a_token_over_8_kb_is_rejected_unparsed(project: Project) -> None:
    """Even a well-signed token may have at most 8 KB."""
    with pytest.raises(Unauthenticated, match="too long"):
        await Verifier().verify(project.token(padding="x" * 8192))
    assert project.keys_asked == 0


@pytest.mark.parametrize("header", ["Bearer t0ken", "bearer t0ken", "BEARER  t0ken "])
def test_the_bearer_token_is_read(header: str) -> None:
    """The scheme's case and blanks around the token do not matter."""
    assert bearer_token(request_of(Caller(), headers={"Authorization": header})) == "t0ken"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dTpw", "t0ken", "Bearert0ken", "Token t0ken"])
def test_no_bearer_token_is_a_401(header: str | None) -> None:
    """Another scheme or a bare key is rejected."""
    with pytest.raises(Unauthenticated):
        bearer_token(request_of(Caller(), headers={} if header is None else {"Authorization": header}))
