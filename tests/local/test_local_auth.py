"""User accounts through Auth with supabase-py: sign-up, sign-in, sign-out and changes."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import jwt
import pytest

from supabase import AuthApiError, AuthInvalidCredentialsError, AuthWeakPasswordError
from tests.local.servers import PASSWORD, Api, signed_up


def _email(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}@example.com"


def _session(client: Any) -> Any:
    session = client.auth.get_session()
    assert session is not None
    return session


def _post(api: Api, path: str, body: Any, **headers: str) -> httpx.Response:
    return api.http.post(f"{api.url}/auth/v1/{path}", json=body, headers=api.headers() | headers)


def test_sign_up_opens_a_session(api: Api) -> None:
    """A sign-up returns a session and a user with the given metadata."""
    email = _email("Ada")
    answer = api.client().auth.sign_up(
        {"email": email, "password": PASSWORD, "options": {"data": {"nick": "A", "x": None}}}
    )
    assert answer.session is not None
    assert answer.user is not None
    assert answer.user.email == email.lower()
    assert answer.user.user_metadata["nick"] == "A"
    assert answer.user.user_metadata["x"] is None
    assert answer.user.app_metadata == {"provider": "email", "providers": ["email"]}
    assert [identity.provider for identity in answer.user.identities or []] == ["email"]
    assert answer.user.email_confirmed_at is not None


def test_tokens_have_supabases_claims_and_a_public_key(api: Api) -> None:
    """The published key verifies the ES256 token; its claims are those of Supabase's documentation."""
    session = _session(signed_up(api, _email("claims")))
    found = jwt.PyJWKClient(f"{api.url}/auth/v1/.well-known/jwks.json").get_signing_key_from_jwt(session.access_token)
    claims = jwt.decode(
        session.access_token, found, algorithms=["ES256"], audience="authenticated", issuer=f"{api.url}/auth/v1"
    )
    assert set(claims) == {
        *("iss", "sub", "aud", "exp", "iat", "email", "phone", "app_metadata", "user_metadata", "role", "aal"),
        *("amr", "session_id", "is_anonymous"),
    }
    assert (claims["role"], claims["aal"], claims["is_anonymous"]) == ("authenticated", "aal1", False)
    assert claims["amr"][0]["method"] == "password"
    assert claims["exp"] - claims["iat"] == session.expires_in == 3600
    answer = api.client().auth.get_claims(session.access_token)
    assert answer is not None
    assert answer["claims"]["sub"] == claims["sub"]


def test_sign_in_needs_the_password(api: Api) -> None:
    """The address is case-insensitive; a wrong password and an unknown address give the same error."""
    email = _email("in")
    signed_up(api, email)
    answer = api.client().auth.sign_in_with_password({"email": email.upper(), "password": PASSWORD})
    assert answer.user is not None
    assert answer.user.last_sign_in_at is not None
    for wrong in ({"email": email, "password": "wrong"}, {"email": _email("no"), "password": PASSWORD}):
        with pytest.raises(AuthApiError) as refusal:
            api.client().auth.sign_in_with_password(wrong)
        assert (refusal.value.status, refusal.value.code) == (400, "invalid_credentials")


def test_an_address_can_sign_up_once(api: Api) -> None:
    """A second sign-up has an error code; a weak password and a missing address have other codes."""
    email = _email("once")
    signed_up(api, email)
    with pytest.raises(AuthApiError) as refusal:
        signed_up(api, email.upper())
    assert refusal.value.code == "user_already_exists"
    with pytest.raises(AuthWeakPasswordError) as weak:
        signed_up(api, _email("weak"), "short")
    assert weak.value.reasons == ["length"]
    with pytest.raises(AuthApiError) as invalid:
        signed_up(api, "unknown", PASSWORD)
    assert invalid.value.code == "validation_failed"
    with pytest.raises(AuthInvalidCredentialsError):
        api.client().auth.sign_in_with_password({"password": PASSWORD})


def test_an_anonymous_user_can_add_an_address(api: Api) -> None:
    """The user keeps the id and can then sign in with the address."""
    client = api.client()
    anonymous = client.auth.sign_in_anonymously({"options": {"data": {"seen": 1}}})
    assert anonymous.user is not None
    assert anonymous.user.is_anonymous
    assert jwt.decode(_session(client).access_token, options={"verify_signature": False})["is_anonymous"]
    email = _email("known")
    client.auth.update_user({"email": email, "password": PASSWORD})
    known = api.client().auth.sign_in_with_password({"email": email, "password": PASSWORD})
    assert known.user is not None
    assert (known.user.id, known.user.is_anonymous) == (anonymous.user.id, False)
    assert known.user.app_metadata["provider"] == "email"
    assert [identity.provider for identity in known.user.identities or []] == ["email"]


def test_a_refresh_rotates_the_tokens(api: Api) -> None:
    """Every refresh returns new tokens of the same session; the time of the last sign-in stays."""
    client = signed_up(api, _email("rotate"))
    first = _session(client)
    second = client.auth.refresh_session()
    assert second.session is not None
    assert second.user is not None
    assert second.session.refresh_token != first.refresh_token
    ids = {
        jwt.decode(each.access_token, options={"verify_signature": False})["session_id"]
        for each in (first, second.session)
    }
    assert len(ids) == 1
    assert second.user.last_sign_in_at == first.user.last_sign_in_at
    assert client.auth.get_user() is not None


def test_a_refresh_token_can_be_reused_for_a_moment(api: Api) -> None:
    """A client can retry a lost response; a later reuse ends the session, as the token may be stolen."""
    first = _session(signed_up(api, _email("reuse"))).refresh_token
    refresh = "token?grant_type=refresh_token"
    second = _post(api, refresh, {"refresh_token": first}).json()["refresh_token"]
    assert _post(api, refresh, {"refresh_token": first}).json()["refresh_token"] == second
    api.query("update auth.refresh_tokens set updated_at = now() - interval '1 minute'")
    assert _post(api, refresh, {"refresh_token": first}).json()["refresh_token"] == second  # it was never used
    third = _post(api, refresh, {"refresh_token": second}).json()["refresh_token"]
    stolen = _post(api, refresh, {"refresh_token": first})
    assert (stolen.status_code, stolen.json()["error_code"]) == (400, "refresh_token_already_used")
    ended = _post(api, refresh, {"refresh_token": third})
    assert (ended.status_code, ended.json()["error_code"]) == (400, "refresh_token_not_found")
    assert _post(api, refresh, {}).json()["error_code"] == "refresh_token_not_found"


def test_users_change_their_own_account(api: Api) -> None:
    """Metadata is merged and null removes a member; a password must be new; an address must be free."""
    email = _email("change")
    client = signed_up(api, email)
    client.auth.update_user({"data": {"a": 1, "b": 2}})
    changed = client.auth.update_user({"data": {"b": None, "c": {"d": None}}}).user.user_metadata
    assert {name: changed.get(name, "gone") for name in "abc"} == {"a": 1, "b": "gone", "c": {"d": None}}
    with pytest.raises(AuthApiError) as same:
        client.auth.update_user({"password": PASSWORD})
    assert same.value.code == "same_password"
    client.auth.update_user({"password": "another horse"})
    assert api.client().auth.sign_in_with_password({"email": email, "password": "another horse"}).session
    taken = _email("taken")
    signed_up(api, taken)
    with pytest.raises(AuthApiError) as exists:
        client.auth.update_user({"email": taken})
    assert exists.value.code == "email_exists"


@pytest.mark.parametrize(
    ("scope", "alive"), [("local", [False, True]), ("others", [True, False]), ("global", [False] * 2)]
)
def test_sign_out_ends_the_sessions_of_its_scope(api: Api, scope: Any, alive: list[bool]) -> None:
    """The scope is this session, the others or all; tokens of an ended session are rejected."""
    email = _email(scope)
    here, there = signed_up(api, email), api.client()
    there.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    sessions = [_session(here), _session(there)]
    here.auth.sign_out({"scope": scope})
    for session, is_alive in zip(sessions, alive, strict=True):
        headers = api.headers(session.access_token)
        user = api.http.get(f"{api.url}/auth/v1/user", headers=headers)
        assert user.status_code == (200 if is_alive else 403)
        assert is_alive or user.json()["error_code"] == "session_not_found"
        again = _post(api, "token?grant_type=refresh_token", {"refresh_token": session.refresh_token})
        assert again.status_code == (200 if is_alive else 400)
