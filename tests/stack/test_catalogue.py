"""refresh and llms over real HTTP, with every provider from the scripted server."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.fakes.providers import Shelf, Upstream, entry
from tests.providers import variables
from tests.stack.conftest import Refresh
from tests.stack.people import Person, Stack, connect, eventually, service, sign_up
from tests.stack.turns import Database

LISTED = ("google", "anthropic", "openai", "huggingface")


def _sync(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in {200, 207, 500}, answer.text
    found: dict[str, Any] = answer.json()["syncResults"]
    return found


def _counts(answer: httpx.Response) -> tuple[int, int, int]:
    sync = _sync(answer)
    return sync["added"], sync["updated"], sync["deactivated"]


def _row(db: Database, identifier: str) -> dict[str, Any]:
    row = db.execute("select * from public.llm_models where identifier = %s", [identifier]).fetchone()
    assert row is not None
    return row


def _active(db: Database) -> set[str]:
    return {row["identifier"] for row in db.execute("select identifier from public.llm_models where is_active")}


def test_the_first_run_adds_and_the_second_changes_nothing(stack: Stack, db: Database, refresh: Refresh) -> None:
    """The same list again is 0 added and 0 updated; only when the models were seen moves on."""
    first = refresh()
    assert (first.status_code, _sync(first)["errors"]) == (200, []), first.text
    assert _sync(first)["added"] == 6  # one Claude and MatchAI's five are new beside the seed
    added = _row(db, "anthropic:claude-opus-4-8")
    assert (added["model_key"], added["model_name"], added["source"]) == ("claude-opus-4-8", "Claude Opus 4.8", "sync")
    assert added["pricing"]["input"] > 0
    assert any(
        words.startswith('anthropic: added claude-opus-4-8 "Claude Opus 4.8"') for words in first.json()["changes"]
    )
    (run,) = service(stack, "GET", f"refresh_runs?id=eq.{first.json()['run_id']}").json()
    assert (run["changes"], run["sync_results"]) == (first.json()["changes"], first.json()["syncResults"])
    second = refresh()
    assert (_counts(second), second.json()["changes"]) == ((0, 0, 0), [])
    assert second.json()["success"] is True


def test_what_changes_is_changed_in_the_run_that_sees_it(db: Database, refresh: Refresh, upstream: Upstream) -> None:
    """A run writes a new name, price and model; a missing model is marked, and the next run deactivates it."""
    upstream.shelves["anthropic"] = Shelf([entry("anthropic", f"claude-{n}", f"Claude {n}") for n in ("a", "b", "c")])
    router = entry("huggingface", "acme/Router-1")
    upstream.shelves["huggingface"] = Shelf([router])
    refresh()
    upstream.shelves["anthropic"] = Shelf(
        [entry("anthropic", "claude-a", "Claude A, renamed"), *(entry("anthropic", f"claude-{n}") for n in ("c", "d"))]
    )
    dearer = router["providers"][0] | {"pricing": {"input": 5, "output": 6}}
    upstream.shelves["huggingface"] = Shelf([router | {"providers": [dearer]}])
    second = refresh()
    assert {"added claude-d", "updated claude-a", "claude-b is missing", "updated router-1"} <= {
        " ".join(words.split(": ", 1)[1].split(":")[0].split()[:n])
        for words in second.json()["changes"]
        for n in (2, 3)
    }
    assert _row(db, "anthropic:claude-a")["model_name"] == "Claude A, renamed"
    assert _row(db, "huggingface:acme/Router-1")["pricing"] == {"input": 5, "output": 6}
    assert _row(db, "anthropic:claude-b")["is_active"]
    third = refresh()
    assert _sync(third)["deactivated"] >= 1
    assert not _row(db, "anthropic:claude-b")["is_active"]
    assert (_counts(refresh()), _sync(third)["added"], _sync(third)["updated"]) == ((0, 0, 0), 0, 0)


@pytest.mark.parametrize("provider", LISTED)
@pytest.mark.parametrize(
    "shelf",
    [
        Shelf(text="oops", status=500),
        Shelf(text="<html>we are down</html>"),
        Shelf(text="[]"),
        Shelf([]),
        Shelf([None, None]),
        Shelf(text='{"models": null, "data": null}'),
        Shelf(text='{"models": [{"name": null}], "data": [{"id": null}]}'),
    ],
    ids=["500", "html", "[]", "empty", "nulls", "null", "nameless"],
)
def test_a_list_that_is_none_loses_nothing(
    db: Database, refresh: Refresh, upstream: Upstream, provider: str, shelf: Shelf
) -> None:
    """The provider is reported by name, the others go on, and nothing of it changes, however often."""
    refresh()
    before = _active(db)
    upstream.shelves[provider] = shelf
    for _ in range(2):
        answer = refresh()
        assert (answer.status_code, answer.json()["partial"]) == (207, True)
        assert [error["provider"] for error in _sync(answer)["errors"]] == [provider]
        assert (_counts(answer), _sync(answer)["failed"]) == ((0, 0, 0), 1)
    assert _active(db) == before
    del upstream.shelves[provider]
    assert _counts(refresh()) == (0, 0, 0)


def test_half_a_list_and_ten_thousand_models_lose_nothing(db: Database, refresh: Refresh, upstream: Upstream) -> None:
    """A list with fewer than half is refused; additions of a huge list are limited; duplicates count once."""
    names = [f"claude-{number}" for number in range(20)]
    upstream.shelves["anthropic"] = Shelf([entry("anthropic", name) for name in names])
    refresh()
    upstream.shelves["anthropic"] = Shelf([entry("anthropic", name) for name in names[:9]])
    (error,) = _sync(refresh())["errors"]
    assert error == {
        "provider": "anthropic",
        "message": "The list has 9 of 20 active models, fewer than half; nothing was changed.",
    }
    crowd = [entry("anthropic", f"claude-x{number}") for number in range(10_000)]
    upstream.shelves["anthropic"] = Shelf([*crowd, *crowd[:5], *(entry("anthropic", name) for name in names)])
    assert _sync(refresh())["added"] == 500
    assert _counts(refresh()) == (0, 0, 0)
    assert {f"anthropic:{name}" for name in names} <= _active(db)


def test_a_dry_run_tells_what_would_happen(db: Database, refresh: Refresh, stack: Stack) -> None:
    """A dry run reports the changes of the run that follows, and changes nothing."""
    before = db.execute("select * from public.llm_models order by id").fetchall()
    dry = refresh(dry_run=True)
    assert db.execute("select * from public.llm_models order by id").fetchall() == before
    (run,) = service(stack, "GET", f"refresh_runs?id=eq.{dry.json()['run_id']}").json()
    assert (run["is_dry_run"], run["changes"]) == (True, dry.json()["changes"])
    real = refresh()
    assert (dry.json()["changes"], _counts(dry)) == (real.json()["changes"], _counts(real))


def test_a_provider_without_a_key_is_none_of_ours(
    db: Database, refresh: Refresh, function: Callable[..., Any], upstream: Upstream
) -> None:
    """It is listed as not configured, is no error, and its rows stay unchanged."""
    url, _ = function("refresh", **(variables(upstream) | {"OPENAI_API_KEY": "", "MATCHA_MISSION_ID": ""}))
    db.execute("update public.llm_models set missing_since = now() where provider = 'openai'")
    answer = refresh(url)
    assert answer.status_code == 200
    step = answer.json()["steps"]["models"]
    assert (step["not_configured"], "openai" in step["sources"]) == (["openai", "matcha"], False)
    assert _row(db, "openai:gpt-4o")["is_active"]


def test_models_without_a_price_are_named(db: Database, refresh: Refresh, upstream: Upstream) -> None:
    """An unknown price is null in the row, and `unpriced` lists the model."""
    upstream.shelves["openai"] = Shelf([entry("openai", name) for name in ("gpt-4o", "gpt-4o-mini", "gpt-9-nonsense")])
    answer = refresh().json()
    assert _row(db, "openai:gpt-9-nonsense")["pricing"] is None
    assert {"gpt-9-nonsense", "claude-3-7-sonnet-matcha"} <= set(answer["unpriced"])
    assert not {"gpt-4o", "claude-opus-4-8"} & set(answer["unpriced"])


def test_of_twenty_at_once_one_works(refresh: Refresh, upstream: Upstream) -> None:
    """During a run the other requests get 409; afterwards the next run starts."""
    upstream.shelves["openai"] = Shelf([entry("openai", "gpt-4o"), entry("openai", "gpt-4o-mini")], is_held=True)
    before = len(upstream.lists_of("openai"))
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(refresh) for _ in range(20)]
        eventually(lambda: sum(answer.done() for answer in answers) == 19)
        assert upstream.until_listed("openai", before + 1)  # it may come after the nineteen refusals
        assert len(upstream.lists_of("openai")) == before + 1
        upstream.release()
        codes = sorted(answer.result().status_code for answer in answers)
    assert codes == [200] + [409] * 19
    del upstream.shelves["openai"]
    assert refresh().status_code == 200


def test_after_one_was_killed_the_next_completes(
    db: Database, refresh: Refresh, function: Callable[..., Any], upstream: Upstream
) -> None:
    """Its lease ends soon, as no process extends it; the next run merges the rest."""
    url, process = function("refresh", **variables(upstream))
    upstream.shelves["openai"] = Shelf([entry("openai", "gpt-4o"), entry("openai", "gpt-4o-mini")], is_held=True)
    before = len(upstream.lists_of("openai"))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(refresh, url)
        assert upstream.until_listed("openai", before + 1)
        process.send_signal(signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            running.result()
    del upstream.shelves["openai"]
    assert refresh().status_code == 409
    left = db.execute("select lease_until - now() as left from private.job_leases where job = 'refresh'").fetchone()
    assert left is not None
    assert left["left"].total_seconds() <= 45
    db.execute("update private.job_leases set lease_until = now() - interval '1 second'")  # those seconds later
    answer = refresh()
    assert (answer.status_code, _sync(answer)["added"]) == (200, 6)


def test_when_the_default_vanishes_conversations_go_on(
    db: Database, refresh: Refresh, upstream: Upstream, alice: Person, chat_url: str
) -> None:
    """The run that removes the default makes its successor the default; its users get `model_replaced`."""
    upstream.shelves["anthropic"] = Shelf([entry("anthropic", name) for name in ("fixed~old", "fixed~new")])
    refresh()
    old, new = (_row(db, f"anthropic:fixed~{which}")["model_key"] for which in ("old", "new"))
    db.execute("update public.llm_models set is_default = true where model_key = %s", [old])
    db.execute("update public.llm_models set display_order = -1 where model_key = %s", [new])
    began = alice.ask({"message": "Hi", "model": old, "stream": False}, chat_url).json()
    assert began["route"]["model"] == "fixed~old"
    upstream.shelves["anthropic"] = Shelf([entry("anthropic", "fixed~new")])
    refresh()
    assert _defaults(db) == [old]
    gone = refresh()
    assert f"anthropic: the default is now {new} instead of {old}" in gone.json()["changes"]
    assert _defaults(db) == [new]
    pinned = began["conversation_id"]
    path = f"llm_conversations?id=eq.{pinned}"
    assert alice.rest("PATCH", path, json={"default_model": old}).status_code == 204
    for body in ({"conversation_id": pinned}, {"model": old}):
        route = alice.ask({"message": "And now?", "stream": False} | body, chat_url).json()["route"]
        assert (route["model"], route["reason"]) == ("fixed~new", "model_replaced")


def _defaults(db: Database) -> list[str]:
    return [row["model_key"] for row in db.execute("select model_key from public.llm_models where is_default")]


def test_what_an_admin_is_changing_is_not_overwritten(
    db: Database, stack: Stack, refresh: Refresh, upstream: Upstream
) -> None:
    """A merge waits for an open edit and keeps its values; it updates the other columns."""
    upstream.shelves["anthropic"] = Shelf([entry("anthropic", name, name) for name in ("claude-e1", "claude-e2")])
    refresh()
    renamed = [entry("anthropic", name, "Renamed") for name in ("claude-e1", "claude-e2")]
    upstream.shelves["anthropic"] = Shelf(renamed)
    with connect(stack) as editor, ThreadPoolExecutor(1) as pool:
        with editor.transaction():
            editor.execute("update public.llm_models set model_name = 'Ours' where model_key = 'claude-e1'")
            running = pool.submit(refresh)
            eventually(lambda: db.execute("select 1 from pg_locks where not granted").fetchone())
        assert running.result().status_code == 200
    names = [_row(db, f"anthropic:{name}")["model_name"] for name in ("claude-e1", "claude-e2")]
    assert names == ["Ours", "Renamed"]


def test_chat_serves_every_model_of_the_menu(
    refresh: Refresh, upstream: Upstream, db: Database, stack: Stack, chat_url: str, llms_url: str
) -> None:
    """After a run that added and removed models, chat answers with each key that GET / lists, with strict_model."""
    for provider in LISTED:
        kept = [entry(provider, f"gemini-{n}" if provider == "google" else f"gpt-{n}") for n in (1, 2)]
        upstream.shelves[provider] = Shelf(kept)
    db.execute(
        """with off as (insert into public.client_nodes (owner_id, name, base_url, is_active)
             values (null, 'off', 'https://x.example', false) returning id)
           insert into public.llm_models (model_key, model_name, provider, upstream_id, node_id)
             select 'off', 'Off', 'client', 'off', off.id from off"""
    )
    for _ in range(3):
        refresh()
    person = sign_up(stack)
    assert _row(db, f"client:{_off_node(db)}:off")["is_active"]

    def menu() -> list[dict[str, Any]]:
        models: list[dict[str, Any]] = httpx.get(llms_url, headers=person.headers).json()["models"]
        return models

    eventually(lambda: {"gemini-1", "gpt-1"} <= {model["model_key"] for model in menu()})
    assert "off" not in {model["model_key"] for model in menu()}
    for model in menu():
        body = {
            "message": "Say yes.",
            "model": model["model_key"],
            "strict_model": True,
            "stream": False,
            "max_tokens": 1,
        }
        answer = person.ask(body, chat_url)
        assert answer.status_code == 200, (model["model_key"], answer.text)
        assert answer.json()["route"]["identifier"] == model["identifier"]
    db.execute("delete from public.client_nodes where id = %s", [_off_node(db)])


def _off_node(db: Database) -> int:
    row = db.execute("select id from public.client_nodes where name = 'off'").fetchone()
    assert row is not None
    number: int = row["id"]
    return number


def test_matchas_models_are_reached_by_number_and_by_key(refresh: Refresh, alice: Person, chat_url: str) -> None:
    """matcha:<model_key> is the model's number; an unknown key gets the default, with its reason."""
    refresh()
    for asked, served in (("matcha:28", "28"), ("matcha:claude-3-7-sonnet", "28"), ("matcha:gpt-4o", "40")):
        route = alice.ask({"message": "Hi", "model": asked, "stream": False}, chat_url).json()["route"]
        assert (route["provider"], route["model"], route["reason"]) == ("matcha", served, "requested")
    lost = alice.ask({"message": "Hi", "model": "matcha:no-such", "stream": False}, chat_url).json()["route"]
    assert lost["reason"] == "model_not_found"
