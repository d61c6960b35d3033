"""The goals: held, missed, or not measured."""

from __future__ import annotations

import pytest

from bench.goals import GOALS, Goal, goals_text, one, quotient

_BLOCKS = {"side_by_side": {"a": {"x_ms": 6.0, "turns_s": 50.0}, "raw": {"x_ms": 2.0, "turns_s": 100.0}}}


@pytest.mark.parametrize(
    ("limit", "is_rate", "verdict"),
    [(3.0, False, "held"), (2.0, False, "missed by 1.50 x"), (3.0, True, "held"), (6.0, True, "missed by 2.00 x")],
)
def test_a_goal_is_held_up_to_its_limit(limit: float, is_rate: bool, verdict: str) -> None:
    """The limit itself is held; a miss shows by how much."""
    ratio = quotient(one("side_by_side", "a", "x_ms"), one("side_by_side", "raw", "x_ms"))
    assert Goal("g", "9", limit, ratio, is_rate=is_rate).row(_BLOCKS)[-1] == verdict


def test_a_figure_that_is_missing_is_not_measured() -> None:
    """A block, target or figure that did not run gives no verdict."""
    for measured in (one("other", "a", "x_ms"), one("side_by_side", "b", "x_ms"), one("side_by_side", "a", "y_ms")):
        assert Goal("g", "9", 1, measured).row(_BLOCKS)[-2:] == ["not measured", ""]
        assert quotient(measured, one("side_by_side", "raw", "x_ms"))(_BLOCKS) is None


def test_goals_of_blocks_that_did_not_run_are_named_apart() -> None:
    """The table holds measured goals only; one line names the others."""
    text = goals_text({"growth": {"2,000 messages": {"begin_ms": 2.0}}})
    table, _, skipped = text.partition("\nnot measured: ")
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == ["begin in 2,000 messages"]
    assert len(skipped.split("; ")) == len(GOALS) - 1


def test_a_users_slowest_page_counts() -> None:
    """The goal of own pages is held only when each page holds it."""
    pages = {"log page": 0.2, "log count": 4.0}
    assert "missed by 4.00 x" in goals_text({"growth": {"1,000,000 rows": pages}})
