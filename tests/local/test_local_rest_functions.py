"""Calls of functions through the data API."""

from __future__ import annotations

from typing import Any

import httpx
import jwt
import pytest

from tests.local.servers import Api, signed_up


def _call(http: httpx.Client, name: str, arguments: Any = None, **headers: str) -> httpx.Response:
    return http.post(f"/rest/v1/rpc/{name}", json={} if arguments is None else arguments, headers=headers)


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("add", {"a": 1}, 11),
        ("add", {"a": 1, "b": 2}, 3),
        ("shout", {"word": 'it\'s "loud"'}, 'IT\'S "LOUD"'),
        ("shout", {"word": None}, None),
        ("no_number", {}, None),
        ("numbers", {"up_to": 3}, [1, 2, 3]),
        ("numbers", {"up_to": 0}, []),
        ("extent", {}, {"low": 1, "high": 4}),
        ("pairs", {}, [{"k": "one", "v": {"n": 1}}, {"k": "two", "v": None}]),
        ("echo", {"turn": {"a": [1, None, "ü"]}}, {"a": [1, None, "ü"]}),
        ("echo", {"turn": "text"}, "text"),
        ("echo", {"turn": None}, None),
        ("sum_all", {"numbers": [1, 2, 3]}, 6),
        ("later", {"n": 4}, {"doubled": 8}),
    ],
)
def test_the_response_has_the_functions_result_type(http: httpx.Client, name: str, arguments: Any, answer: Any) -> None:
    """Scalars, lists, rows, documents, defaults and nulls work; arguments are named."""
    response = _call(http, name, arguments)
    assert (response.status_code, response.json()) == (200, answer)


def test_a_void_function_returns_no_body(http: httpx.Client) -> None:
    """The status is 204."""
    response = _call(http, "nothing")
    assert (response.status_code, response.content) == (204, b"")
    assert http.post("/rest/v1/rpc/nothing").status_code == 204


def test_rows_of_a_function_are_filtered_like_a_table(http: httpx.Client) -> None:
    """Select, embed, filter, order, page and count work on what a function returns; an object for one row."""
    path = "/rest/v1/rpc/books_of?select=id,authors!author_id(name)&id=gt.1&order=id"
    response = http.post(path, json={"author": 1}, headers={"prefer": "count=exact"})
    assert response.json() == [{"id": 2, "authors": {"name": "Ursula"}}]
    assert response.headers["content-range"] == "0-0/1"
    assert http.post("/rest/v1/rpc/first_book?select=id,title").json() == {"id": 1, "title": "The Dispossessed"}
    single = http.post(path, json={"author": 1}, headers={"accept": "application/vnd.pgrst.object+json"})
    assert single.json()["id"] == 2


def test_a_get_call_is_read_only(http: httpx.Client) -> None:
    """Arguments are in the URL; a function that writes is rejected."""
    assert http.get("/rest/v1/rpc/add?a=1&b=5").json() == 6
    assert http.get("/rest/v1/rpc/sum_all?numbers={1,2}").json() == 3
    assert http.get("/rest/v1/rpc/books_of?author=1&id=gt.1&select=id").json() == [{"id": 2}]
    assert http.head("/rest/v1/rpc/add?a=1").status_code == 200
    insert = "/rest/v1/rpc/respond?status=200&headers=[]"
    assert http.get(insert).status_code == 200  # volatile, but it writes nothing
    assert http.put("/rest/v1/rpc/add").status_code == 405


def test_supabase_py_calls_functions(api: Api) -> None:
    """rpc() with and without arguments, by POST and GET, with filters and a count."""
    client = api.client()
    assert client.rpc("add", {"a": 2}).execute().data == 12
    assert client.rpc("add", {"a": 2, "b": 3}, get=True).execute().data == 5
    assert client.rpc("no_number").execute().data is None
    answer = client.rpc("books_of", {"author": 2}, count="exact").eq("kind", "essay").select("id").execute()
    assert (answer.data, answer.count) == ([{"id": 4}], 1)


def test_a_function_can_read_role_user_and_request(api: Api, http: httpx.Client) -> None:
    """Settings hold the role, the claims and the request."""
    response = _call(http, "who", None, **{"user-agent": "test"})
    expected = {"role": "anon", "uid": None, "method": "POST", "path": "/rpc/who", "agent": "test"}
    assert response.json() == expected
    ada = signed_up(api, "ada-who@example.com")
    session = ada.auth.get_session()
    assert session is not None
    answer: Any = ada.rpc("who", {}).execute().data
    claims = jwt.decode(session.access_token, options={"verify_signature": False})
    assert (answer["role"], answer["uid"]) == ("authenticated", claims["sub"])
    assert _call(http, "who", None, apikey=api.keys.secret_key).json()["role"] == "service_role"


def test_a_function_sets_its_status(http: httpx.Client) -> None:
    """SQLSTATE PTxyz is status xyz with the function's message; an invalid status is a 500."""
    refused = _call(http, "refuse", {"code": "PT429"})
    assert refused.status_code == 429
    assert refused.json() == {"code": "PT429", "message": "refused", "details": "because", "hint": "ask again"}
    assert _call(http, "refuse", {"code": "PT402"}).status_code == 402
    assert _call(http, "refuse", {"code": "PT999"}).status_code == 500
    assert _call(http, "refuse", {"code": "PTABC"}).status_code == 500
    quiet = _call(http, "refuse", {"code": "PT304"})
    assert (quiet.status_code, quiet.content) == (304, b"")


def test_a_function_sets_response_headers(http: httpx.Client) -> None:
    """Valid values of response.status and response.headers are used; invalid ones are errors."""
    taken = _call(http, "respond", {"status": "418", "headers": '[{"X-Tea": "green"}]'})
    assert (taken.status_code, taken.headers["x-tea"], taken.json()) == (418, "green", '418[{"X-Tea": "green"}]')
    for status in ("teapot", "99", "200 "):
        response = _call(http, "respond", {"status": status, "headers": "[]"})
        assert (response.status_code, response.json()["code"]) == (500, "PGRST112")
    for headers in ("tea", '{"a": "b"}', '[{"a": 1}]', '["a"]', '[{"a": "b\\r\\nc: d"}]', '[{"a b": "c"}]', "1"):
        response = _call(http, "respond", {"status": "200", "headers": headers})
        assert (response.status_code, response.json()["code"]) == (500, "PGRST111")


def test_functions_that_cannot_be_called_are_rejected(http: httpx.Client) -> None:
    """Unnamed arguments cannot be passed; two matching functions are ambiguous; other functions still work."""
    assert _call(http, "unnamed", {"": 1}).status_code == 400
    assert _call(http, "unnamed").json()["code"] == "PGRST202"
    ambiguous = _call(http, "either", {"x": 1})
    assert (ambiguous.status_code, ambiguous.json()["code"]) == (300, "PGRST203")
    assert _call(http, "add", {"a": 1}).json() == 11


def test_arguments_must_match(http: httpx.Client) -> None:
    """A missing, unknown or mistyped argument and a body that is no object are errors."""
    for named in ({}, {"a": 1, "c": 2}, {"A": 1}):
        response = _call(http, "add", named)
        assert (response.status_code, response.json()["code"]) == (404, "PGRST202")
    assert _call(http, "add", {"a": "x"}).json()["code"] == "22P02"
    assert _call(http, "add", {"a": 1 << 40}).json()["code"] == "22003"
    for unnamed in ([], [1], 1, "a"):
        response = _call(http, "add", unnamed)
        assert (response.status_code, response.json()["code"]) == (404, "PGRST202")
