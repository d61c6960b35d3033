"""Access tokens: who is let in, and what happens when the signing keys cannot be had."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.auth import Verifier, bearer_token
from shared.errors import KeysUnavailable, Unauthenticated
from tests.asgi import Caller, request_of
from tests.project import PERSON_ID, Project, SigningKey, signing_key

pytestmark = pytest.mark.anyio
SECRET = "s" * 40
OTHER = signing_key("ES256", "other")


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.passed = 0.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.passed

    def monotonic(self) -> float:
        """Seconds since whenever."""
        return time.monotonic() + self.passed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the verifier looks at."""
    clock = Clock()
    monkeypatch.setattr("shared.auth.time", clock)
    return clock


def _signed(header: dict[str, Any], claims: dict[str, Any], secret: bytes = b"") -> str:
    """A token put together by hand, signed with HMAC when there is a secret."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(secret, b".".join(parts), hashlib.sha256) if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_a_persons_token_is_accepted_and_says_who_they_are(project: Project, algorithm: str) -> None:
    """A well-signed token names the person, whether they are anonymous, and whether an admin."""
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
        {"is_anonymous": "true"},
    ],
)
async def test_nobody_makes_themselves_an_admin(project: Project, changes: dict[str, Any]) -> None:
    """Only what the project itself says of a person counts, not what they may write."""
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
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
        *({name: None} for name in ("exp", "iat", "sub", "aud", "iss", "role")),
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_or_missing_claim_is_refused(project: Project, changes: dict[str, Any]) -> None:
    """Every claim must be there and right."""
    with pytest.raises(Unauthenticated):
        await Verifier().verify(project.token(**changes))


async def test_other_issuers_are_accepted_where_supabase_issuer_names_them(
    project: Project, environ: Callable[..., None]
) -> None:
    """Behind an internal address or a custom domain; the keys still come from SUPABASE_URL, and its own name is out."""
    outside, domain = "https://p.supabase.co/auth/v1", "https://auth.example.com/auth/v1"
    environ(SUPABASE_ISSUER=f"{outside}, {domain}")
    for issuer in (outside, domain):
        assert (await Verifier().verify(project.token(iss=issuer))).id == PERSON_ID
    assert project.keys_asked == 2
    for issuer in (f"{project.url}/auth/v1", f"{outside}/", "https://evil.example/auth/v1", f"{outside}, {domain}"):
        with pytest.raises(Unauthenticated):
            await Verifier().verify(project.token(iss=issuer))


@pytest.mark.parametrize(
    ("claim", "seconds", "is_let_in"),
    [("exp", -10, True), ("exp", -60, False), ("iat", 10, True), ("iat", 60, False), ("nbf", 10, True)],
)
async def test_clocks_may_differ_by_half_a_minute(
    project: Project, claim: str, seconds: int, *, is_let_in: bool
) -> None:
    """A server whose clock is a little off still lets people in, but no further off."""
    changes: dict[str, Any] = {claim: int(time.time()) + seconds}
    token = project.token(**changes)
    if is_let_in:
        assert (await Verifier().verify(token)).id == PERSON_ID
    else:
        with pytest.raises(Unauthenticated):
            await Verifier().verify(token)


async def test_tokens_that_are_not_signed_by_the_project_are_refused(project: Project) -> None:
    """No signature, another key under a known or unknown name, and a shared secret nobody set."""
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
async def test_the_public_key_is_no_secret(project: Project, environ: Callable[..., None], secret: str) -> None:
    """Whoever signs with what everybody may read, as if it were a shared secret, is not let in."""
    environ(SUPABASE_JWT_SECRET=secret)
    public = signing_key().private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for known in (pem, json.dumps(signing_key().listed).encode()):
        with pytest.raises(Unauthenticated):
            await Verifier().verify(_signed({"alg": "HS256", "kid": "key-1"}, project.claims(), known))


async def test_a_key_serves_only_its_own_algorithm(project: Project) -> None:
    """A token that names another algorithm than its key is refused before anything is verified."""
    rsa = signing_key("RS256", "rsa")
    project.keys.append(rsa.listed)
    forged = jwt.encode(project.claims(), rsa.private, algorithm="RS256", headers={"kid": "key-1"})
    with pytest.raises(Unauthenticated, match="another algorithm"):
        await Verifier().verify(forged)
    other_hash = jwt.encode(project.claims(), rsa.private, algorithm="PS256", headers={"kid": "rsa"})
    with pytest.raises(Unauthenticated):
        await Verifier().verify(other_hash)


async def test_hs256_is_taken_only_with_the_projects_secret(project: Project, environ: Callable[..., None]) -> None:
    """A legacy project's secret verifies, another does not."""
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
async def test_what_is_no_token_is_refused_without_asking_for_keys(project: Project, token: str) -> None:
    """Keys of the project and noise cost nothing but their own refusal."""
    with pytest.raises(Unauthenticated):
        await Verifier().verify(token)
    assert project.keys_asked == 0


async def test_a_token_of_absurd_length_is_refused_unread(project: Project) -> None:
    """More than 8 KB is not even parsed, though it were well signed."""
    with pytest.raises(Unauthenticated, match="too long"):
        await Verifier().verify(project.token(padding="x" * 8192))
    assert project.keys_asked == 0


async def test_fifty_at_once_fetch_the_keys_once(project: Project) -> None:
    """The keys are fetched by one and found by all."""
    verifier = Verifier()
    tokens = [project.token(sub=str(uuid.uuid4())) for _ in range(50)]
    await asyncio.gather(*(verifier.verify(token) for token in tokens))
    assert project.keys_asked == 1


async def test_fifty_at_once_do_not_queue_up_for_a_server_that_hangs(project: Project, clock: Clock) -> None:
    """Who waited through one slow failure is told at once, instead of trying again one after the other."""
    project.keys_status = 503

    def take_three_seconds() -> None:
        clock.passed += 3

    project.before_keys = take_three_seconds
    verifier, token = Verifier(), project.token()
    told = await asyncio.gather(*(verifier.verify(token) for _ in range(50)), return_exceptions=True)
    assert {type(each) for each in told} == {KeysUnavailable}
    assert project.keys_asked == 1


async def test_a_new_key_is_found_and_unknown_ones_do_not_cost_a_fetch_each(project: Project, clock: Clock) -> None:
    """An unknown name makes one fetch in half a minute, however many tokens carry one."""
    verifier = Verifier()
    await verifier.verify(project.token())
    project.keys.append(OTHER.listed)
    with pytest.raises(Unauthenticated):
        await verifier.verify(project.token(OTHER))
    assert project.keys_asked == 1
    clock.passed = 31
    assert (await verifier.verify(project.token(OTHER))).id == PERSON_ID
    assert project.keys_asked == 2
    for number in range(5):
        with pytest.raises(Unauthenticated):
            await verifier.verify(project.token(SigningKey(f"made-up-{number}", "ES256", OTHER.private, {})))
    assert project.keys_asked == 2


async def test_a_key_that_was_withdrawn_stops_counting(project: Project, clock: Clock) -> None:
    """After ten minutes the list is fetched again, and what is no longer on it lets nobody in."""
    verifier = Verifier()
    project.keys.append(OTHER.listed)
    await verifier.verify(project.token(OTHER))
    project.keys.pop()
    clock.passed = 601
    with pytest.raises(Unauthenticated):
        await verifier.verify(project.token(OTHER, sub=str(uuid.uuid4())))


async def test_stale_keys_serve_while_their_server_is_down(project: Project, clock: Clock) -> None:
    """An outage of the key server shuts nobody out for a day, and lets nobody in after it."""
    verifier = Verifier()
    await verifier.verify(project.token())
    project.keys_status = 500
    clock.passed = 80_000
    assert (await verifier.verify(project.token(sub=str(uuid.uuid4())))).id
    assert project.keys_asked == 2
    clock.passed = 90_000
    with pytest.raises(KeysUnavailable) as caught:
        await verifier.verify(project.token(sub=str(uuid.uuid4())))
    assert caught.value.retry_after_seconds == 5


@pytest.mark.parametrize("keys", [None, [None], ["text"], {"key-1": {}}, 5], ids=str)
async def test_without_any_keys_it_is_our_failure_not_the_callers(project: Project, keys: Any) -> None:
    """When the keys were never to be had, a token is neither good nor bad: 503, not 401."""
    project.keys = keys
    project.keys_status = 500 if keys is None else 200
    with pytest.raises(KeysUnavailable):
        await Verifier().verify(project.token())


async def test_keys_come_back_when_their_server_does(project: Project, clock: Clock) -> None:
    """A first failure does not last: the next try is a second later."""
    verifier = Verifier()
    project.keys_status = 500
    with pytest.raises(KeysUnavailable):
        await verifier.verify(project.token())
    project.keys_status, clock.passed = 200, 2
    assert (await verifier.verify(project.token())).id == PERSON_ID


@pytest.mark.parametrize(
    "odd",
    [
        {"kty": "oct", "kid": "odd", "k": "AAAA"},
        {"kty": "EC", "crv": "P-256", "kid": "odd", "x": "!!!", "y": "AA"},
        {"kty": "RSA", "kid": "odd", "n": "AQAB", "e": "AQAB", "alg": ["RS256"]},
        {"kty": "new", "kid": "odd"},
        signing_key("ES256", "odd").listed | {"use": "enc"},
        {"kty": "EC"},
    ],
    ids=str,
)
async def test_a_broken_or_strange_key_does_not_spoil_the_others(project: Project, odd: dict[str, Any]) -> None:
    """It counts for nothing, and the project's other keys still do."""
    project.keys.insert(0, odd)
    verifier = Verifier()
    assert (await verifier.verify(project.token())).id == PERSON_ID
    with pytest.raises(Unauthenticated):
        await verifier.verify(project.token(signing_key("ES256", "odd")))


@pytest.mark.parametrize(("lasts", "remembered", "forgotten"), [(3600, 59, 61), (20, 19, 21)])
async def test_a_verified_token_is_remembered_a_minute_but_not_beyond_its_end(
    project: Project, environ: Callable[..., None], clock: Clock, lasts: int, remembered: int, forgotten: int
) -> None:
    """Within it the token is taken as it was found; after it every rule is checked again, here for another project."""
    verifier, token = Verifier(), project.token(exp=int(time.time()) + lasts)
    person = await verifier.verify(token)
    environ(SUPABASE_URL="https://elsewhere.example")
    clock.passed = remembered - 1
    assert await verifier.verify(token) is person
    clock.passed = forgotten
    with pytest.raises(Unauthenticated):
        await verifier.verify(token)


async def test_what_is_remembered_has_an_end(project: Project) -> None:
    """Any number of people cannot fill our memory."""
    verifier = Verifier()
    verifier.max_cached = 3
    first = project.token(sub=str(uuid.uuid4()))
    person = await verifier.verify(first)
    for _ in range(3):
        await verifier.verify(project.token(sub=str(uuid.uuid4())))
    again = await verifier.verify(first)
    assert again == person
    assert again is not person


@pytest.mark.parametrize("header", ["Bearer t0ken", "bearer t0ken", "BEARER  t0ken "])
def test_the_bearer_token_is_found(header: str) -> None:
    """The scheme's case and blanks around the token do not matter."""
    assert bearer_token(request_of(Caller(), headers={"Authorization": header})) == "t0ken"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dTpw", "t0ken", "Bearert0ken", "Token t0ken"])
def test_no_bearer_token_is_a_401(header: str | None) -> None:
    """Neither another scheme nor a bare key will do."""
    with pytest.raises(Unauthenticated):
        bearer_token(request_of(Caller(), headers={} if header is None else {"Authorization": header}))
