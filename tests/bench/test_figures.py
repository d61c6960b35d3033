"""Medians, ratios and tables."""

from __future__ import annotations

import pytest

from bench.figures import Column, Sample, median_of, ratio_text, tables


def test_a_median_leaves_noisy_rounds_out() -> None:
    """Rounds in which other programs ran do not count while there are quiet ones."""
    samples = [Sample({"a_ms": 1}, 0.1), Sample({"a_ms": 3}, 0.2), Sample({"a_ms": 90}, 1.5)]
    assert median_of(samples) == {"a_ms": 2}


def test_without_a_quiet_round_the_quieter_half_counts() -> None:
    """A busy machine still gives figures."""
    samples = [Sample({"a_ms": value}, noise) for value, noise in ((10, 0.9), (20, 0.8), (30, 0.7))]
    assert median_of(samples) == {"a_ms": 25}


def test_a_figure_of_some_rounds_is_kept() -> None:
    """A figure that a round lacks comes from the others."""
    assert median_of([Sample({"a_ms": 1}), Sample({"a_ms": 3, "b_ms": 5})]) == {"a_ms": 2, "b_ms": 5}


@pytest.mark.parametrize(
    ("value", "reference", "is_rate", "text"),
    [
        (24.0, 2.0, False, "12 x"),
        (3.0, 2.0, False, "1.50 x"),
        (50.0, 100.0, True, "1/2.00"),
        (200.0, 100.0, True, "2.00 x"),
        (0.5, 1.0, False, "0.50 x"),
        (None, 1.0, False, ""),
        (1.0, None, False, ""),
        (1.0, 0.0, False, ""),
        (0.0, 1.0, True, "0.00 x"),
    ],
)
def test_a_ratio_reads_as_a_multiple(value: float | None, reference: float | None, is_rate: bool, text: str) -> None:
    """A rate below its reference is a fraction; a missing value is empty."""
    assert ratio_text(value, reference, is_rate=is_rate) == text


def test_ratios_come_before_absolute_values() -> None:
    """The reference is 1.00 x in the first table, and missing figures are empty cells in both."""
    figures = {"raw": {"a_ms": 2.0, "b_s": 100.0}, "ours": {"a_ms": 5.0}}
    text = tables(figures, [Column("A", "a_ms"), Column("B", "b_s", 0, is_rate=True)], "raw")
    assert text.splitlines() == [
        "| x raw |      A |      B |",
        "|-------|--------|--------|",
        "| raw   | 1.00 x | 1.00 x |",
        "| ours  | 2.50 x |        |",
        "",
        "| absolute |   A |   B |",
        "|----------|-----|-----|",
        "| raw      | 2.0 | 100 |",
        "| ours     | 5.0 |     |",
    ]
