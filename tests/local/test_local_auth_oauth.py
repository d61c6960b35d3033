"""The OAuth 2.1 server of the local Auth: registration, consent, codes, tokens, revocation, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import secrets
import uuid
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import pytest

from tests.local.servers import Api

CALLBACK = "http://127.0.0.1:3999/callback"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def _auth(api: Api, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
    headers = api.headers(token) if token else {}
    return api.http.request(method, f"{api.url}/auth/v1/{path}", headers=headers, **options)


def _user(api: Api) -> str:
    """The token of a new user."""
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": secrets.token_hex(8)}
    token = api.http.post(f"{api.url}/auth/v1/signup", json=body, headers=api.headers()).json()["access_token"]
    return str(token)


def _register(api: Api, **fields: Any) -> dict[str, Any]:
    made = _auth(api, "POST", "oauth/clients/register", json={"redirect_uris": [CALLBACK]} | fields)
    assert made.status_code == 201, made.text
    client: dict[str, Any] = made.json()
    return client


def _authorize(api: Api, client: dict[str, Any], **fields: str) -> httpx.Response:
    asked = {"client_id": client["client_id"], "redirect_uri": CALLBACK, "response_type": "code", "state": "kept"}
    asked |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    return _auth(api, "GET", "oauth/authorize", params=asked | fields, follow_redirects=False)


def _code(api: Api, client: dict[str, Any], token: str) -> str:
    """The code after this user's consent."""
    location = urlsplit(_authorize(api, client).headers["location"])
    assert location.path.endswith("/oauth/consent")
    path = f"oauth/authorizations/{dict(parse_qsl(location.query))['authorization_id']}"
    found = _auth(api, "GET", path, token).json()
    if "redirect_url" not in found:
        found = _auth(api, "POST", f"{path}/consent", token, json={"action": "approve"}).json()
    answer = dict(parse_qsl(urlsplit(found["redirect_url"]).query))
    assert answer["state"] == "kept"
    return str(answer["code"])


def _token(api: Api, client: dict[str, Any], **fields: str) -> httpx.Response:
    known = {"client_id": client["client_id"], "client_secret": client.get("client_secret", "")}
    return _auth(api, "POST", "oauth/token", data=known | fields)


def _by_code(api: Api, client: dict[str, Any], code: str, **fields: str) -> httpx.Response:
    given = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "redirect_uri": CALLBACK}
    return _token(api, client, **(given | fields))


@pytest.mark.parametrize("method", ["none", "client_secret_post", "client_secret_basic"])
def test_an_app_gets_and_renews_the_users_tokens(api: Api, method: str) -> None:
    """The token has the app's id; the refresh token is the app's alone, and works until the revocation."""
    user, client = _user(api), _register(api, token_endpoint_auth_method=method)
    assert ("client_secret" in client) == (method != "none")
    session = _by_code(api, client, _code(api, client, user)).json()
    assert set(session) == {"access_token", "token_type", "expires_in", "refresh_token"}
    claims = jwt.decode(session["access_token"], options={"verify_signature": False})
    assert (claims["client_id"], claims["aud"]) == (client["client_id"], "authenticated")
    own = api.http.post(
        f"{api.url}/auth/v1/token?grant_type=refresh_token",
        json={"refresh_token": session["refresh_token"]},
        headers=api.headers(),
    )
    assert own.status_code == 400
    session = _by_code(api, client, _code(api, client, user)).json()
    renewed = _token(api, client, grant_type="refresh_token", refresh_token=session["refresh_token"]).json()
    assert jwt.decode(renewed["access_token"], options={"verify_signature": False})["client_id"] == client["client_id"]
    assert len(_auth(api, "GET", "user/oauth/grants", user).json()) == 1
    gone = _auth(api, "DELETE", "user/oauth/grants", user, params={"client_id": client["client_id"]})
    assert gone.status_code == 204
    refused = _token(api, client, grant_type="refresh_token", refresh_token=renewed["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "fields",
    [
        {"redirect_uris": []},
        {"redirect_uris": "https://a.example"},
        {"redirect_uris": ["http://evil.example/callback"]},
        {"redirect_uris": ["javascript:alert(1)"]},
        {"redirect_uris": [f"{CALLBACK}#x"]},
        {"redirect_uris": [f"{CALLBACK}#"]},
        {"redirect_uris": ["https://["]},
        {"redirect_uris": ["http://localhost:99999/"]},
        {"redirect_uris": ["https://a.example/ b"]},
        {"redirect_uris": ["https://a.example\r\n/"]},
        {"redirect_uris": ["https://bank.example:x@evil.example/"]},
        {"redirect_uris": ["https://evil.example\\.bank.example/"]},
        {"redirect_uris": [5]},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"grant_types": ["client_credentials"]},
        {"grant_types": "refresh_token"},
    ],
)
def test_a_wrong_registration_is_refused(api: Api, fields: dict[str, Any]) -> None:
    """Addresses that are not https or loopback, and methods that the server lacks, are 400."""
    refused = _auth(api, "POST", "oauth/clients/register", json={"redirect_uris": [CALLBACK]} | fields)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "validation_failed")


@pytest.mark.parametrize(
    "fields",
    [
        {"client_id": str(uuid.UUID(int=0))},
        {"client_id": "unknown"},
        {"redirect_uri": "https://evil.example/callback"},
        {"response_type": "token"},
        {"code_challenge": "short"},
        {"code_challenge": "", "code_challenge_method": ""},
    ],
)
def test_a_wrong_authorization_does_not_redirect(api: Api, fields: dict[str, str]) -> None:
    """An unknown app or address, and a request without PKCE, are 400."""
    assert _authorize(api, _register(api), **fields).status_code == 400


def test_a_code_is_for_one_app_one_verifier_and_one_time(api: Api) -> None:
    """Another app, verifier, address or secret gets no token; a used code gives no second one."""
    user, client, other = _user(api), _register(api), _register(api)
    assert _by_code(api, other, _code(api, client, user)).json()["error"] == "invalid_grant"
    for fields in ({"code_verifier": "w" * 64}, {"redirect_uri": "https://evil.example"}, {"resource": "https://x.y"}):
        assert _by_code(api, client, _code(api, client, user), **fields).json()["error"] == "invalid_grant"
    wrong = _by_code(api, client, _code(api, client, user), client_secret="wrong")
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    code = _code(api, client, user)
    assert _by_code(api, client, code).status_code == 200
    assert _by_code(api, client, code).json()["error"] == "invalid_grant"
    assert _token(api, client, grant_type="password").json()["error"] == "unsupported_grant_type"


def test_a_request_for_consent_belongs_to_its_first_user(api: Api) -> None:
    """Another user neither sees nor decides it; it is decided once, and an unknown action is refused."""
    user, other, client = _user(api), _user(api), _register(api, client_name="Helper")
    location = urlsplit(_authorize(api, client).headers["location"])
    path = f"oauth/authorizations/{dict(parse_qsl(location.query))['authorization_id']}"
    shown = _auth(api, "GET", path, user).json()
    assert (shown["client"]["name"], shown["redirect_uri"], shown["scope"]) == ("Helper", CALLBACK, "email")
    assert _auth(api, "GET", path, other).status_code == 404
    assert _auth(api, "POST", f"{path}/consent", other, json={"action": "approve"}).status_code == 404
    assert _auth(api, "POST", f"{path}/consent", user, json={"action": "maybe"}).status_code == 400
    denied = _auth(api, "POST", f"{path}/consent", user, json={"action": "deny"}).json()
    assert "error=access_denied" in denied["redirect_url"]
    assert _auth(api, "POST", f"{path}/consent", user, json={"action": "approve"}).status_code == 404
    assert _auth(api, "GET", "oauth/authorizations/unknown", user).status_code == 404


def test_an_app_does_not_change_the_account(api: Api) -> None:
    """Its token reads the user and ends its own session; it changes no password and consents to no app."""
    user, client = _user(api), _register(api)
    app = _by_code(api, client, _code(api, client, user)).json()["access_token"]
    location = urlsplit(_authorize(api, client, scope="email phone").headers["location"])
    asked = f"oauth/authorizations/{dict(parse_qsl(location.query))['authorization_id']}"
    assert _auth(api, "GET", "user", app).status_code == 200
    refused = [
        _auth(api, "PUT", "user", app, json={"password": secrets.token_hex(8)}),
        _auth(api, "PUT", "user", app, json={"email": f"{uuid.uuid4().hex}@example.com"}),
        _auth(api, "GET", "reauthenticate", app),
        _auth(api, "POST", "factors", app, json={}),
        _auth(api, "GET", asked, app),
        _auth(api, "POST", f"{asked}/consent", app, json={"action": "approve"}),
        _auth(api, "GET", "user/oauth/grants", app),
        _auth(api, "DELETE", "user/oauth/grants", app, params={"client_id": client["client_id"]}),
        _auth(api, "POST", "logout", app),
    ]
    assert {(each.status_code, each.json()["error_code"]) for each in refused} == {(403, "not_authorized")}
    assert _auth(api, "POST", "logout", app, params={"scope": "local"}).status_code == 204
    assert _auth(api, "GET", "user", user).status_code == 200


def test_discovery_is_at_every_path_where_clients_look(api: Api) -> None:
    """Each well-known path has the same document, whose issuer is that of the tokens."""
    paths = ("/.well-known/{0}/auth/v1", "/auth/v1/.well-known/{0}")
    names = ("oauth-authorization-server", "openid-configuration")
    found = [api.http.get(api.url + path.format(name)).json() for path in paths for name in names]
    assert all(each == found[0] for each in found)
    assert found[0]["issuer"] == f"{api.url}/auth/v1"
    assert "S256" in found[0]["code_challenge_methods_supported"]
