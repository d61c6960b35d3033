"""What a model list changes in the catalogue."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.refresh.merge import Changes, ImplausibleListError, Source, merge
from shared.providers import ListedModel

NODE = Source("client", 7)
NOW, LATER = "2026-11-21T00:00:00+00:00", "2026-11-22T00:00:00+00:00"


def _stored(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"is_default": False, "display_order": 100} | row | changes


def _applied(rows: list[dict[str, Any]], changes: Changes) -> list[dict[str, Any]]:
    by_key = {row["model_key"]: row for row in rows}
    for row in changes.rows():
        by_key[row["model_key"]] = _stored(by_key.get(row["model_key"], {}) | row)
    return list(by_key.values())


def _listed(*names: str) -> list[ListedModel]:
    return [ListedModel(name, capabilities={"context_window": 10}) for name in names]


def test_new_models_are_added_under_a_readable_key() -> None:
    """A node's model is named by the node and the model."""
    changes = merge(NODE, [], _listed("llama3.2:3b"), NOW)
    (row,) = changes.added
    assert (row["model_key"], row["node_id"], row["source"]) == ("client:7:llama3.2:3b", 7, "sync")
    assert row["pricing"] is None


def test_a_change_is_an_update_and_no_change_is_none() -> None:
    """Only what a provider tells anew counts as updated."""
    rows = _applied([], merge(NODE, [], _listed("a", "b"), NOW))
    changes = merge(NODE, rows, [ListedModel("a", "A", {"context_window": 20}), *_listed("b")], LATER)
    assert [row["model_name"] for row in changes.updated] == ["A"]
    assert [row["upstream_id"] for row in changes.seen] == ["b"]


def test_two_good_runs_without_it_deactivate_a_model() -> None:
    """The first time it is marked, the second time it is switched off, and coming back it is active again."""
    rows = _applied([], merge(NODE, [], _listed("a", "b"), NOW))
    first = merge(NODE, rows, _listed("a"), NOW)
    assert [row["missing_since"] for row in first.missing] == [NOW]
    rows = _applied(rows, first)
    second = merge(NODE, rows, _listed("a"), LATER)
    assert [row["is_active"] for row in second.deactivated] == [False]
    rows = _applied(rows, second)
    assert [row["is_active"] for row in merge(NODE, rows, _listed("a", "b"), LATER).updated] == [True]


def test_the_default_and_manual_rows_are_left_alone() -> None:
    """What a person chose is not undone by a list."""
    rows = _applied([], merge(NODE, [], _listed("a", "b", "c", "d"), NOW))
    rows = [
        _stored(
            row,
            is_default=row["upstream_id"] == "a",
            missing_since=NOW,
            source="manual" if row["upstream_id"] == "b" else "sync",
        )
        for row in rows
    ]
    changes = merge(NODE, rows, _listed("c", "d"), LATER)
    assert (changes.deactivated, changes.missing) == ([], [])
    renamed = merge(NODE, rows, [*_listed("a", "c", "d"), ListedModel("b", "B")], LATER)
    assert "b" not in [row["upstream_id"] for row in renamed.updated]


@pytest.mark.parametrize("names", [[], ["a"], ["x", "y", "z"]])
def test_an_implausible_list_changes_nothing(names: list[str]) -> None:
    """An empty list, or one without half of what was there, is not believed."""
    rows = _applied([], merge(NODE, [], _listed("a", "b", "c"), NOW))
    with pytest.raises(ImplausibleListError):
        merge(NODE, rows, _listed(*names), LATER)


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, unique=True))
def test_the_same_list_twice_changes_nothing_the_second_time(names: list[str]) -> None:
    """A merge is idempotent but for the time it was seen."""
    rows = _applied([], merge(NODE, [], _listed(*names), NOW))
    again = merge(NODE, rows, _listed(*names), LATER)
    assert [*again.added, *again.updated, *again.deactivated, *again.missing] == []


catalogues = st.dictionaries(
    st.text(st.characters(categories=["Ll", "Nd"]), min_size=1, max_size=4),
    st.fixed_dictionaries(
        {
            "is_active": st.booleans(),
            "is_default": st.just(False),
            "source": st.sampled_from(["sync", "seed", "manual"]),
            "missing_since": st.sampled_from([None, NOW]),
            "pricing": st.sampled_from([None, {"input": 1}]),
            "capabilities": st.sampled_from([{}, {"context_window": 10}, {"supports_tools": True}]),
            "model_name": st.sampled_from(["One", "Two"]),
        }
    ),
    max_size=8,
)
lists = st.lists(
    st.builds(
        ListedModel,
        st.text(st.characters(categories=["Ll", "Nd"]), min_size=1, max_size=4),
        st.sampled_from([None, "One", "Two"]),
        st.sampled_from([{}, {"context_window": 20}]),
        st.sampled_from([None, {"input": 2}]),
    ),
    min_size=1,
    max_size=8,
)


def _rows(catalogue: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    names = list(catalogue)
    return [
        fields
        | {
            "model_key": NODE.key_of(name),
            "provider": "client",
            "upstream_id": name,
            "node_id": 7,
            "last_synced_at": None,
            "display_order": 100,
            "is_default": fields["is_active"] and name == names[0],
        }
        for name, fields in catalogue.items()
    ]


def _merged(rows: list[dict[str, Any]], listed: list[ListedModel], now: str) -> Changes | None:
    try:
        return merge(NODE, rows, listed, now)
    except ImplausibleListError:
        return None


@given(catalogues, lists)
def test_a_list_that_stays_the_same_settles(catalogue: dict[str, dict[str, Any]], listed: list[ListedModel]) -> None:
    """A second run adds and updates nothing, a third nothing at all but for models that came into question later."""
    rows = _rows(catalogue)
    first = _merged(rows, listed, NOW)
    if first is None:
        return
    rows = _applied(rows, first)
    second = merge(NODE, rows, listed, LATER)
    assert [*second.added, *second.updated, *second.missing] == []
    rows = _applied(rows, second)
    third = merge(NODE, rows, listed, LATER)
    assert [*third.added, *third.updated, *third.missing, *third.deactivated] == []


@given(catalogues, lists)
def test_what_a_person_said_stays(catalogue: dict[str, dict[str, Any]], listed: list[ListedModel]) -> None:
    """Whatever a provider lists, manual rows keep name, price, capabilities and whether they are active."""
    rows = _rows(catalogue)
    changes = _merged(rows, listed, NOW)
    said = ("model_name", "pricing", "capabilities", "is_active", "source")
    before = {row["model_key"]: [row[name] for name in said] for row in rows if row["source"] == "manual"}
    for row in changes.rows() if changes else []:
        assert before.get(row["model_key"], [row[name] for name in said]) == [row[name] for name in said]


@given(catalogues, lists)
def test_no_run_takes_the_default_or_what_was_there_until_now(
    catalogue: dict[str, dict[str, Any]], listed: list[ListedModel]
) -> None:
    """Only a model that was missing before is deactivated, and never the default; every row has the same columns."""
    rows = _rows(catalogue)
    changes = _merged(rows, listed, LATER)
    if changes is None:
        return
    by_key = {row["model_key"]: row for row in rows}
    for row in changes.deactivated:
        assert by_key[row["model_key"]]["missing_since"] == NOW
        assert not by_key[row["model_key"]]["is_default"]
    assert len({frozenset(row) for row in changes.rows()}) <= 1
    assert len({row["model_key"] for row in changes.rows()}) == len(changes.rows())


@pytest.mark.parametrize(("kept", "is_believed"), [(1, False), (2, True), (4, True)])
def test_half_of_the_models_is_the_least_that_is_believed(kept: int, *, is_believed: bool) -> None:
    """Exactly half still is; inactive rows do not count."""
    names = ["a", "b", "c", "d"]
    rows = _applied([], merge(NODE, [], _listed(*names), NOW))
    rows += [
        _stored(row, model_key=f"old-{row['model_key']}", upstream_id=f"old-{row['upstream_id']}", is_active=False)
        for row in rows
    ]
    assert (_merged(rows, _listed(*names[:kept]), LATER) is not None) is is_believed


def test_a_model_that_comes_back_is_no_longer_missing() -> None:
    """One bad run leaves no trace after a good one."""
    rows = _applied([], merge(NODE, [], _listed("a", "b"), NOW))
    rows = _applied(rows, merge(NODE, rows, _listed("a"), NOW))
    rows = _applied(rows, merge(NODE, rows, _listed("a", "b"), LATER))
    assert [row["missing_since"] for row in rows] == [None, None]
    assert [row["last_synced_at"] for row in rows] == [LATER, LATER]


def test_a_provider_that_tells_less_takes_nothing_away() -> None:
    """A price or a capability that somebody found out stays when the list does not mention it."""
    (row,) = merge(NODE, [], [ListedModel("a", "A", {"context_window": 10}, {"input": 1})], NOW).added
    changes = merge(
        NODE, [_stored(row, capabilities={"supports_tools": True, "context_window": 5})], _listed("a"), LATER
    )
    (updated,) = changes.updated
    assert updated["capabilities"] == {"supports_tools": True, "context_window": 10}
    assert (updated["pricing"], updated["model_name"]) == ({"input": 1}, "A")


def test_a_providers_own_models_keep_their_names() -> None:
    """Only a node's models carry the node in their key."""
    assert Source("openai").key_of("gpt-4o") == "gpt-4o"
    assert Source("client", 7).key_of("a:b") == "client:7:a:b"
