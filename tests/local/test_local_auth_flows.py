"""Sign-in flows by the real clients: supabase-js and @supabase/ssr under Node, and supabase-py."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from local.environment import ROOT
from supabase import AuthApiError
from tests.local.servers import Api
from tests.stack_process import clean_environ, wait_until

_SCRIPT = Path(__file__).with_name("auth_flows.mjs")
_CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # of RFC 7636, appendix B
_VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def _flow(api: Api, name: str) -> Any:
    environ = {
        "API_URL": api.url,
        "API_KEY": api.keys.publishable_key,
        "SECRET_KEY": api.keys.secret_key,
        "CONSOLE": str(api.console),
    }
    # A browser has WebSockets, which supabase-js looks for; Node 20 has them behind a flag.
    command = ["node", "--no-warnings", "--experimental-websocket", str(_SCRIPT), name]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environ() | environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("password", {"nick": "B", "wrong": "invalid_credentials", "same": True}),
        ("magicLinkWithSsr", {"next": "/home", "fragment": "", "stranger": True, "again": True, "same": True}),
        ("expiredLinkWithSsr", {"code": "otp_expired", "next": "/home"}),
        ("code", {"wrong": "otp_expired", "same": True, "confirmed": True}),
        ("codeWithSsr", {"same": True}),
        ("tokenHashWithSsr", {"prefix": True, "same": True}),
        ("anonymous", {"before": True, "after": False, "same": True}),
        ("refreshWithSsr", {"rotated": True, "cookies": True}),
        ("signOut", {"afterOthers": [True, False], "afterLocal": True, "afterGlobal": False}),
        ("recoveryWithSsr", {"same": True}),
        ("admin", {"role": "editor", "listed": 1, "gone": "user_not_found"}),
    ],
)
def test_a_flow_of_the_javascript_clients(api: Api, name: str, result: Any) -> None:
    """Passwords, links with PKCE, codes, anonymous users, refreshes, sign-outs and recovery work as on Supabase."""
    assert _flow(api, name) == result


def _email(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}@example.com"


def _mail(api: Api, email: str) -> tuple[str, str]:
    pattern = re.compile(rf"magic link for {re.escape(email)}: (\S+) \(code ([0-9]{{6}})\)")
    assert wait_until(lambda: bool(pattern.search(api.console.read_text())), 5)
    link, code = pattern.findall(api.console.read_text())[-1]
    return str(link), str(code)


def _post(api: Api, path: str, body: Any) -> httpx.Response:
    return api.http.post(f"{api.url}/auth/v1/{path}", json=body, headers=api.headers())


def _code_of(api: Api, email: str, challenge: str = _CHALLENGE, method: str = "s256") -> str:
    body = {"email": email, "code_challenge": challenge, "code_challenge_method": method}
    assert _post(api, "otp?redirect_to=http://127.0.0.1:8080/", body).status_code == 200
    target = urlsplit(api.http.get(_mail(api, email)[0]).headers["location"])
    return parse_qs(target.query)["code"][0]


def test_a_link_of_supabase_py_gives_a_code(api: Api) -> None:
    """The client that asked for the link exchanges its code; another client cannot."""
    email, client = _email("py"), api.client()
    client.auth.sign_in_with_otp({"email": email, "options": {"email_redirect_to": "http://127.0.0.1:8080/"}})
    target = urlsplit(api.http.get(_mail(api, email)[0]).headers["location"])
    code = parse_qs(target.query)["code"][0]
    assert target.fragment == ""
    with pytest.raises(AuthApiError) as refusal:
        api.client().auth.exchange_code_for_session({"auth_code": code, "code_verifier": "x" * 50, "redirect_to": ""})
    assert (refusal.value.status, refusal.value.code) == (400, "bad_code_verifier")
    session = client.auth.exchange_code_for_session({"auth_code": code, "code_verifier": "", "redirect_to": ""})
    assert session.user.email == email


def test_the_printed_code_signs_in_once(api: Api) -> None:
    """Six digits and the address open a session; a second use, another address and another type do not."""
    email = _email("six")
    _post(api, "otp", {"email": email})
    proof = {"email": email, "token": _mail(api, email)[1], "type": "email"}
    for wrong in ({"email": _email("other")}, {"type": "email_change"}, {"token": "x"}):
        response = _post(api, "verify", proof | wrong)
        assert (response.status_code, response.json()["error_code"]) == (403, "otp_expired")
    assert _post(api, "verify", proof).json()["user"]["email"] == email
    assert _post(api, "verify", proof).status_code == 403


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"code_challenge": _CHALLENGE}, 400, "validation_failed"),
        ({"code_challenge_method": "s256"}, 400, "validation_failed"),
        ({"code_challenge": "short", "code_challenge_method": "s256"}, 400, "validation_failed"),
        ({"code_challenge": _CHALLENGE, "code_challenge_method": "md5"}, 400, "validation_failed"),
        ({"phone": "+15550100"}, 400, "phone_provider_disabled"),
    ],
)
def test_half_a_challenge_is_refused(api: Api, body: dict[str, str], status: int, code: str) -> None:
    """A challenge needs its method and its form; a text message cannot be sent."""
    response = _post(api, "otp", {"email": _email("half")} | body)
    assert (response.status_code, response.json()["error_code"]) == (status, code)


def test_a_code_ends(api: Api) -> None:
    """It can be exchanged once, within five minutes, with its verifier, hashed or plain."""
    email = _email("once")
    code = _code_of(api, email)
    session = _post(api, "token?grant_type=pkce", {"auth_code": code, "code_verifier": _VERIFIER})
    assert session.json()["user"]["email"] == email
    again = _post(api, "token?grant_type=pkce", {"auth_code": code, "code_verifier": _VERIFIER})
    assert (again.status_code, again.json()["error_code"]) == (404, "flow_state_not_found")
    plain = _code_of(api, email, _VERIFIER, "plain")
    assert _post(api, "token?grant_type=pkce", {"auth_code": plain, "code_verifier": _VERIFIER}).status_code == 200
    late = _code_of(api, email)
    api.query(f"update auth.one_time_tokens set created_at = now() - interval '1 hour' where token_hash = '{late}'")
    expired = _post(api, "token?grant_type=pkce", {"auth_code": late, "code_verifier": _VERIFIER})
    assert (expired.status_code, expired.json()["error_code"]) == (403, "flow_state_expired")
    empty = _post(api, "token?grant_type=pkce", {"auth_code": late, "code_verifier": ""})
    assert (empty.status_code, empty.json()["error_code"]) == (400, "validation_failed")


def test_a_code_is_no_link(api: Api) -> None:
    """The code of a link opens no session by itself."""
    code = _code_of(api, _email("leak"))
    for kind in ("magiclink", "email"):
        assert _post(api, "verify", {"token_hash": code, "type": kind}).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "nowhere", 404, "not_found"),
        ("DELETE", "nowhere", 404, "not_found"),
        ("POST", "sso", 404, "not_found"),
        ("GET", "signup", 405, "bad_method"),
        ("DELETE", "user", 405, "bad_method"),
        ("PATCH", "token", 405, "bad_method"),
        ("GET", "authorize?provider=github", 400, "validation_failed"),
        ("POST", "factors", 401, "no_authorization"),
        ("POST", "token?grant_type=id_token", 400, "validation_failed"),
        ("POST", "verify", 400, "validation_failed"),
        ("POST", "resend", 400, "validation_failed"),
        ("GET", "reauthenticate", 401, "no_authorization"),
    ],
)
def test_what_is_not_served_is_an_error_in_json(api: Api, method: str, path: str, status: int, code: str) -> None:
    """Unknown paths, methods and ways to sign in have a status and an error code."""
    response = api.http.request(method, f"{api.url}/auth/v1/{path}", headers=api.headers())
    assert (response.status_code, response.json()["error_code"]) == (status, code)


def test_a_wrong_method_names_the_right_ones(api: Api) -> None:
    """The Allow header has all methods of the path."""
    response = api.http.delete(f"{api.url}/auth/v1/user", headers=api.headers())
    assert response.headers["allow"] == "GET, HEAD, PUT"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_other_paths_of_the_api_are_not_found(api: Api, method: str) -> None:
    """Storage, Realtime and functions are no part of this API."""
    response = api.http.request(method, f"{api.url}/storage/v1/bucket", headers=api.headers())
    assert (response.status_code, response.json()["error_code"]) == (404, "not_found")


def test_the_settings_name_what_is_on(api: Api) -> None:
    """Addresses and anonymous users are on; phones and other providers are off."""
    settings = api.http.get(f"{api.url}/auth/v1/settings", headers=api.headers()).json()
    assert {name for name, is_on in settings["external"].items() if is_on} == {"email", "anonymous_users"}
    assert settings["mailer_autoconfirm"] is True
