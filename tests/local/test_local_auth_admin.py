"""The admin endpoints of Auth, and one-time links."""

from __future__ import annotations

import re
import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from supabase import AuthApiError
from tests.local.servers import PASSWORD, Api, signed_up
from tests.stack_process import wait_until


def _email(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}@example.com"


@pytest.fixture(params=["secret", "legacy"])
def admin(api: Api, request: pytest.FixtureRequest) -> Any:
    """The service's client, with either kind of key."""
    return api.client(api.keys.secret_key if request.param == "secret" else api.keys.service_role_key)


@pytest.fixture
def service(api: Api) -> Any:
    """The service's client."""
    return api.client(api.keys.secret_key)


def test_an_admin_creates_lists_changes_and_deletes_users(api: Api, admin: Any) -> None:
    """The admin endpoints cover the whole life of an account."""
    email = _email("life")
    made = admin.auth.admin.create_user(
        {"email": email, "password": PASSWORD, "email_confirm": True, "app_metadata": {"plan": "free"}}
    ).user
    assert made.app_metadata == {"provider": "email", "providers": ["email"], "plan": "free"}
    assert made.id in {user.id for user in admin.auth.admin.list_users(per_page=1000)}
    assert len(admin.auth.admin.list_users(page=1, per_page=1)) == 1
    assert admin.auth.admin.get_user_by_id(made.id).user.email == email
    changes: Any = {"app_metadata": {"plan": None, "tier": 2}, "password": "another horse", "user_metadata": {"n": 1}}
    changed = admin.auth.admin.update_user_by_id(made.id, changes).user
    assert changed.app_metadata == {"provider": "email", "providers": ["email"], "tier": 2}
    assert api.client().auth.sign_in_with_password({"email": email, "password": "another horse"}).session
    admin.auth.admin.delete_user(made.id)
    with pytest.raises(AuthApiError) as gone:
        admin.auth.admin.get_user_by_id(made.id)
    assert (gone.value.status, gone.value.code) == (404, "user_not_found")


def test_deleting_a_user_deletes_dependent_rows(api: Api, service: Any) -> None:
    """Foreign keys to auth.users cascade; a soft delete keeps the rows and removes personal data."""
    for is_soft in (False, True):
        email = _email("rows")
        client = signed_up(api, email)
        user = client.auth.get_user()
        assert user is not None
        client.table("diary").insert({"line": "x"}).select("id").execute()
        service.auth.admin.delete_user(user.user.id, should_soft_delete=is_soft)
        rows = service.table("diary").select("id").eq("owner_id", user.user.id).execute().data
        assert len(rows) == is_soft
        with pytest.raises(AuthApiError):
            api.client().auth.sign_in_with_password({"email": email, "password": PASSWORD})
        with pytest.raises(AuthApiError):
            client.auth.get_user()
        assert api.query(f"select count(*) from auth.users where email = '{email}'") == [(0,)]


def test_only_the_service_key_is_admin(api: Api) -> None:
    """A visitor, a signed-in user and a request without a token are rejected, each with its code."""
    person = signed_up(api, _email("curious")).auth.get_session()
    assert person is not None
    for token, expected in ((None, 401), (person.access_token, 403), (api.keys.anon_key, 403), ("sb_secret_x", 403)):
        for method, path in (("GET", "users"), ("POST", "users"), ("POST", "generate_link"), ("DELETE", "users/x")):
            url = f"{api.url}/auth/v1/admin/{path}"
            assert api.http.request(method, url, headers=api.headers(token)).status_code == expected
    assert api.http.post(f"{api.url}/auth/v1/invite", json={}, headers=api.headers()).status_code == 401


def test_an_unconfirmed_or_banned_user_cannot_sign_in(api: Api, service: Any) -> None:
    """Sign-in and refresh fail until the address is confirmed and while the ban lasts."""
    email = _email("outside")
    made = service.auth.admin.create_user({"email": email, "password": PASSWORD}).user
    with pytest.raises(AuthApiError) as unconfirmed:
        api.client().auth.sign_in_with_password({"email": email, "password": PASSWORD})
    assert unconfirmed.value.code == "email_not_confirmed"
    service.auth.admin.update_user_by_id(made.id, {"email_confirm": True})
    client = api.client()
    client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    service.auth.admin.update_user_by_id(made.id, {"ban_duration": "1h"})
    with pytest.raises(AuthApiError) as banned:
        client.auth.refresh_session()
    assert banned.value.code == "user_banned"
    service.auth.admin.update_user_by_id(made.id, {"ban_duration": "none"})
    assert api.client().auth.sign_in_with_password({"email": email, "password": PASSWORD}).session


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "x"},
        {"email": "bad-id@example.com", "id": "x"},
        {"email": "weak@example.com", "password": "x"},
        {"email": "meta@example.com", "app_metadata": "x"},
    ],
)
def test_an_invalid_user_is_rejected(api: Api, body: dict[str, Any]) -> None:
    """Every invalid body is a 4xx and creates no user."""
    headers = {"apikey": api.keys.secret_key}
    response = api.http.post(f"{api.url}/auth/v1/admin/users", json=body, headers=headers)
    assert response.status_code in {400, 422}, response.text
    assert api.query(f"select count(*) from auth.users where email = '{body.get('email')}'") == [(0,)]


def test_an_invalid_page_is_the_first(api: Api, service: Any) -> None:
    """An invalid page number means the first page; an invalid ban duration is rejected."""
    made = service.auth.admin.create_user({"email": _email("page")}).user
    headers = {"apikey": api.keys.secret_key}
    for page in ("0", "-1", "x", "%C2%B2", "99999999999", ""):
        response = api.http.get(f"{api.url}/auth/v1/admin/users?page={page}&per_page=2", headers=headers)
        assert response.status_code == 200
        assert int(response.headers["x-total-count"]) >= 1
        assert 'rel="last"' in response.headers["link"]
    with pytest.raises(AuthApiError) as refusal:
        service.auth.admin.update_user_by_id(made.id, {"ban_duration": "soon"})
    assert refusal.value.code == "validation_failed"


def test_a_generated_link_signs_in_once(api: Api, service: Any) -> None:
    """It works by hash, by address and code, or in a browser; a second use fails."""
    email = _email("link")
    for proof in ("hash", "code"):
        link = service.auth.admin.generate_link({"type": "magiclink", "email": email})
        given: Any = {"type": "email", "token_hash": link.properties.hashed_token}
        if proof == "code":
            given = {"type": "email", "email": email.upper(), "token": link.properties.email_otp}
        client = api.client()
        answer = client.auth.verify_otp(given)
        assert answer.user is not None
        assert (answer.user.id, answer.user.email) == (link.user.id, email)
        with pytest.raises(AuthApiError) as spent:
            api.client().auth.verify_otp(given)
        assert (spent.value.status, spent.value.code) == (403, "otp_expired")


def test_links_have_types(api: Api, service: Any) -> None:
    """Sign-up, invitation and recovery links each require the right state of the account."""
    email = _email("kinds")
    signup = service.auth.admin.generate_link({"type": "signup", "email": email, "password": PASSWORD})
    assert signup.properties.verification_type == "signup"
    api.client().auth.verify_otp({"type": "signup", "token_hash": signup.properties.hashed_token})
    assert api.client().auth.sign_in_with_password({"email": email, "password": PASSWORD}).session
    with pytest.raises(AuthApiError) as exists:
        service.auth.admin.generate_link({"type": "invite", "email": email})
    assert exists.value.code == "email_exists"
    options: Any = {"type": "recovery", "email": email, "options": {"redirect_to": "http://127.0.0.1:8080/new"}}
    recovery = service.auth.admin.generate_link(options)
    assert recovery.properties.redirect_to == "http://127.0.0.1:8080/new"
    with pytest.raises(AuthApiError) as error:
        service.auth.admin.generate_link({"type": "recovery", "email": _email("unknown")})
    assert error.value.code == "user_not_found"


def _printed_link(api: Api, email: str) -> str:
    pattern = re.compile(rf"magic link for {re.escape(email)}: (\S+)")
    assert wait_until(lambda: bool(pattern.search(api.console.read_text())), 5)
    return str(pattern.findall(api.console.read_text())[-1])


def test_a_magic_link_is_printed_and_redirects(api: Api) -> None:
    """The API prints the link instead of a mail; a browser that opens it is redirected with a session."""
    email = _email("printed")
    body = {"email": email, "data": {"nick": "P"}}
    api.http.post(f"{api.url}/auth/v1/otp?redirect_to=http://127.0.0.1:8080/", json=body, headers=api.headers())
    followed = api.http.get(_printed_link(api, email))
    assert followed.status_code == 303
    target = urlsplit(followed.headers["location"])
    assert target.netloc == "127.0.0.1:8080"
    session = {name: values[0] for name, values in parse_qs(target.fragment).items()}
    client = api.client()
    user = client.auth.set_session(session["access_token"], session["refresh_token"]).user
    assert user is not None
    assert (user.email, user.user_metadata, session["type"]) == (email, {"nick": "P"}, "magiclink")
    again = parse_qs(urlsplit(api.http.get(_printed_link(api, email)).headers["location"]).fragment)
    assert again["error_code"] == ["otp_expired"]


def test_a_link_needs_an_account_or_permission_to_create_one(api: Api, service: Any) -> None:
    """Without create_user an unknown address gets none; recovery reveals no accounts; an invitation creates one."""
    with pytest.raises(AuthApiError) as refusal:
        api.client().auth.sign_in_with_otp({"email": _email("stranger"), "options": {"should_create_user": False}})
    assert refusal.value.code == "otp_disabled"
    known, unknown = _email("forgot"), _email("never")
    signed_up(api, known)
    for email in (known, unknown):
        api.client().auth.reset_password_for_email(email)
    assert "type=recovery" in _printed_link(api, known)
    assert unknown not in api.console.read_text()
    invited = _email("guest")
    assert service.auth.admin.invite_user_by_email(invited).user.email == invited
    assert "type=invite" in _printed_link(api, invited)


def test_a_link_expires_after_an_hour(api: Api, service: Any) -> None:
    """A newer link also replaces an older one."""
    email = _email("old")
    first = service.auth.admin.generate_link({"type": "magiclink", "email": email}).properties.hashed_token
    second = service.auth.admin.generate_link({"type": "magiclink", "email": email}).properties.hashed_token
    api.query(f"update auth.one_time_tokens set created_at = now() - interval '2 hours' where token_hash = '{second}'")
    for hashed in (first, second):
        with pytest.raises(AuthApiError):
            api.client().auth.verify_otp({"type": "email", "token_hash": hashed})
