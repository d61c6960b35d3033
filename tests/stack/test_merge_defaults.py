"""Which model succeeds a default that a provider's list takes away; each test is undone."""

from __future__ import annotations

import uuid

from tests.stack.merges import catalogue_row, default_keys, listed_models, merge_counts, merge_list, set_row
from tests.stack.people import Stack, service
from tests.stack.turns import Database


def test_the_default_is_succeeded_by_what_replaced_it(catalogue: Database) -> None:
    """The run that deactivates the default makes its successor the default; the old row names the successor."""
    merge_list(catalogue, listed_models("a", "b", "c"))
    set_row(catalogue, "a", is_default=True, replaced_by="c")
    merge_list(catalogue, listed_models("b", "c"))
    assert default_keys(catalogue) == ["a"]
    received = merge_list(catalogue, listed_models("b", "c"))
    assert default_keys(catalogue) == ["c"]
    assert received["changes"] == ["deactivated a, replaced by c", "the default is now c instead of a"]
    assert (catalogue_row(catalogue, "c")["default_by"], catalogue_row(catalogue, "a")["is_default"]) == ("sync", False)


def test_a_default_that_nothing_replaced_is_succeeded_by_the_next_in_order(catalogue: Database) -> None:
    """The next model of a configured provider is the default; conversations find it by replaced_by."""
    catalogue.execute("update public.llm_models set display_order = 1 where provider = 'openai'")
    merge_list(catalogue, listed_models("a", "b", "c"))
    set_row(catalogue, "a", is_default=True)
    set_row(catalogue, "c", display_order=2)
    for _ in range(2):
        merge_list(catalogue, listed_models("b", "c"))
    assert default_keys(catalogue) == ["c"]
    assert catalogue_row(catalogue, "a")["replaced_by"] == "c"


def test_the_last_active_model_stays_the_default(catalogue: Database) -> None:
    """The last active model stays the default although it is not listed, and the run reports it."""
    merge_list(catalogue, listed_models("a"))
    set_row(catalogue, "a", is_default=True)
    catalogue.execute("update public.llm_models set is_active = false where not is_default")
    merge_list(catalogue, listed_models("b", is_addable=False, upstream_id="x") + listed_models("a"))
    catalogue.execute("update public.llm_models set last_synced_at = null where provider = 'acme'")
    merge_list(catalogue, listed_models("x", is_addable=False))
    received = merge_list(catalogue, listed_models("x", is_addable=False))
    assert received["changes"] == ["a is gone, but stays: it is the default and no other model is active"]
    assert (default_keys(catalogue), received["deactivated"]) == (["a"], 0)


def test_an_heir_that_a_run_appointed_gives_way(catalogue: Database) -> None:
    """A named successor replaces the chosen one; it is removed when the model is listed again."""
    merge_list(catalogue, listed_models("a", "b", "c"))
    set_row(catalogue, "a", is_default=True)
    for _ in range(2):
        merge_list(catalogue, listed_models("b", "c"))
    appointed = catalogue_row(catalogue, "a")["replaced_by"]
    assert appointed == default_keys(catalogue)[0]
    back = merge_list(catalogue, listed_models("a", "b", "c"))
    assert back["changes"] == ["updated a: active again; replaced by none"]
    set_row(catalogue, "a", replaced_by=appointed)
    assert merge_list(catalogue, listed_models("a", "b", "c"))["changes"] == []  # an admin's choice of any model
    set_row(catalogue, "a", replaced_by=None)
    for _ in range(2):
        set_row(catalogue, "a", is_default=True)
        merge_list(catalogue, listed_models("b", "c"))
        named = [{"upstream_id": "a", "retires_on": None, "replaced_by": "c"}]
    assert catalogue_row(catalogue, "a")["replaced_by"] == appointed
    merge_list(catalogue, listed_models("b", "c"), retirements=named)
    assert catalogue_row(catalogue, "a")["replaced_by"] == "c"


def test_the_retired_are_the_last_to_succeed(catalogue: Database) -> None:
    """A model that is listed after its retirement day is the successor only if there is no other."""
    catalogue.execute("update public.llm_models set is_active = is_default")
    merge_list(catalogue, listed_models("a", "b", "c"))
    set_row(catalogue, "b", display_order=1, retires_on="2020-01-01")
    set_row(catalogue, "c", display_order=2)
    set_row(catalogue, "a", is_default=True)
    for _ in range(2):
        merge_list(catalogue, listed_models("b", "c"))
    assert default_keys(catalogue) == ["c"]


def test_retirements_are_noted_and_the_retired_not_added(catalogue: Database) -> None:
    """A retiring model has its day and successor; a retired one is not added."""
    ends = [
        {"upstream_id": "a", "retires_on": "2999-01-01", "replaced_by": "b"},
        {"upstream_id": "old", "retires_on": "2020-01-01", "replaced_by": "b"},
    ]
    merge_list(catalogue, listed_models("a"))
    received = merge_list(catalogue, listed_models("a", "old"), retirements=ends)
    assert received["changes"] == ["updated a: retires on 2999-01-01; replaced by b"]
    assert merge_counts(merge_list(catalogue, listed_models("a", "old"), retirements=ends)) == (0, 0, 0, 0)


def test_a_catalogue_that_was_left_without_a_default_gets_one(stack: Stack, db: Database) -> None:
    """If there is no default, the next successful list sets one, and the changes name it."""
    before = db.execute("select id, default_by from public.llm_models where is_default").fetchone()
    assert before is not None
    db.execute("update public.llm_models set is_default = false where is_default")
    lease = {"job": "refresh", "holder_id": str(uuid.uuid4()), "ttl_seconds": 30}
    fence = service(stack, "POST", "rpc/take_lease", json=lease).json()
    name = f"healing-{uuid.uuid4().hex[:6]}"
    listed = [{"upstream_id": name, "model_key": name, "model_name": name, "is_addable": True}]
    merge = {"provider": name, "listed": listed, "fence": fence, "usable": [name]}
    try:
        received = service(stack, "POST", "rpc/merge_models", json={"merge": merge}).json()
        assert any("the default is now" in words for words in received["changes"]), received
        assert db.execute("select count(*) as n from public.llm_models where is_default").fetchall() == [{"n": 1}]
    finally:
        service(
            stack, "POST", "rpc/release_lease", json={"job": "refresh", "holder_id": lease["holder_id"], "fence": fence}
        )
        db.execute(
            "update public.llm_models set is_default = true, default_by = %s where id = %s",
            [before["default_by"], before["id"]],
        )
        db.execute("delete from public.llm_models where provider = %s", [name])
