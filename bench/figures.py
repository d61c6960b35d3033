"""Figures by target and by name, and how they are printed: tables with the ratios first, then the absolute values."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Figures = dict[str, dict[str, float]]
"""Values by target and by the name of the figure, which ends with its unit."""

MAX_NOISE_CORES = 0.3


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one target in one round. `noise_cores` is what other programs used meanwhile."""

    values: Mapping[str, float]
    noise_cores: float = 0.0


@dataclass(frozen=True, slots=True)
class Column:
    """A figure in a table. `is_rate` means that more is better."""

    heading: str
    name: str
    digits: int = 1
    is_rate: bool = False


def median_of(samples: Sequence[Sample]) -> dict[str, float]:
    """The median of each figure over the quiet samples, or over the quieter half when none is quiet."""
    ordered = sorted(samples, key=lambda sample: sample.noise_cores)
    quiet = [sample for sample in ordered if sample.noise_cores <= MAX_NOISE_CORES]
    kept = quiet or ordered[: (len(ordered) + 1) // 2]
    names = dict.fromkeys(name for sample in kept for name in sample.values)
    return {name: statistics.median(sample.values[name] for sample in kept if name in sample.values) for name in names}


def ratio_text(value: float | None, reference: float | None, *, is_rate: bool = False) -> str:
    """`2.4 x`, or `1/2.4` for a rate below its reference; empty when one is missing or the reference is 0."""
    if value is None or not reference:
        return ""
    ratio = value / reference
    if is_rate and 0 < ratio < 1:
        return f"1/{_short(1 / ratio)}"
    return f"{_short(ratio)} x"


def _short(number: float) -> str:
    return f"{number:.2f}" if abs(number) < 10 else f"{number:,.0f}"


def value_text(value: float | None, digits: int) -> str:
    """A number with separators; empty when it is missing."""
    return "" if value is None else f"{value:,.{digits}f}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with columns of equal width."""
    widths = [max(len(row[number]) for row in (headings, *rows)) for number in range(len(headings))]
    lines = [_line(headings, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    return "\n".join([*lines, *(_line(row, widths) for row in rows)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "| " + " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]) + " |"


def tables(figures: Figures, columns: Sequence[Column], reference: str) -> str:
    """Two tables: each target as a multiple of the reference, then the values themselves."""
    base = figures.get(reference, {})
    ratios = [
        [name, *(ratio_text(values.get(each.name), base.get(each.name), is_rate=each.is_rate) for each in columns)]
        for name, values in figures.items()
    ]
    absolutes = [
        [name, *(value_text(values.get(each.name), each.digits) for each in columns)]
        for name, values in figures.items()
    ]
    heads = [each.heading for each in columns]
    return f"{table([f'x {reference}', *heads], ratios)}\n\n{table(['absolute', *heads], absolutes)}"
