"""The errors of the data API: the right code for invalid requests, never a 500 for hostile ones."""

from __future__ import annotations

import base64
import time
from typing import Any

import httpx
import jwt
import pytest

from tests.local.servers import Api, signed_up


def _token(api: Api, **claims: Any) -> str:
    usual = {"role": "authenticated", "exp": int(time.time()) + 60}
    return jwt.encode(usual | claims, jwt.PyJWK(api.keys.signing_key), "ES256")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("nowhere", 404, "PGRST205"),
        ("books/1", 404, "PGRST125"),
        ("rpc/nowhere", 404, "PGRST202"),
        ("rpc", 404, "PGRST205"),
        ("rpc/", 404, "PGRST205"),
        ("books?select=nothing", 400, "42703"),
        ("books?nothing=eq.1", 400, "42703"),
        ("books?order=nothing", 400, "42703"),
        ("books?select=id,serials(*)", 400, "PGRST200"),
        ("authors?select=id,books(*)", 300, "PGRST201"),
        ("books?authors.name=eq.x", 400, "PGRST108"),
        ("books?select=id::nothing", 400, "42704"),
        ("books?select=id::text) from auth.users --", 400, "PGRST100"),
        ("books?id=eq.x", 400, "22P02"),
        ("books?id=like.1", 404, "42883"),
        ("books?title=match.(", 400, "2201B"),
        ("closed", 401, "42501"),
        ("rpc/hidden", 401, "42501"),
    ],
)
def test_an_invalid_request_has_its_code(http: httpx.Client, path: str, status: int, code: str) -> None:
    """Codes and statuses are those of PostgREST and PostgreSQL."""
    response = http.get(f"/rest/v1/{path}")
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert set(response.json()) == {"code", "message", "details", "hint"}
    assert response.headers["proxy-status"] == f"PostgREST; error={code}"


def test_a_missing_privilege_depends_on_the_role(api: Api, http: httpx.Client) -> None:
    """A visitor gets 401 and may sign in; a signed-in user gets 403."""
    assert http.get("/rest/v1/closed").headers["www-authenticate"] == "Bearer"
    session = signed_up(api, "curious@example.com").auth.get_session()
    assert session is not None
    response = http.get("/rest/v1/closed", headers=api.headers(session.access_token))
    assert (response.status_code, response.json()["code"]) == (403, "42501")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"id": 1, "name": "twice"}', 409, "23505"),
        ('{"id": 100, "name": null}', 400, "23502"),
        ('{"id": 100, "name": "x", "born": "never"}', 400, "22007"),
        ('{"id": 100, "title": "x"}', 400, "PGRST204"),
        ('{"id": 100, "name": "a\\u0000b"}', 400, "22P05"),
        ('{"id": 100, "name": "\\ud800"}', 400, "22P02"),
        ('{"id": NaN, "name": "x"}', 400, "22P02"),
        ('{"\\ud800": 1}', 400, "PGRST204"),
        ("", 400, "PGRST102"),
        ("{", 400, "PGRST102"),
        ("[1]", 400, "PGRST102"),
        ('"x"', 400, "PGRST102"),
        ("\udcff", 400, "PGRST102"),
        ("\x00", 400, "PGRST102"),
        ("[" * 100_000, 400, "PGRST102"),
        ("1" * 10_000, 400, "PGRST102"),
        ('{"id":' * 50_000, 400, "PGRST102"),
    ],
)
def test_an_invalid_body_is_rejected(api: Api, body: str, status: int, code: str) -> None:
    """Violated constraints, unknown columns and invalid JSON have their codes."""
    raw = body.encode("utf-8", "surrogateescape")
    response = api.http.post(f"{api.url}/rest/v1/authors", content=raw, headers={"apikey": api.keys.secret_key})
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_missing_parent_is_a_conflict(api: Api) -> None:
    """A foreign key without a parent row is a 409."""
    headers = {"apikey": api.keys.secret_key}
    response = api.http.post(f"{api.url}/rest/v1/books", json={"title": "x", "author_id": 77}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (409, "23503")
    assert api.http.patch(f"{api.url}/rest/v1/books?id=eq.-1", json=[], headers=headers).status_code == 204


@pytest.mark.parametrize(
    "query",
    [
        "id=eq.%00",
        "title=like.%00",
        "id=in.(%00)",
        "select=%00",
        "%00=eq.1",
        "order=%00",
        "meta->%00=eq.1",
        "notes->%C2%B2=eq.1",
        "notes->99999999999999999999=eq.1",
        "select=notes->---1",
        "select=*::text&order=*",
        "select=a:*",
        "*=is.null",
        "*=eq.1",
        "id=eq.%FF%FE",
        "id=eq.%ED%A0%80",
        "limit=%F0%9D%9F%99",
        "limit=99999999999999999999",
        "limit=999999999999999&offset=999999999999999",
        "select=id%27;drop table books;--",
        'select="id"";x"',
        "id=eq.1;delete from books",
        "title=eq.' or 1=1 --",
        "or=(id.eq.1)) or (1=1",
        "select=pg_sleep(9)",
        "select=count()",
        "select=...authors(*)",
        "select=id,authors!nothing(*)",
        "select=authors!author_id(books!author_id(authors!author_id(books!author_id(authors!author_id(id)))))",
        "columns=x&on_conflict=y",
        "apikey=x",
        "a.b.c.d=eq.1",
        "....=eq.1",
        "not.not.or=(id.eq.1)",
        "=",
        "&&&",
        "%",
        "id=eq.1&" * 900,
        "title=in.(" + "x," * 10_000 + ")",
        "title=fts(nothing).x",
        "title=fts(english).(((",
        "title=like(any).{",
        "tags=cs.{",
        "pages=sl.x",
    ],
)
def test_a_hostile_query_is_at_worst_rejected(http: httpx.Client, query: str) -> None:
    """Every query string gives rows or a 4xx in JSON."""
    response = http.get(f"/rest/v1/books?{query}")
    assert response.status_code < 500, response.text
    assert response.headers["content-type"].startswith("application/json")
    response.json()


@pytest.mark.parametrize(
    "path", ["books%00", "books%2F..%2Fauthors", "%FF", "rpc/%00", "rpc/add%3Fa=1", "a%22b", "bo%256Fks"]
)
def test_a_hostile_path_is_not_found(http: httpx.Client, path: str) -> None:
    """A path is decoded once and names a table, a function or nothing."""
    assert http.get(f"/rest/v1/{path}").status_code == 404


@pytest.mark.parametrize("value", ["5-2", "x", "-", "1-2-3", "99999999999999999999-", "items=0-1"])
def test_a_hostile_range_is_at_worst_rejected(http: httpx.Client, value: str) -> None:
    """An invalid Range is ignored; one that ends before its start is a 416."""
    assert http.get("/rest/v1/books", headers={"range": value}).status_code == (416 if value == "5-2" else 200)


def test_attacks_change_nothing(api: Api) -> None:
    """All tables exist and no connection is left in a transaction."""
    assert api.query("select count(*) from public.books where id < 100") == [(4,)]
    assert api.query("select count(*) from pg_stat_activity where state like 'idle in transaction%'") == [(0,)]


def test_a_request_needs_a_key_of_the_project(api: Api) -> None:
    """A missing or wrong key is a 401; both kinds of key work, as header or in the URL."""
    url = f"{api.url}/rest/v1/books?select=id&id=eq.1"
    assert api.http.get(url).status_code == 401
    for wrong in ("nothing", "sb_publishable_wrong", "sb_secret_wrong", "a.b.c", "ü", f"{api.keys.anon_key}x"):
        assert api.http.get(url, headers=[(b"apikey", wrong.encode())]).status_code == 401
    for right in (api.keys.publishable_key, api.keys.secret_key, api.keys.anon_key, api.keys.service_role_key):
        assert api.http.get(url, headers={"apikey": right}).json() == [{"id": 1}]
        assert api.http.get(url, headers={"apikey": right, "authorization": f"Bearer {right}"}).status_code == 200
    assert api.http.get(f"{url}&apikey={api.keys.publishable_key}").status_code == 200


def test_only_the_projects_valid_tokens_are_accepted(api: Api, http: httpx.Client) -> None:
    """Expired, future, forged, unsigned, truncated and roleless tokens are rejected."""
    now = int(time.time())
    other = jwt.encode({"role": "service_role", "exp": now + 60}, "x" * 32, "HS256")
    unsigned = jwt.encode({"role": "service_role", "exp": now + 60}, "", "none")
    deep = base64.urlsafe_b64encode(b"[" * 20_000).decode()
    torn = _token(api)[:-4]
    confused = jwt.encode({"role": "service_role"}, api.keys.public_key["x"], "HS256")
    for token in (other, unsigned, torn, confused, "a.b.c", "nothing", f"{deep}.e30.x", "é.é.é"):
        headers = [(b"apikey", api.keys.publishable_key.encode()), (b"authorization", f"Bearer {token}".encode())]
        response = http.get("/rest/v1/books", headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "PGRST301"), token[:50]
    for claims in ({"exp": now - 60}, {"nbf": now + 600}):
        response = http.get("/rest/v1/books", headers=api.headers(_token(api, **claims)))
        assert (response.status_code, response.json()["code"]) == (401, "PGRST303")
    assert http.get("/rest/v1/books", headers=api.headers(_token(api, exp=now - 10))).status_code == 200


def test_a_forbidden_role_is_rejected(api: Api, http: httpx.Client) -> None:
    """Claims can name only the roles of the API; a token without a role is a visitor's."""
    assert http.get("/rest/v1/books", headers=api.headers(_token(api, role="unknown"))).status_code == 401
    for role in ("postgres", "supabase_admin", 5, "x; reset role"):
        assert http.get("/rest/v1/books", headers=api.headers(_token(api, role=role))).status_code in {401, 403}
    visitor = http.post("/rest/v1/rpc/who", headers=api.headers(_token(api, role=None)))
    assert visitor.json()["role"] == "anon"


def test_pages_of_every_origin_may_call(http: httpx.Client) -> None:
    """Preflights are answered, and pages may read the headers that clients use."""
    origin = {"origin": "http://127.0.0.1:8080"}
    headers = origin | {"access-control-request-method": "POST", "access-control-request-headers": "apikey,prefer"}
    preflight = http.options("/rest/v1/books", headers=headers)
    assert preflight.status_code == 200
    assert "apikey" in preflight.headers["access-control-allow-headers"]
    response = http.get("/rest/v1/books", headers=origin)
    assert response.headers["access-control-allow-origin"] == "*"
    assert "Content-Range" in response.headers["access-control-expose-headers"]
