"""Writes through the data API: what is stored, what is returned, and who may write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from postgrest.exceptions import APIError

from tests.local.servers import Api, signed_up


@pytest.fixture
def service(api: Api) -> Iterator[Any]:
    """The service's client; rows that a test adds to books and serials are deleted afterwards."""
    yield api.client(api.keys.secret_key)
    api.query("delete from public.books where id > 99")
    api.query("delete from public.serials")
    api.query("delete from public.authors where id > 99")


def _post(api: Api, path: str, body: str, **headers: str) -> httpx.Response:
    chosen = api.headers(prefer="return=representation") | {"apikey": api.keys.secret_key} | headers
    return api.http.post(f"{api.url}/rest/v1/{path}", content=body, headers=chosen)


def test_an_insert_returns_the_selected_columns(service: Any) -> None:
    """It returns all columns with defaults, chosen columns or embedded rows."""
    (row,) = service.table("books").insert({"title": "Left", "author_id": 1}).execute().data
    assert (row["title"], row["tags"], row["kind"], row["price"]) == ("Left", [], "novel", None)
    select = (
        service.table("books").insert({"title": "Right", "author_id": 2}).select("name:title,authors!author_id(name)")
    )
    assert select.execute().data == [{"name": "Right", "authors": {"name": "Italo"}}]


def test_minimal_returns_no_body(api: Api, service: Any) -> None:
    """The status is 201, and the row is stored."""
    assert service.table("serials").insert({"word": "quiet"}, returning="minimal").execute().data in ([], "", None)
    response = _post(api, "serials", '{"word": "quiet"}', prefer="return=minimal")
    assert (response.status_code, response.content) == (201, b"")
    assert api.query("select count(*) from public.serials where word = 'quiet'") == [(2,)]


@pytest.mark.usefixtures("service")
def test_numbers_keep_every_digit(api: Api) -> None:
    """This holds alone, in a list, with defaults, in an update and as an argument."""
    digits = "0.12345678901234567890123456789"
    body = f'{{"id": 100, "title": "t", "price": {digits}}}'
    assert digits in _post(api, "books", body).text
    assert (
        digits
        in _post(api, "books", f"[{body.replace('100', '101')}]", prefer="return=representation,missing=default").text
    )
    assert (
        digits
        in api.http.patch(
            f"{api.url}/rest/v1/books?id=eq.100",
            content=f'{{"price": {digits}1}}',
            headers={"apikey": api.keys.secret_key, "prefer": "return=representation"},
        ).text
    )
    assert digits in _post(api, "rpc/echo", f'{{"turn": {{"n": {digits}}}}}').text


def test_many_rows_with_different_keys(service: Any) -> None:
    """Missing keys are null, or the column's default on request."""
    rows = [{"title": "a", "kind": "poem"}, {"title": "b", "price": 3}]
    with pytest.raises(APIError) as refusal:
        service.table("books").insert(rows).execute()
    assert refusal.value.code == "23502"  # kind may not be null
    made = service.table("books").insert(rows, default_to_null=False).execute().data
    assert [(row["title"], row["kind"], row["price"]) for row in made] == [("a", "poem", None), ("b", "novel", 3)]


def test_rows_with_different_keys_need_a_column_list(api: Api) -> None:
    """Without a list of columns, all rows must have the same keys."""
    response = _post(api, "books", '[{"title": "a"}, {"kind": "poem"}]')
    assert (response.status_code, response.json()["code"]) == (400, "PGRST102")


@pytest.mark.usefixtures("service")
def test_an_empty_list_inserts_nothing(api: Api) -> None:
    """This holds for generated columns too; an empty object is a row of defaults."""
    response = _post(api, "serials", "[]")
    assert (response.status_code, response.json()) == (201, [])
    assert len(_post(api, "serials", "{}").json()) == 1


def test_an_upsert_replaces_or_ignores(api: Api, service: Any) -> None:
    """It uses the primary key or a named one; ignored rows are not returned."""
    author = {"id": 100, "name": "Anon", "meta": {"v": 1}}
    authors = service.table("authors")
    assert authors.upsert(author).execute().data[0]["meta"] == {"v": 1}
    assert authors.upsert(author | {"meta": {"v": 2}}).execute().data[0]["meta"] == {"v": 2}
    renamed = authors.upsert({"id": 101, "name": "Anon", "born": "2000-01-01"}, on_conflict="name").execute().data
    assert (renamed[0]["id"], renamed[0]["meta"]) == (101, {"v": 2})
    assert authors.upsert({"id": 101, "name": "Other"}, ignore_duplicates=True).execute().data == []
    assert api.query("select id, name from public.authors where id > 99") == [(101, "Anon")]


def test_an_update_changes_the_matching_rows(service: Any) -> None:
    """The changed rows are returned, also when they no longer match the filter."""
    service.table("books").insert([{"id": 100, "title": "x"}, {"id": 101, "title": "x"}]).execute()
    changed = service.table("books").update({"title": "y", "notes": {"n": None}}).eq("title", "x").gt("id", 100)
    assert [(row["id"], row["notes"]) for row in changed.execute().data] == [(101, {"n": None})]
    assert service.table("books").update({}).eq("id", 100).execute().data == []
    counted = service.table("books").update({"title": "z"}, count="exact").gte("id", 100).execute()
    assert counted.count == 2


def test_a_delete_removes_the_matching_rows(api: Api, service: Any) -> None:
    """The deleted rows are returned."""
    service.table("books").insert([{"id": 100, "title": "x"}, {"id": 101, "title": "x"}]).execute()
    assert [row["id"] for row in service.table("books").delete().eq("id", 100).execute().data] == [100]
    assert api.query("select id from public.books where id > 99") == [(101,)]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_an_update_or_delete_needs_a_filter(api: Api, method: str) -> None:
    """Without a filter it is rejected, as with Supabase's safeupdate."""
    headers = {"apikey": api.keys.secret_key}
    response = api.http.request(method, f"{api.url}/rest/v1/books", content='{"title": "x"}', headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "21000")


def test_single_rejects_a_change_of_two_rows(api: Api, service: Any) -> None:
    """single() on a change of two rows changes none."""
    service.table("books").insert([{"id": 100, "title": "x"}, {"id": 101, "title": "x"}]).execute()
    headers = {
        "apikey": api.keys.secret_key,
        "prefer": "return=representation",
        "accept": "application/vnd.pgrst.object+json",
    }
    url = f"{api.url}/rest/v1/books?title=eq.x"
    response = api.http.patch(url, json={"title": "y"}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (406, "PGRST116")
    assert api.query("select title from public.books where id > 99") == [("x",), ("x",)]


def _line(client: Any, line: str) -> Any:
    return client.table("diary").insert({"line": line}).select("id,line").execute().data


def test_users_see_and_change_only_their_own_rows(api: Api) -> None:
    """Row security holds for two users, a visitor and the service."""
    ada, eve = signed_up(api, "ada-diary@example.com"), signed_up(api, "eve-diary@example.com")
    (written,) = _line(ada, "dear diary")
    assert eve.table("diary").select("id,line").execute().data == []
    assert eve.table("diary").update({"line": "!"}, returning="minimal").eq("id", written["id"]).execute().data in (
        [],
        "",
    )
    assert eve.table("diary").delete().eq("id", written["id"]).select("id").execute().data == []
    assert ada.table("diary").select("line").execute().data == [{"line": "dear diary"}]
    everything = api.client(api.keys.secret_key).table("diary").select("line,secret").eq("id", written["id"])
    assert everything.execute().data == [{"line": "dear diary", "secret": "hidden"}]
    with pytest.raises(APIError) as refusal:
        api.client().table("diary").select("id").execute()
    assert refusal.value.code == "42501"


def test_column_privileges_hold_for_returned_rows(api: Api) -> None:
    """A user with rights on some columns gets those back, also from an update; selecting all is rejected."""
    noa = signed_up(api, "noa-diary@example.com")
    (written,) = _line(noa, "mine")
    changed = noa.table("diary").update({"line": "still mine"}).eq("id", written["id"]).select("line")
    assert changed.execute().data == [{"line": "still mine"}]
    with pytest.raises(APIError) as refusal:
        noa.table("diary").insert({"line": "all"}).execute()
    assert refusal.value.code == "42501"
    with pytest.raises(APIError):
        noa.table("diary").update({"secret": "shown"}).eq("id", written["id"]).select("id").execute()
