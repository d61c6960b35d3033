"""The file that `make migration` writes."""

from __future__ import annotations

from local.new_migration import summary
from local.snapshot import differences


def test_a_column_in_another_position_shows_both_positions() -> None:
    """No statement can move a column, so its author must see why the column differs."""
    first = {"column public.feedback.note": "6 text", "function public.f": "select 1;\n-- end"}
    second = {"column public.feedback.note": "7 text", "function public.f": "select 2;\n-- end"}
    assert summary(differences(first, second)) == (
        "-- column public.feedback.note: differs\n--   first:  6 text\n--   second: 7 text\n"
        "-- function public.f: differs\n"
    )
