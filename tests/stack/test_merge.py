"""What a provider's list changes in the catalogue, as the database merges it; each test is undone."""

from __future__ import annotations

import psycopg
import pytest

from tests.stack.merges import catalogue_row, listed_models, merge_counts, merge_list, set_row
from tests.stack.turns import Database


def test_the_first_run_adds_and_the_second_changes_nothing(catalogue: Database) -> None:
    """The same list again is 0 added and 0 updated; only when the models were seen moves on."""
    received = merge_list(catalogue, listed_models("a", "b", pricing={"input": 1, "output": 2}))
    assert merge_counts(received) == (2, 0, 0, 0)
    assert received["changes"] == ['added a "a" (1/2 USD)', 'added b "b" (1/2 USD)']
    assert (catalogue_row(catalogue, "a")["source"], catalogue_row(catalogue, "a")["is_active"]) == ("sync", True)
    again = merge_list(catalogue, listed_models("a", "b", pricing={"input": 1.0, "output": 2}))
    assert (merge_counts(again), again["changes"]) == ((0, 0, 0, 0), [])


def test_what_a_provider_lists_again_is_updated(catalogue: Database) -> None:
    """A new name, price and window are taken over, and the changes name them; fields that are no longer listed stay."""
    merge_list(catalogue, listed_models("a", pricing={"input": 1, "output": 2}, capabilities={"supports_tools": True}))
    received = merge_list(catalogue, listed_models("a", model_name="A", pricing={"input": 3, "output": 4}))
    assert merge_counts(received) == (0, 1, 0, 0)
    assert received["changes"] == [
        'updated a: name "a" is now "A"; price 1/2 USD is now 3/4 USD; capabilities context_window 10'
    ]
    assert merge_counts(merge_list(catalogue, listed_models("a", model_name=None))) == (0, 0, 0, 0)
    row = catalogue_row(catalogue, "a")
    assert (row["model_name"], row["pricing"]) == ("A", {"input": 3, "output": 4})
    assert row["capabilities"] == {"supports_tools": True, "context_window": 10}


def test_two_good_runs_without_it_deactivate_a_model(catalogue: Database) -> None:
    """The first run marks it, the second deactivates it; when it is listed again, it is active and not missing."""
    merge_list(catalogue, listed_models("a", "b"))
    assert merge_counts(merge_list(catalogue, listed_models("a"))) == (0, 0, 1, 0)
    assert catalogue_row(catalogue, "b")["is_active"]
    assert merge_counts(merge_list(catalogue, listed_models("a"))) == (0, 0, 0, 1)
    assert not catalogue_row(catalogue, "b")["is_active"]
    assert merge_counts(merge_list(catalogue, listed_models("a"))) == (0, 0, 0, 0)
    received = merge_list(catalogue, listed_models("a", "b"))
    assert received["changes"] == ["updated b: active again"]
    assert (catalogue_row(catalogue, "b")["is_active"], catalogue_row(catalogue, "b")["missing_since"]) == (True, None)


def test_a_model_that_comes_back_in_time_has_lost_nothing(catalogue: Database) -> None:
    """After one run without it, the next run with it restores the row completely."""
    merge_list(catalogue, listed_models("a", "b"))
    merge_list(catalogue, listed_models("a"))
    assert merge_counts(merge_list(catalogue, listed_models("a", "b"))) == (0, 0, 0, 0)
    assert merge_counts(merge_list(catalogue, listed_models("a"))) == (0, 0, 1, 0)


@pytest.mark.parametrize(("kept", "is_believed"), [(0, False), (1, False), (2, True), (4, True)])
def test_half_of_the_models_is_the_least_that_is_believed(catalogue: Database, kept: int, *, is_believed: bool) -> None:
    """A list that is empty or has fewer than half of the active models is refused and changes nothing."""
    names = ["a", "b", "c", "d"]
    merge_list(catalogue, listed_models(*names))
    if is_believed:
        assert merge_list(catalogue, listed_models(*names[:kept]))["missing"] == 4 - kept
        return
    with pytest.raises(psycopg.Error, match=r"nothing was changed") as refused, catalogue.transaction():
        merge_list(catalogue, listed_models(*names[:kept]))
    assert refused.value.sqlstate == "PT422"
    assert all(catalogue_row(catalogue, name)["missing_since"] is None for name in names)


def test_what_a_person_changed_stays(catalogue: Database) -> None:
    """A value that differs from the synced one is a manual edit: a name, a price, a capability, an order, a switch."""
    merge_list(
        catalogue, listed_models("a", "b", pricing={"input": 1, "output": 2}, capabilities={"supports_tools": True})
    )
    set_row(catalogue, "a", model_name="Ours", pricing={"input": 9, "output": 9}, display_order=3)
    set_row(catalogue, "a", capabilities={"supports_tools": False, "supports_json": True})
    set_row(catalogue, "b", is_active=False)
    new = {"supports_tools": True, "context_window": 5}
    received = merge_list(
        catalogue, listed_models("a", "b", model_name="New", pricing={"input": 2, "output": 2}, capabilities=new)
    )
    row = catalogue_row(catalogue, "a")
    assert (row["model_name"], row["pricing"], row["display_order"]) == ("Ours", {"input": 9, "output": 9}, 3)
    assert row["capabilities"] == {"supports_tools": False, "supports_json": True, "context_window": 5}
    assert not catalogue_row(catalogue, "b")["is_active"]
    assert merge_counts(received) == (0, 2, 0, 0)


def test_a_manual_row_is_left_alone(catalogue: Database) -> None:
    """A row with source = manual is neither changed nor deactivated by any list."""
    merge_list(catalogue, listed_models("a", "b"))
    set_row(catalogue, "b", source="manual", model_name="Mine")
    assert merge_counts(
        merge_list(catalogue, listed_models("a", "b", model_name=None, pricing={"input": 1, "output": 1}))
    ) == (
        0,
        1,
        0,
        0,
    )
    for _ in range(3):
        merge_list(catalogue, listed_models("a"))
    row = catalogue_row(catalogue, "b")
    assert (row["model_name"], row["is_active"], row["pricing"]) == ("Mine", True, None)


def test_what_a_person_switched_on_again_stays_on(catalogue: Database) -> None:
    """A model that refresh deactivated and an admin activated again stays active."""
    merge_list(catalogue, listed_models("a", "b"))
    for _ in range(2):
        merge_list(catalogue, listed_models("a"))
    set_row(catalogue, "b", is_active=True)
    for _ in range(3):
        merge_list(catalogue, listed_models("a"))
    assert catalogue_row(catalogue, "b")["is_active"]


def test_a_price_that_is_no_longer_listed_is_unknown(catalogue: Database) -> None:
    """The second run without a price makes it null until it is listed; prices of admins and of the seed stay."""
    price = {"input": 1, "output": 2}
    merge_list(catalogue, listed_models("a", "b", pricing=price))
    assert merge_list(catalogue, listed_models("a", "b"))["changes"] == []
    merge_list(catalogue, listed_models("a", "b", pricing=price))
    merge_list(catalogue, listed_models("a", "b"))
    set_row(catalogue, "b", pricing={"input": 7, "output": 7})
    received = merge_list(catalogue, listed_models("a", "b"))
    assert received["changes"] == ["updated a: price 1/2 USD is now unknown"]
    assert (catalogue_row(catalogue, "a")["pricing"], catalogue_row(catalogue, "b")["pricing"]) == (
        None,
        {"input": 7, "output": 7},
    )
    assert merge_list(catalogue, listed_models("a", "b"))["changes"] == []
    again = merge_list(catalogue, listed_models("a", "b", pricing=price))
    assert again["changes"] == ["updated a: price unknown is now 1/2 USD"]
    seeded = [row | {"capabilities": {}} for row in listed_models("gpt-4o", "gpt-4o-mini")]
    kept = [merge_list(catalogue, seeded, provider="openai") for _ in range(4)]
    assert [merged["changes"] for merged in kept[1:]] == [[], [], []]
    assert catalogue_row(catalogue, "gpt-4o", "openai")["pricing"] is not None


def test_a_dry_run_tells_the_same_and_changes_nothing(catalogue: Database) -> None:
    """A dry run has the counts and changes of the run that follows."""
    merge_list(catalogue, listed_models("a", "b"))
    before = catalogue.execute("select * from public.llm_models order by id").fetchall()
    dry = merge_list(catalogue, listed_models("a", "c", model_name="New"), dry_run=True)
    assert catalogue.execute("select * from public.llm_models order by id").fetchall() == before
    assert merge_list(catalogue, listed_models("a", "c", model_name="New")) == dry
    assert merge_counts(dry) == (1, 1, 1, 0)


def test_keys_are_readable_and_unique(catalogue: Database) -> None:
    """A used key gets the provider's name as prefix; a second equal key in a list gets a digest."""
    merge_list(catalogue, listed_models("gpt-4o"))
    assert catalogue_row(catalogue, "gpt-4o")["model_key"] == "gpt-4o-acme"
    catalogue.execute("insert into public.llm_routes (alias, model_key) values ('clever', 'gpt-4o')")
    merge_list(catalogue, [*listed_models("gpt-4o", "clever"), *listed_models("x.y", "x-y", model_key="x-y")])
    keys = [catalogue_row(catalogue, name)["model_key"] for name in ("clever", "x-y", "x.y")]
    assert keys[:2] == ["clever-acme", "x-y"]
    assert keys[2].startswith("x-y-")
    merge_list(catalogue, [*listed_models("gpt-4o", "clever"), *listed_models("x-y", "x.y", model_key="z")])
    assert [catalogue_row(catalogue, name)["model_key"] for name in ("clever", "x-y", "x.y")] == keys


def test_doubles_count_once_and_snapshots_are_not_added(catalogue: Database) -> None:
    """The first of two equal entries counts; a snapshot is not added but keeps an existing row active."""
    received = merge_list(
        catalogue, [*listed_models("a"), *listed_models("a", model_name="other"), *listed_models("s", is_addable=False)]
    )
    assert (merge_counts(received), catalogue_row(catalogue, "a")["model_name"]) == ((1, 0, 0, 0), "a")
    merge_list(catalogue, listed_models("a", "s"))
    assert merge_counts(merge_list(catalogue, listed_models("a", "s", is_addable=False))) == (0, 0, 0, 0)


def test_the_seeds_models_stay_as_they_are_called(catalogue: Database) -> None:
    """The five rows keep number, key, name and order; prices and abilities come from the provider."""
    listed = [
        {"upstream_id": "gpt-4o", "model_key": "other", "model_name": "Other", "capabilities": {"context_window": 9}},
        {"upstream_id": "gpt-4o-mini", "model_key": "m", "model_name": "Mini", "capabilities": {}},
    ]
    merge_list(catalogue, [row | {"pricing": {"input": 7, "output": 7}} for row in listed], provider="openai")
    row = catalogue_row(catalogue, "gpt-4o", "openai")
    assert (row["matcha_llm_id"], row["model_key"], row["model_name"], row["display_order"]) == (
        40,
        "gpt-4o",
        "GPT-4o",
        5,
    )
    assert (row["pricing"], row["capabilities"]["context_window"]) == ({"input": 7, "output": 7}, 9)
    assert catalogue_row(catalogue, "gpt-4o-mini", "openai")["model_name"] == "Mini"


@pytest.mark.parametrize("fence", [6, 8, None])
def test_a_run_whose_lease_has_gone_writes_nothing(catalogue: Database, fence: int | None) -> None:
    """A merge with another fence or without one is refused."""
    with pytest.raises(psycopg.Error, match="lease has ended") as refused, catalogue.transaction():
        merge_list(catalogue, listed_models("a"), fence=fence)
    assert refused.value.sqlstate == "PT409"
    assert catalogue.execute("select 1 from public.llm_models where provider = 'acme'").fetchall() == []


def test_the_platforms_numbers_are_noted_where_no_model_has_them(catalogue: Database) -> None:
    """A row of MatchAI has its number, unless a seed model has it."""
    rows = [
        *listed_models("40", model_key="gpt-4o", model_name="GPT-4o"),
        *listed_models("77", model_key="new", model_name="New"),
    ]
    merge_list(catalogue, rows, provider="matcha")
    assert [catalogue_row(catalogue, name, "matcha")["matcha_llm_id"] for name in ("40", "77")] == [None, 77]
    assert catalogue_row(catalogue, "40", "matcha")["identifier"] == "matcha:40"
