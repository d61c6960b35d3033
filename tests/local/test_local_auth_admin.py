"""Auth for whoever holds a service key, and one-time links."""

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
    """The service's client, by either kind of key."""
    return api.client(api.keys.secret_key if request.param == "secret" else api.keys.service_role_key)


@pytest.fixture
def service(api: Api) -> Any:
    """The service's client."""
    return api.client(api.keys.secret_key)


def test_people_are_made_listed_changed_and_removed(api: Api, admin: Any) -> None:
    """The whole life of an account in the admin's hands."""
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


def test_removing_a_person_removes_what_hangs_on_them(api: Api, service: Any) -> None:
    """Foreign keys to auth.users fire; a soft delete keeps the rows and nothing personal."""
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


def test_only_the_service_is_admin(api: Api) -> None:
    """A visitor, a person and nobody are not, each with its code."""
    person = signed_up(api, _email("curious")).auth.get_session()
    assert person is not None
    for token, expected in ((None, 401), (person.access_token, 403), (api.keys.anon_key, 403), ("sb_secret_x", 403)):
        for method, path in (("GET", "users"), ("POST", "users"), ("POST", "generate_link"), ("DELETE", "users/x")):
            url = f"{api.url}/auth/v1/admin/{path}"
            assert api.http.request(method, url, headers=api.headers(token)).status_code == expected
    assert api.http.post(f"{api.url}/auth/v1/invite", json={}, headers=api.headers()).status_code == 401


def test_an_unconfirmed_or_banned_person_stays_outside(api: Api, service: Any) -> None:
    """Until the address is confirmed, and while the ban lasts, for sign-in and refresh."""
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
def test_a_person_who_cannot_be_made(api: Api, body: dict[str, Any]) -> None:
    """Every mistake is a 4xx, and nobody is made."""
    headers = {"apikey": api.keys.secret_key}
    response = api.http.post(f"{api.url}/auth/v1/admin/users", json=body, headers=headers)
    assert response.status_code in {400, 422}, response.text
    assert api.query(f"select count(*) from auth.users where email = '{body.get('email')}'") == [(0,)]


def test_a_page_is_a_number(api: Api, service: Any) -> None:
    """What is none means the first page; a ban that is no duration is refused."""
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
    """By its hash, with the address and code, or followed in a browser; the second time it is worth nothing."""
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


def test_links_are_of_kinds(api: Api, service: Any) -> None:
    """A sign-up with a password, an invitation and a recovery; each for whom it is meant."""
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
    with pytest.raises(AuthApiError) as nobody:
        service.auth.admin.generate_link({"type": "recovery", "email": _email("nobody")})
    assert nobody.value.code == "user_not_found"


def _printed_link(api: Api, email: str) -> str:
    pattern = re.compile(rf"magic link for {re.escape(email)}: (\S+)")
    assert wait_until(lambda: bool(pattern.search(api.console.read_text())), 5)
    return str(pattern.findall(api.console.read_text())[-1])


def test_a_magic_link_is_printed_and_followed(api: Api) -> None:
    """Where a mail would be sent a line is printed; a browser that follows it carries a session back to the page."""
    email = _email("printed")
    options: Any = {"email": email, "options": {"email_redirect_to": "http://127.0.0.1:8080/", "data": {"nick": "P"}}}
    api.client().auth.sign_in_with_otp(options)
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


def test_a_link_is_sent_only_where_it_may_be(api: Api, service: Any) -> None:
    """Without create_user a stranger gets none; a forgotten password tells nobody who exists; an invitation does."""
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


def test_a_link_ends_after_an_hour(api: Api, service: Any) -> None:
    """And an earlier one when a newer one is made."""
    email = _email("old")
    first = service.auth.admin.generate_link({"type": "magiclink", "email": email}).properties.hashed_token
    second = service.auth.admin.generate_link({"type": "magiclink", "email": email}).properties.hashed_token
    api.query(f"update auth.one_time_tokens set created_at = now() - interval '2 hours' where token_hash = '{second}'")
    for hashed in (first, second):
        with pytest.raises(AuthApiError):
            api.client().auth.verify_otp({"type": "email", "token_hash": hashed})
