"""merge_models(): the changes that a provider's list makes; each test is rolled back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.stack.turns import Database

Row = dict[str, Any]
PROVIDER = "acme"


@pytest.fixture
def catalogue(db: Database) -> Iterator[Database]:
    """A catalogue of this test's own, in which a refresh holds the lease."""
    with db.transaction(force_rollback=True):
        db.execute("delete from private.job_leases where job = 'refresh'")
        db.execute(
            "insert into private.job_leases values ('refresh', gen_random_uuid(), now() + interval '1 minute', 7)"
        )
        yield db


def _listed(*names: str, **changes: Any) -> list[Row]:
    usual = {"capabilities": {"context_window": 10}, "pricing": None, "retires_on": None, "is_addable": True}
    return [{"upstream_id": name, "model_key": name, "model_name": name} | usual | changes for name in names]


def _merge(db: Database, listed: list[Row], **asked: Any) -> Row:
    merge = {"provider": PROVIDER, "node_id": None, "listed": listed, "fence": 7, "usable": [PROVIDER]} | asked
    found = db.execute("select public.merge_models(%s) as outcome", [json.dumps(merge)]).fetchone()
    assert found is not None
    received: Row = found["outcome"]
    return received


def _counts(received: Row) -> tuple[int, int, int, int]:
    return received["added"], received["updated"], received["missing"], received["deactivated"]


def _row(db: Database, upstream_id: str, provider: str = PROVIDER) -> Row:
    query = "select * from public.llm_models where provider = %s and upstream_id = %s"
    found = db.execute(query, [provider, upstream_id]).fetchone()
    assert found is not None
    return found


def _set(db: Database, upstream_id: str, **changes: Any) -> None:
    columns = ", ".join(f"{name} = %s" for name in changes)
    values = [json.dumps(value) if isinstance(value, dict) else value for value in changes.values()]
    query = f"update public.llm_models set {columns} where provider = '{PROVIDER}' and upstream_id = %s"
    db.execute(query, [*values, upstream_id])


def _defaults(db: Database) -> list[str]:
    rows = db.execute("select model_key from public.llm_models where is_default and is_active").fetchall()
    return [row["model_key"] for row in rows]


def test_the_first_run_adds_and_the_second_changes_nothing(catalogue: Database) -> None:
    """The same list again is 0 added and 0 updated; only when the models were seen moves on."""
    received = _merge(catalogue, _listed("a", "b", pricing={"input": 1, "output": 2}))
    assert _counts(received) == (2, 0, 0, 0)
    assert received["changes"] == ['added a "a" (1/2 USD)', 'added b "b" (1/2 USD)']
    assert (_row(catalogue, "a")["source"], _row(catalogue, "a")["is_active"]) == ("sync", True)
    again = _merge(catalogue, _listed("a", "b", pricing={"input": 1.0, "output": 2}))
    assert (_counts(again), again["changes"]) == ((0, 0, 0, 0), [])


def test_what_a_provider_lists_again_is_updated(catalogue: Database) -> None:
    """A new name, price and window are taken over, and the changes name them; fields that are no longer listed stay."""
    _merge(catalogue, _listed("a", pricing={"input": 1, "output": 2}, capabilities={"supports_tools": True}))
    received = _merge(catalogue, _listed("a", model_name="A", pricing={"input": 3, "output": 4}))
    assert _counts(received) == (0, 1, 0, 0)
    assert received["changes"] == [
        'updated a: name "a" is now "A"; price 1/2 USD is now 3/4 USD; capabilities context_window 10'
    ]
    assert _counts(_merge(catalogue, _listed("a", model_name=None))) == (0, 0, 0, 0)
    row = _row(catalogue, "a")
    assert (row["model_name"], row["pricing"]) == ("A", {"input": 3, "output": 4})
    assert row["capabilities"] == {"supports_tools": True, "context_window": 10}


def test_two_good_runs_without_it_deactivate_a_model(catalogue: Database) -> None:
    """The first run marks it, the second deactivates it; when it is listed again, it is active and not missing."""
    _merge(catalogue, _listed("a", "b"))
    assert _counts(_merge(catalogue, _listed("a"))) == (0, 0, 1, 0)
    assert _row(catalogue, "b")["is_active"]
    assert _counts(_merge(catalogue, _listed("a"))) == (0, 0, 0, 1)
    assert not _row(catalogue, "b")["is_active"]
    assert _counts(_merge(catalogue, _listed("a"))) == (0, 0, 0, 0)
    received = _merge(catalogue, _listed("a", "b"))
    assert received["changes"] == ["updated b: active again"]
    assert (_row(catalogue, "b")["is_active"], _row(catalogue, "b")["missing_since"]) == (True, None)


def test_a_model_that_comes_back_in_time_has_lost_nothing(catalogue: Database) -> None:
    """After one run without it, the next run with it restores the row completely."""
    _merge(catalogue, _listed("a", "b"))
    _merge(catalogue, _listed("a"))
    assert _counts(_merge(catalogue, _listed("a", "b"))) == (0, 0, 0, 0)
    assert _counts(_merge(catalogue, _listed("a"))) == (0, 0, 1, 0)


@pytest.mark.parametrize(("kept", "is_believed"), [(0, False), (1, False), (2, True), (4, True)])
def test_half_of_the_models_is_the_least_that_is_believed(catalogue: Database, kept: int, *, is_believed: bool) -> None:
    """A list that is empty or has fewer than half of the active models is refused and changes nothing."""
    names = ["a", "b", "c", "d"]
    _merge(catalogue, _listed(*names))
    if is_believed:
        assert _merge(catalogue, _listed(*names[:kept]))["missing"] == 4 - kept
        return
    with pytest.raises(psycopg.Error, match=r"nothing was changed") as refused, catalogue.transaction():
        _merge(catalogue, _listed(*names[:kept]))
    assert refused.value.sqlstate == "PT422"
    assert all(_row(catalogue, name)["missing_since"] is None for name in names)


def test_what_a_person_changed_stays(catalogue: Database) -> None:
    """A value that differs from the synced one is a manual edit: a name, a price, a capability, an order, a switch."""
    _merge(catalogue, _listed("a", "b", pricing={"input": 1, "output": 2}, capabilities={"supports_tools": True}))
    _set(catalogue, "a", model_name="Ours", pricing={"input": 9, "output": 9}, display_order=3)
    _set(catalogue, "a", capabilities={"supports_tools": False, "supports_json": True})
    _set(catalogue, "b", is_active=False)
    new = {"supports_tools": True, "context_window": 5}
    received = _merge(
        catalogue, _listed("a", "b", model_name="New", pricing={"input": 2, "output": 2}, capabilities=new)
    )
    row = _row(catalogue, "a")
    assert (row["model_name"], row["pricing"], row["display_order"]) == ("Ours", {"input": 9, "output": 9}, 3)
    assert row["capabilities"] == {"supports_tools": False, "supports_json": True, "context_window": 5}
    assert not _row(catalogue, "b")["is_active"]
    assert _counts(received) == (0, 2, 0, 0)


def test_a_manual_row_is_left_alone(catalogue: Database) -> None:
    """A row with source = manual is neither changed nor deactivated by any list."""
    _merge(catalogue, _listed("a", "b"))
    _set(catalogue, "b", source="manual", model_name="Mine")
    assert _counts(_merge(catalogue, _listed("a", "b", model_name=None, pricing={"input": 1, "output": 1}))) == (
        0,
        1,
        0,
        0,
    )
    for _ in range(3):
        _merge(catalogue, _listed("a"))
    row = _row(catalogue, "b")
    assert (row["model_name"], row["is_active"], row["pricing"]) == ("Mine", True, None)


def test_what_a_person_switched_on_again_stays_on(catalogue: Database) -> None:
    """A model that refresh deactivated and an admin activated again stays active."""
    _merge(catalogue, _listed("a", "b"))
    for _ in range(2):
        _merge(catalogue, _listed("a"))
    _set(catalogue, "b", is_active=True)
    for _ in range(3):
        _merge(catalogue, _listed("a"))
    assert _row(catalogue, "b")["is_active"]


def test_the_default_is_succeeded_by_what_replaced_it(catalogue: Database) -> None:
    """The run that deactivates the default makes its successor the default; the old row names the successor."""
    _merge(catalogue, _listed("a", "b", "c"))
    _set(catalogue, "a", is_default=True, replaced_by="c")
    _merge(catalogue, _listed("b", "c"))
    assert _defaults(catalogue) == ["a"]
    received = _merge(catalogue, _listed("b", "c"))
    assert _defaults(catalogue) == ["c"]
    assert received["changes"] == ["deactivated a, replaced by c", "the default is now c instead of a"]
    assert (_row(catalogue, "c")["default_by"], _row(catalogue, "a")["is_default"]) == ("sync", False)


def test_a_default_that_nothing_replaced_is_succeeded_by_the_next_in_order(catalogue: Database) -> None:
    """The next model of a configured provider is the default; conversations find it by replaced_by."""
    catalogue.execute("update public.llm_models set display_order = 1 where provider = 'openai'")
    _merge(catalogue, _listed("a", "b", "c"))
    _set(catalogue, "a", is_default=True)
    _set(catalogue, "c", display_order=2)
    for _ in range(2):
        _merge(catalogue, _listed("b", "c"))
    assert _defaults(catalogue) == ["c"]
    assert _row(catalogue, "a")["replaced_by"] == "c"


def test_the_last_active_model_stays_the_default(catalogue: Database) -> None:
    """The last active model stays the default although it is not listed, and the run reports it."""
    _merge(catalogue, _listed("a"))
    _set(catalogue, "a", is_default=True)
    catalogue.execute("update public.llm_models set is_active = false where not is_default")
    _merge(catalogue, _listed("b", is_addable=False, upstream_id="x") + _listed("a"))
    catalogue.execute("update public.llm_models set last_synced_at = null where provider = 'acme'")
    _merge(catalogue, _listed("x", is_addable=False))
    received = _merge(catalogue, _listed("x", is_addable=False))
    assert received["changes"] == ["a is gone, but stays: it is the default and no other model is active"]
    assert (_defaults(catalogue), received["deactivated"]) == (["a"], 0)


def test_an_heir_that_a_run_appointed_gives_way(catalogue: Database) -> None:
    """A named successor replaces the chosen one; it is removed when the model is listed again."""
    _merge(catalogue, _listed("a", "b", "c"))
    _set(catalogue, "a", is_default=True)
    for _ in range(2):
        _merge(catalogue, _listed("b", "c"))
    appointed = _row(catalogue, "a")["replaced_by"]
    assert appointed == _defaults(catalogue)[0]
    back = _merge(catalogue, _listed("a", "b", "c"))
    assert back["changes"] == ["updated a: active again; replaced by none"]
    _set(catalogue, "a", replaced_by=appointed)
    assert _merge(catalogue, _listed("a", "b", "c"))["changes"] == []  # an admin's choice of any model
    _set(catalogue, "a", replaced_by=None)
    for _ in range(2):
        _set(catalogue, "a", is_default=True)
        _merge(catalogue, _listed("b", "c"))
        named = [{"upstream_id": "a", "retires_on": None, "replaced_by": "c"}]
    assert _row(catalogue, "a")["replaced_by"] == appointed
    _merge(catalogue, _listed("b", "c"), retirements=named)
    assert _row(catalogue, "a")["replaced_by"] == "c"


def test_the_retired_are_the_last_to_succeed(catalogue: Database) -> None:
    """A model that is listed after its retirement day is the successor only if there is no other."""
    catalogue.execute("update public.llm_models set is_active = is_default")
    _merge(catalogue, _listed("a", "b", "c"))
    _set(catalogue, "b", display_order=1, retires_on="2020-01-01")
    _set(catalogue, "c", display_order=2)
    _set(catalogue, "a", is_default=True)
    for _ in range(2):
        _merge(catalogue, _listed("b", "c"))
    assert _defaults(catalogue) == ["c"]


def test_a_price_that_is_no_longer_listed_is_unknown(catalogue: Database) -> None:
    """The second run without a price makes it null until it is listed; prices of admins and of the seed stay."""
    price = {"input": 1, "output": 2}
    _merge(catalogue, _listed("a", "b", pricing=price))
    assert _merge(catalogue, _listed("a", "b"))["changes"] == []
    _merge(catalogue, _listed("a", "b", pricing=price))
    _merge(catalogue, _listed("a", "b"))
    _set(catalogue, "b", pricing={"input": 7, "output": 7})
    received = _merge(catalogue, _listed("a", "b"))
    assert received["changes"] == ["updated a: price 1/2 USD is now unknown"]
    assert (_row(catalogue, "a")["pricing"], _row(catalogue, "b")["pricing"]) == (None, {"input": 7, "output": 7})
    assert _merge(catalogue, _listed("a", "b"))["changes"] == []
    again = _merge(catalogue, _listed("a", "b", pricing=price))
    assert again["changes"] == ["updated a: price unknown is now 1/2 USD"]
    seeded = [row | {"capabilities": {}} for row in _listed("gpt-4o", "gpt-4o-mini")]
    kept = [_merge(catalogue, seeded, provider="openai") for _ in range(4)]
    assert [merged["changes"] for merged in kept[1:]] == [[], [], []]
    assert _row(catalogue, "gpt-4o", "openai")["pricing"] is not None


def test_a_dry_run_tells_the_same_and_changes_nothing(catalogue: Database) -> None:
    """A dry run has the counts and changes of the run that follows."""
    _merge(catalogue, _listed("a", "b"))
    before = catalogue.execute("select * from public.llm_models order by id").fetchall()
    dry = _merge(catalogue, _listed("a", "c", model_name="New"), dry_run=True)
    assert catalogue.execute("select * from public.llm_models order by id").fetchall() == before
    assert _merge(catalogue, _listed("a", "c", model_name="New")) == dry
    assert _counts(dry) == (1, 1, 1, 0)


def test_keys_are_readable_and_unique(catalogue: Database) -> None:
    """A used key gets the provider's name as prefix; a second equal key in a list gets a digest."""
    _merge(catalogue, _listed("gpt-4o"))
    assert _row(catalogue, "gpt-4o")["model_key"] == "gpt-4o-acme"
    catalogue.execute("insert into public.llm_routes (alias, model_key) values ('clever', 'gpt-4o')")
    _merge(catalogue, [*_listed("gpt-4o", "clever"), *_listed("x.y", "x-y", model_key="x-y")])
    keys = [_row(catalogue, name)["model_key"] for name in ("clever", "x-y", "x.y")]
    assert keys[:2] == ["clever-acme", "x-y"]
    assert keys[2].startswith("x-y-")
    _merge(catalogue, [*_listed("gpt-4o", "clever"), *_listed("x-y", "x.y", model_key="z")])
    assert [_row(catalogue, name)["model_key"] for name in ("clever", "x-y", "x.y")] == keys


def test_doubles_count_once_and_snapshots_are_not_added(catalogue: Database) -> None:
    """The first of two equal entries counts; a snapshot is not added but keeps an existing row active."""
    received = _merge(catalogue, [*_listed("a"), *_listed("a", model_name="other"), *_listed("s", is_addable=False)])
    assert (_counts(received), _row(catalogue, "a")["model_name"]) == ((1, 0, 0, 0), "a")
    _merge(catalogue, _listed("a", "s"))
    assert _counts(_merge(catalogue, _listed("a", "s", is_addable=False))) == (0, 0, 0, 0)


def test_retirements_are_noted_and_the_retired_not_added(catalogue: Database) -> None:
    """A retiring model has its day and successor; a retired one is not added."""
    ends = [
        {"upstream_id": "a", "retires_on": "2999-01-01", "replaced_by": "b"},
        {"upstream_id": "old", "retires_on": "2020-01-01", "replaced_by": "b"},
    ]
    _merge(catalogue, _listed("a"))
    received = _merge(catalogue, _listed("a", "old"), retirements=ends)
    assert received["changes"] == ["updated a: retires on 2999-01-01; replaced by b"]
    assert _counts(_merge(catalogue, _listed("a", "old"), retirements=ends)) == (0, 0, 0, 0)


def test_the_seeds_models_stay_as_they_are_called(catalogue: Database) -> None:
    """The five rows keep number, key, name and order; prices and abilities come from the provider."""
    listed = [
        {"upstream_id": "gpt-4o", "model_key": "other", "model_name": "Other", "capabilities": {"context_window": 9}},
        {"upstream_id": "gpt-4o-mini", "model_key": "m", "model_name": "Mini", "capabilities": {}},
    ]
    _merge(catalogue, [row | {"pricing": {"input": 7, "output": 7}} for row in listed], provider="openai")
    row = _row(catalogue, "gpt-4o", "openai")
    assert (row["matcha_llm_id"], row["model_key"], row["model_name"], row["display_order"]) == (
        40,
        "gpt-4o",
        "GPT-4o",
        5,
    )
    assert (row["pricing"], row["capabilities"]["context_window"]) == ({"input": 7, "output": 7}, 9)
    assert _row(catalogue, "gpt-4o-mini", "openai")["model_name"] == "Mini"


@pytest.mark.parametrize("fence", [6, 8, None])
def test_a_run_whose_lease_has_gone_writes_nothing(catalogue: Database, fence: int | None) -> None:
    """A merge with another fence or without one is refused."""
    with pytest.raises(psycopg.Error, match="lease has ended") as refused, catalogue.transaction():
        _merge(catalogue, _listed("a"), fence=fence)
    assert refused.value.sqlstate == "PT409"
    assert catalogue.execute("select 1 from public.llm_models where provider = 'acme'").fetchall() == []


def test_the_platforms_numbers_are_noted_where_no_model_has_them(catalogue: Database) -> None:
    """A row of MatchAI has its number, unless a seed model has it."""
    rows = [*_listed("40", model_key="gpt-4o", model_name="GPT-4o"), *_listed("77", model_key="new", model_name="New")]
    _merge(catalogue, rows, provider="matcha")
    assert [_row(catalogue, name, "matcha")["matcha_llm_id"] for name in ("40", "77")] == [None, 77]
    assert _row(catalogue, "40", "matcha")["identifier"] == "matcha:40"
