"""The data API's answers to the cases of tests/local/cases, and its document."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.local.rest_cases import Case, cases, verify
from tests.local.servers import Api
from tests.stack_process import wait_until


@cases("profiles")
def test_a_profile_names_the_schema(http: httpx.Client, case: Case) -> None:
    """A request for a schema that is not exposed is refused; it never reaches another schema."""
    verify(http, case)


@cases("preferences")
def test_a_preference_is_applied_or_refused(http: httpx.Client, case: Case) -> None:
    """The response names the applied preferences; strict clients learn of the others by an error."""
    verify(http, case)


@cases("max_affected")
def test_a_limit_of_changes_holds(http: httpx.Client, api: Api, case: Case) -> None:
    """max-affected under strict handling rolls back what changes more rows."""
    verify(http, case)
    assert api.query("select count(*), count(*) filter (where name = 'x') from public.items") == [(15, 0)]


@cases("methods")
def test_a_path_and_a_method_have_their_answer(http: httpx.Client, case: Case) -> None:
    """Unknown ones are 404 and 405 in JSON; OPTIONS lists the allowed methods."""
    verify(http, case)


@cases("formats")
def test_the_client_chooses_the_format(http: httpx.Client, case: Case) -> None:
    """Types that the data API cannot give are a 406, never another format."""
    verify(http, case)


@cases("columns")
def test_a_select_chooses_the_columns(http: httpx.Client, case: Case) -> None:
    """Names, casts, JSON paths and computed columns work; aggregates are off."""
    verify(http, case)


@cases("filters")
def test_a_filter_chooses_the_rows(http: httpx.Client, case: Case) -> None:
    """Every operator, negated or with any and all, works on texts, lists, ranges, JSON and searches."""
    verify(http, case)


@cases("trees")
def test_filters_form_trees(http: httpx.Client, case: Case) -> None:
    """and, or and not nest; what does not parse is refused with PGRST100."""
    verify(http, case)


@cases("pages")
def test_rows_have_an_order_and_pages(http: httpx.Client, case: Case) -> None:
    """Content-Range says which rows are shown of how many; 206 is a part of a counted whole."""
    verify(http, case)


@cases("embeds")
def test_a_row_embeds_its_relatives(http: httpx.Client, case: Case) -> None:
    """Keys, junctions, views and functions relate tables; a hint chooses among several."""
    verify(http, case)


@cases("spreads")
def test_a_spread_embed_gives_its_columns_to_the_row(http: httpx.Client, case: Case) -> None:
    """It works for one related row; lists of values would be aggregates, which are off."""
    verify(http, case)


@cases("embed_filters")
def test_an_embed_has_filters_orders_and_limits(http: httpx.Client, case: Case) -> None:
    """They choose the embedded rows, or with !inner and null filters the rows themselves."""
    verify(http, case)


@cases("inserts")
def test_an_insert_answers_as_documented(http: httpx.Client, api: Api, case: Case) -> None:
    """Statuses, Location, Content-Range and returned rows are those of PostgREST."""
    verify(http, case)
    assert api.query("select count(*) from public.things") == [(3,)]


@cases("upserts")
def test_an_upsert_answers_as_documented(http: httpx.Client, api: Api, case: Case) -> None:
    """201 says that a row is new, 200 that all were known."""
    verify(http, case)
    assert api.query("select string_agg(name, ',' order by id) from public.things") == [("one,two,three",)]


@cases("updates")
def test_an_update_or_deletion_answers_as_documented(http: httpx.Client, api: Api, case: Case) -> None:
    """Statuses, Content-Range and returned rows are documented; a refused change changes nothing."""
    verify(http, case)
    assert api.query("select count(*), sum(size) from public.things") == [(3, 40)]


@cases("arguments")
def test_arguments_choose_the_function(http: httpx.Client, case: Case) -> None:
    """Names of arguments choose the overload; a function without names takes the whole body."""
    verify(http, case)


@cases("results")
def test_results_are_selected_like_tables(http: httpx.Client, case: Case) -> None:
    """Columns, filters, orders, pages and embeds work on the rows that a function returns."""
    verify(http, case)


@cases("function_responses")
def test_a_function_chooses_its_response(http: httpx.Client, case: Case) -> None:
    """It sets status and headers, or raises the whole response."""
    verify(http, case)


@pytest.mark.parametrize("path", ["", "?apikey=ignored"])
def test_the_root_describes_what_the_caller_may_use(http: httpx.Client, path: str) -> None:
    """It is an OpenAPI document with tables, columns, keys, comments and functions of the caller's role."""
    response = http.get(f"/rest/v1/{path}", headers={"accept": "application/openapi+json"})
    assert response.headers["content-type"] == "application/openapi+json; charset=utf-8"
    found = response.json()
    assert found["swagger"] == "2.0"
    assert found["basePath"] == "/rest/v1/"
    assert found["definitions"]["clients"] == {
        "type": "object",
        "description": "Who pays.",
        "required": ["id", "name"],
        "properties": {
            "id": {"format": "integer", "type": "integer", "description": "Note:\nThis is a Primary Key.<pk/>"},
            "name": {"format": "text", "type": "string", "description": "The name on the bill."},
        },
    }
    assert set(found["paths"]["/items"]) == {"get", "post", "patch", "delete"}
    assert set(found["paths"]["/authors"]) == {"get"}
    assert set(found["paths"]["/rpc/area"]) == {"get", "post"}
    assert set(found["paths"]["/rpc/drop_items"]) == {"post"}
    assert "/closed" not in found["paths"]
    assert "/rpc/hidden" not in found["paths"]


def test_a_rolled_back_write_changes_nothing(http: httpx.Client, api: Api) -> None:
    """tx=rollback answers as if the row were kept, and names itself."""
    response = http.post("/rest/v1/items", json={"id": 99}, headers={"prefer": "tx=rollback"})
    assert (response.status_code, response.headers["preference-applied"]) == (201, "tx=rollback")
    assert api.query("select count(*) from public.items where id = 99") == [(0,)]


@pytest.fixture
def plans(api: Api) -> Iterator[None]:
    """Execution plans are on, as an operator turns them on."""
    api.query("alter role authenticator set pgrst.db_plan_enabled = 'true'; notify pgrst, 'reload schema'")
    yield
    api.query("alter role authenticator reset pgrst.db_plan_enabled; notify pgrst, 'reload schema'")


@pytest.mark.usefixtures("plans")
def test_a_plan_is_shown_where_it_is_on(http: httpx.Client, api: Api) -> None:
    """It is text or JSON, and with analyze the change that it measured is not kept."""
    plan = "application/vnd.pgrst.plan"
    assert wait_until(lambda: http.get("/rest/v1/clients", headers={"accept": plan}).status_code == 200, 5)
    shown = http.get("/rest/v1/clients?id=eq.1", headers={"accept": f'{plan}+json; for="application/json"'})
    assert "Plan" in shown.json()[0]
    assert shown.headers["content-type"] == f"{plan}+json; charset=utf-8"
    text = http.get("/rest/v1/clients?id=eq.1", headers={"accept": f"{plan}+text; options=analyze|verbose"}).text
    assert "actual time" in text
    http.delete("/rest/v1/items?id=eq.1", headers={"accept": f"{plan}; options=analyze"})
    assert api.query("select count(*) from public.items") == [(15,)]
    assert api.query("select count(*) from pg_stat_activity where state like 'idle in transaction%'") == [(0,)]


@pytest.mark.parametrize("header", ["traceparent", "sentry-trace", "x-region", "x-anything-at-all"])
def test_a_page_may_send_any_header(http: httpx.Client, header: str) -> None:
    """A preflight allows the header."""
    asked = {"origin": "http://127.0.0.1:8080", "access-control-request-method": "PATCH"}
    response = http.options("/rest/v1/clients", headers=asked | {"access-control-request-headers": header})
    assert response.status_code == 200
    assert header in response.headers["access-control-allow-headers"]


@pytest.fixture
def pre_request(api: Api) -> Iterator[None]:
    """A function that is called before each request: it refuses one path, and changes the role for another."""
    setting = f'alter role authenticator in database "{api.dbname}" {{}} pgrst.db_pre_request'
    api.query(
        """create function public.guard() returns void language plpgsql as $$
           begin
             if current_setting('request.path') = '/clients' then
               raise sqlstate 'PT418' using message = 'not today';
             elsif current_setting('request.path') = '/rpc/whoami' then
               set local role authenticated;
             end if;
           end $$;
           create function public.whoami() returns text language sql as 'select current_user::text';"""
        f"{setting.format('set')} = 'public.guard'; notify pgrst, 'reload schema'"
    )
    yield
    functions = "drop function public.guard; drop function public.whoami"
    api.query(f"{setting.format('reset')}; {functions}; notify pgrst, 'reload schema'")


@pytest.mark.usefixtures("pre_request")
def test_a_function_is_called_before_each_request(http: httpx.Client) -> None:
    """It can refuse a request, and change the role of the rest of its transaction."""
    assert wait_until(lambda: http.get("/rest/v1/clients").status_code == 418, 5)
    assert http.get("/rest/v1/clients").json()["message"] == "not today"
    assert http.post("/rest/v1/rpc/whoami").json() == "authenticated"
    assert http.get("/rest/v1/items?limit=1").status_code == 200
