"""Reading through the data API, with supabase-py and plain HTTP, from the tables of sample.sql."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.local.servers import Api


def _rows(http: httpx.Client, path: str, **headers: str) -> Any:
    response = http.get(f"/rest/v1/{path}", headers=headers)
    assert response.status_code in {200, 206}, response.text
    return response.json()


def _ids(http: httpx.Client, query: str, table: str = "books") -> list[int]:
    return [row["id"] for row in _rows(http, f"{table}?select=id&order=id&{query}")]


def test_columns_have_aliases_casts_and_json_paths(http: httpx.Client) -> None:
    """Aliases, casts and JSON paths name their columns as in PostgREST."""
    select = "id,called:title,price::text,p:price::int,notes->a->b->1,notes->a->>b,inner:notes->a"
    (row,) = _rows(http, f"books?id=eq.1&select={select}")
    assert row == {
        "id": 1,
        "called": "The Dispossessed",
        "price": "9.50",
        "p": 10,
        "b": "[10, 20]",
        "inner": {"b": [10, 20]},
    }
    assert _rows(http, "books?id=eq.3&select=notes->1")[0] == {"notes": 2}
    assert _rows(http, "books?id=eq.1&select=tags->0,pages->lower")[0] == {"tags": "sf", "lower": None}


def test_a_row_embeds_its_parent(http: httpx.Client) -> None:
    """Many-to-one is an object or null; it is named by table, column or constraint."""
    rows = _rows(http, "books?id=in.(1,4)&order=id&select=id,shelves(label)")
    assert rows == [{"id": 1, "shelves": {"label": "top"}}, {"id": 4, "shelves": None}]
    select = "author_id(name),e:books_edited_by_fkey(name),writer:authors!author_id(name)"
    (row,) = _rows(http, f"books?id=eq.1&select={select}")
    assert row == {"author_id": {"name": "Ursula"}, "e": {"name": "Italo"}, "writer": {"name": "Ursula"}}


def test_a_row_embeds_its_children(http: httpx.Client) -> None:
    """One-to-many is a list with its own filters, order and limit; with a unique key it is one object."""
    select = "name,books!author_id(id,covers(colour))"
    path = f"authors?id=in.(1,3)&order=id&select={select}&books.order=id.desc&books.limit=1"
    assert _rows(http, path) == [
        {"name": "Ursula", "books": [{"id": 2, "covers": {"colour": "white"}}]},
        {"name": "Ada", "books": []},
    ]
    (row,) = _rows(http, "authors?id=eq.1&select=b:books!author_id(id)&b.title=like.*Left*")
    assert row == {"b": [{"id": 2}]}


def test_an_inner_embed_filters_its_parents(http: httpx.Client) -> None:
    """It filters through all levels, rows and count; with empty brackets it only filters."""
    select = "id,books!author_id!inner(id,covers!inner(colour))"
    path = f"/rest/v1/authors?select={select}&books.covers.colour=eq.white"
    response = http.get(path, headers={"prefer": "count=exact"})
    assert response.json() == [{"id": 1, "books": [{"id": 2, "covers": {"colour": "white"}}]}]
    assert response.headers["content-range"] == "0-0/1"
    assert _rows(http, "authors?select=id,books!author_id!inner()&order=id") == [{"id": 1}, {"id": 2}]
    assert _rows(http, "books?select=id,shelves()&shelves.label=eq.top&id=eq.4") == [{"id": 4}]


def test_a_table_embeds_itself_by_column(http: httpx.Client) -> None:
    """The column chooses the direction of a self-reference."""
    (row,) = _rows(http, "folders?id=eq.2&select=name,parent:parent_id(name)")
    assert row == {"name": "leaf", "parent": {"name": "root"}}


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("id=eq.2", [2]),
        ("id=neq.2", [1, 3, 4]),
        ("id=gt.3", [4]),
        ("id=gte.3", [3, 4]),
        ("id=lt.2", [1]),
        ("id=lte.2", [1, 2]),
        ("title=like.The*", [1, 2]),
        ("title=like.the*", []),
        ("title=ilike.the%25", [1, 2]),
        ("title=match.^The", [1, 2]),
        ("title=imatch.^the", [1, 2]),
        ("title=like(any).{*Cities,Six*}", [3, 4]),
        ("title=like(all).{The*,*Darkness}", [2]),
        ("id=eq(any).{1,3}", [1, 3]),
        ("id=in.(1,4)", [1, 4]),
        ("id=in.()", []),
        ('title=in.("Six Memos, \\"unfinished\\"")', [4]),
        ("id=not.in.(1,4)", [2, 3]),
        ("price=is.null", [4]),
        ("price=not.is.null", [1, 2, 3]),
        ("price=is.not_null", [1, 2, 3]),
        ("is_lent=is.true", [1]),
        ("is_lent=is.FALSE", [2]),
        ("is_lent=is.unknown", [3, 4]),
        ("price=isdistinct.7", [1, 2, 4]),
        ("tags=cs.{sf}", [1, 2]),
        ("tags=cd.{sf,utopia,cities}", [1, 2, 3]),
        ("tags=ov.{cities,essay}", [3, 4]),
        ("pages=sl.[300,400)", [2, 3]),
        ("pages=sr.[0,1)", [1, 2, 3]),
        ("pages=nxr.[0,286)", [2, 3]),
        ("pages=nxl.[1,2)", [1, 2, 3]),
        ("pages=adj.[165,200)", [3]),
        ("title=fts(english).city", [3]),
        ("title=plfts.darkness", [2]),
        ("title=phfts(english).left hand", [2]),
        ("title=wfts(english).hand or city", [2, 3]),
        ("notes->a->b->>0=eq.10", [1]),
        ("id=gt.1&id=lt.3", [2]),
        ("or=(id.eq.1, id.eq.3)", [1, 3]),
        ("and=(id.gt.1,or(id.lt.3,title.like.Six*))", [2, 4]),
        ("not.or=(id.eq.1,id.eq.3)", [2, 4]),
        ("or=(id.not.in.(1,2,3),not.and(id.gt.1,id.lt.9))", [1, 4]),
        ('or=(title.eq."Six Memos, \\"unfinished\\"",tags.cs.{cities})', [3, 4]),
    ],
)
def test_every_filter_chooses_its_rows(http: httpx.Client, query: str, ids: list[int]) -> None:
    """Each operator works as in PostgREST's documentation."""
    assert _ids(http, query) == ids


def test_json_paths_filter_and_order(http: httpx.Client) -> None:
    """JSON paths filter and order; containment matches documents."""
    assert _ids(http, "meta->>alive=eq.true", "authors") == [3]
    assert _ids(http, "meta->awards->0->year=eq.1970", "authors") == [1]
    assert _ids(http, 'meta=cs.{"alive": false}', "authors") == [1, 2]
    assert [row["id"] for row in _rows(http, "authors?select=id&order=meta->>nick.desc.nullslast,id.desc")] == [2, 3, 1]


def test_order_limit_and_offset(http: httpx.Client) -> None:
    """Nulls are ordered as requested; a Range header pages too, but limit and offset override it."""
    assert [row["id"] for row in _rows(http, "books?select=id&order=price.asc.nullsfirst")] == [4, 3, 2, 1]
    assert [row["id"] for row in _rows(http, "books?select=id&order=kind,id.desc&limit=2&offset=1")] == [3, 2]
    assert [row["id"] for row in _rows(http, "books?select=id&order=id", range="1-2")] == [2, 3]
    assert [row["id"] for row in _rows(http, "books?select=id&order=id", range="2-")] == [3, 4]
    assert [row["id"] for row in _rows(http, "books?select=id&order=id&limit=1", range="1-2")] == [1]
    assert _rows(http, "books?limit=0") == []


def test_count_exact(http: httpx.Client) -> None:
    """count=exact gives the total beside the page: 206 for a part, 200 for all, 416 past the end, nothing for HEAD."""
    prefer = {"prefer": "count=exact"}
    part = http.get("/rest/v1/books?select=id&limit=3&id=gt.0", headers=prefer)
    assert (part.status_code, part.headers["content-range"]) == (206, "0-2/4")
    whole = http.get("/rest/v1/books?select=id&id=lt.3", headers=prefer)
    assert (whole.status_code, whole.headers["content-range"]) == (200, "0-1/2")
    none = http.get("/rest/v1/books?id=lt.0", headers=prefer)
    assert (none.status_code, none.headers["content-range"]) == (200, "*/0")
    past = http.get("/rest/v1/books?offset=9", headers=prefer)
    assert (past.status_code, past.json()["code"]) == (416, "PGRST103")
    head = http.head("/rest/v1/books", headers=prefer)
    assert (head.status_code, head.content, head.headers["content-range"]) == (200, b"", "0-3/4")
    assert http.get("/rest/v1/books?id=lt.3").headers["content-range"] == "0-1/*"


def test_one_object_or_none(api: Api, http: httpx.Client) -> None:
    """single() requires exactly one row, maybe_single() allows none; nulls can be stripped."""
    client = api.client()
    assert client.table("books").select("id").eq("id", 1).single().execute().data == {"id": 1}
    assert client.table("books").select("id").eq("id", -1).maybe_single().execute() is None
    response = http.get("/rest/v1/books", headers={"accept": "application/vnd.pgrst.object+json"})
    assert (response.status_code, response.json()["code"]) == (406, "PGRST116")
    assert response.json()["details"] == "The result contains 4 rows"
    accept = "application/vnd.pgrst.array+json;nulls=stripped"
    assert http.get("/rest/v1/books?id=eq.4&select=id,price", headers={"accept": accept}).json() == [{"id": 4}]


def test_supabase_py_queries_work(api: Api) -> None:
    """Its syntax of filters, embeds, ranges and counts is accepted."""
    books = api.client().table("books")
    select = "id, title, authors!author_id ( name )"
    answer = books.select(select, count="exact").or_("id.eq.1,id.eq.3").order("id", desc=True).range(0, 0).execute()
    assert answer.data == [{"id": 3, "title": "Invisible Cities", "authors": {"name": "Italo"}}]
    assert answer.count == 2
    found = books.select("id").in_("title", ["Invisible Cities", 'Six Memos, "unfinished"']).not_.is_("price", "null")
    assert found.execute().data == [{"id": 3}]
    assert books.select("id").contains("tags", ["sf", "utopia"]).execute().data == [{"id": 1}]
    assert books.select("id").match({"id": 2, "kind": "novel"}).execute().data == [{"id": 2}]
    assert books.select("id", count="exact", head=True).execute().count == 4
    authors = api.client().table("authors")
    inner = authors.select("id, books!author_id!inner(id)").eq("books.id", 3).order("id", foreign_table="books")
    assert inner.execute().data == [{"id": 2, "books": [{"id": 3}]}]
    assert authors.select("id").filter("meta->>nick", "eq", "It, (Calvino)").execute().data == [{"id": 2}]


def test_a_view_is_read_like_a_table(http: httpx.Client) -> None:
    """A view is read with the rights of the user."""
    assert _ids(http, "id=lt.9", "novels") == [1, 2, 3]


def test_at_most_a_thousand_rows_are_returned(api: Api) -> None:
    """A larger limit has no effect, also for functions, as in PostgREST."""
    rows = api.client().rpc("books_of", {"author": 1}).limit(5000).execute().data
    assert isinstance(rows, list)
    api.query("create table public.many as select generate_series(1, 1001) as n", "postgres")
    api.query("grant select on public.many to anon", "postgres")
    try:
        assert len(api.client().table("many").select("n").limit(5000).execute().data) == 1000
        assert api.client().table("many").select("n", count="exact").limit(1).execute().count == 1001
    finally:
        api.query("drop table public.many", "postgres")
