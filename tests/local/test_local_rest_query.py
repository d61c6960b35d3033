"""The grammar of the query string, as text in and values out."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from local.rest.errors import ApiError
from local.rest.query import Query, parse_query
from local.rest.syntax import OPERATORS, QUERY_FUNCTIONS, Column, Condition, Embed, Field, Group


def _parsed(**parameters: str) -> Query:
    return parse_query(urlencode(parameters))


def _condition(name: str, value: str) -> Condition | Group:
    return parse_query(urlencode({name: value})).at_path("").where[0]


def test_without_a_select_everything_is_selected() -> None:
    """A missing and an empty select mean all columns."""
    assert parse_query("").select == parse_query("select=").select == (Column(Field("*")),)


def test_columns_have_aliases_casts_and_json_paths() -> None:
    """The form is `alias:column->key->>0::type`; each part is optional, spaces around names are ignored."""
    query = _parsed(select='id, n:name,price::text,k:meta->a->>0::int,"a,b"')
    assert query.select == (
        Column(Field("id")),
        Column(Field("name"), alias="n"),
        Column(Field("price"), cast="text"),
        Column(Field("meta", (("->", "a"), ("->>", "0"))), alias="k", cast="int"),
        Column(Field("a,b")),
    )


def test_embeds_nest_and_have_hints() -> None:
    """The form is `alias:table!hint!inner(columns)`; empty brackets select no columns."""
    query = _parsed(select="id,writer:authors!author_id!inner(name,books(id)),shelves!left()")
    inner = Embed("books", None, (), is_inner=False, select=(Column(Field("id")),))
    assert query.select[1] == Embed("authors", "writer", ("author_id",), True, (Column(Field("name")), inner))
    assert query.select[2] == Embed("shelves", None, (), is_inner=False, select=())


@pytest.mark.parametrize("operator", [*OPERATORS, *QUERY_FUNCTIONS])
def test_every_operator_takes_the_rest_of_the_text(operator: str) -> None:
    """Dots, commas, brackets and quotes belong to the value."""
    assert _condition("a", f'{operator}.x.y,(z)"') == Condition(Field("a"), operator, 'x.y,(z)"')
    assert _condition("a", f"not.{operator}.") == Condition(Field("a"), operator, "", is_negated=True)


def test_in_takes_a_list() -> None:
    """Quotes protect commas, brackets and escaped quotes; an empty list is valid."""
    assert _condition("a", 'in.(1,"b,)","c\\"d\\\\",e->f)') == Condition(
        Field("a"), "in", ("1", "b,)", 'c"d\\', "e->f")
    )
    assert _condition("a", "not.in.()") == Condition(Field("a"), "in", (), is_negated=True)


@pytest.mark.parametrize("value", ["null", "NULL", "true", "False", "unknown", "not_null"])
def test_is_accepts_five_words(value: str) -> None:
    """Letters can have any case."""
    assert _condition("a", f"is.{value}") == Condition(Field("a"), "is", value.lower())


def test_quantifiers_and_languages_are_in_brackets() -> None:
    """The forms are `like(any).{…}` and `fts(english).…`."""
    assert _condition("a", "like(any).{a*,b*}") == Condition(Field("a"), "like", "{a*,b*}", option="any")
    assert _condition("a", "fts(english).cat") == Condition(Field("a"), "fts", "cat", option="english")


def test_groups_nest() -> None:
    """`or=(…)` holds filters and groups, negated or not; a value ends at a comma unless quoted or in braces."""
    found = _parsed(**{"not.or": '(a.eq.1, not.and(b.gt.2,c->>d.is.null) ,e.not.in.(1,2),f.cs.{x,y->z},g.eq.",)")'})
    assert found.at_path("").where == [
        Group(
            "or",
            (
                Condition(Field("a"), "eq", "1"),
                Group(
                    "and",
                    (Condition(Field("b"), "gt", "2"), Condition(Field("c", (("->>", "d"),)), "is", "null")),
                    is_negated=True,
                ),
                Condition(Field("e"), "in", ("1", "2"), is_negated=True),
                Condition(Field("f"), "cs", "{x,y->z}"),
                Condition(Field("g"), "eq", ",)"),
            ),
            is_negated=True,
        )
    ]


def test_filters_of_an_embed_are_named_by_its_path() -> None:
    """`books.covers.colour`, `books.order`, `books.or`, `books.not.and` and `books.limit` belong to their embeds."""
    query = parse_query(
        "books.covers.colour=eq.red&books.order=id.desc.nullslast,title&books.limit=3&books.offset=1"
        "&books.or=(a.eq.1)&books.not.and=(a.eq.1)&order=meta->a.asc"
    )
    assert query.at_path("books.covers").where == [Condition(Field("colour"), "eq", "red")]
    books = query.at_path("books")
    assert books.order == [(Field("id"), "desc nulls last"), (Field("title"), "")]
    assert (books.limit, books.offset) == (3, 1)
    assert [(each.joiner, each.is_negated) for each in books.where if isinstance(each, Group)] == [
        ("or", False),
        ("and", True),
    ]
    assert query.at_path("").order == [(Field("meta", (("->", "a"),)), "asc")]


def test_a_function_call_has_arguments_and_filters() -> None:
    """In a GET call a value that is no filter is an argument; the API key is neither."""
    query = parse_query("a=1&b=x.y&c=eq.5&order=c&limit=2&apikey=k&select=c", is_call=True)
    assert query.arguments == {"a": "1", "b": "x.y"}
    assert query.at_path("").where == [Condition(Field("c"), "eq", "5")]
    assert query.at_path("").limit == 2


def test_lists_of_columns() -> None:
    """`columns` and `on_conflict` are lists of names, quoted or not."""
    query = _parsed(columns='"a",b', on_conflict="a, b")
    assert (query.columns, query.on_conflict) == (("a", "b"), ("a", "b"))


@pytest.mark.parametrize(
    "text",
    [
        "select=id,",
        "select=a(",
        "select=a(b",
        "select=a)b",
        "select=,",
        'select="a',
        "select=" + "a(" * 5000,
        "a=5",
        "a=foo.5",
        "a=eq(some).5",
        "a=is(any).null",
        "a=in(any).(1)",
        "a=is.perhaps",
        "a=in.1,2",
        "a=in.(1,2",
        "a=in.(1)2",
        'a=in.("1)',
        "a=not.not.eq.5",
        "a=",
        "=eq.5",
        "or=",
        "or=()",
        "or=(a)",
        "or=(a.eq.1",
        "or=(a.eq.1)b",
        "or=(a.cs.{1)",
        "or=" + "(and" * 5000,
        "and=" + "and(" * 5000,
        "order=",
        "order=a.up",
        "order=a,,b",
        "limit=x",
        "limit=%C2%B2",
        "limit=%D9%A3",
        "limit=" + "9" * 5000,
        "offset=",
        "&".join(["a=eq.1"] * 2000),
    ],
)
def test_invalid_syntax_is_rejected(text: str) -> None:
    """Every invalid query string is a 400 with PostgREST's code, however deep or long."""
    with pytest.raises(ApiError) as refusal:
        parse_query(text)
    assert (refusal.value.status, refusal.value.body["code"]) == (400, "PGRST100")
