"""A result as JSON for a model: exact, bounded, in columns and rows.

DECIMAL stays text ("4512.25"), so that no reader turns it into a float. Integers are numbers up to 2**53, text
beyond. DOUBLE is a number of 15 significant digits, or text when not finite. Times are ISO 8601. All others are text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final

ROWS: Final = 200
CELL_CHARACTERS: Final = 1_000
RESULT_BYTES: Final = 24_000
_COLUMNS = 100
_SAFE_INTEGER = 2**53
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
_INTEGERS |= {f"U{name}" for name in _INTEGERS}
_TIME = re.compile(r"(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(?:([+-]\d\d)(:\d\d)?)?")

Row = Sequence[str | None]


class TooLargeError(ValueError):
    """Not even one row of the result fits."""


def packed(columns: Sequence[str], types: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """`{"columns", "rows", "row_count", "truncated"}` of cells as DuckDB writes them. Raises TooLargeError."""
    if len(columns) > _COLUMNS:
        raise TooLargeError(f"The result has {len(columns)} columns; select at most {_COLUMNS}.")
    names = [name[:CELL_CHARACTERS] for name in columns]
    left = RESULT_BYTES - _size(names)
    kept: list[list[Any]] = []
    is_cut = False
    for row in rows[:ROWS]:
        values = [_value(cell, kind) for cell, kind in zip(row, types, strict=True)]
        left -= _size(values) + 2
        if left < 0:
            break
        is_cut = is_cut or any(cell is not None and len(cell) > CELL_CHARACTERS for cell in row)
        kept.append(values)
    if rows and not kept:
        raise TooLargeError(f"One row has more than {RESULT_BYTES} bytes; select less of it.")
    return {
        "columns": names,
        "rows": kept,
        "row_count": len(kept),
        "truncated": is_cut or len(kept) < len(rows),
    }


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _value(text: str | None, kind: str) -> Any:
    if text is None:
        return None
    if kind in _INTEGERS:
        number = int(text)
        return number if abs(number) <= _SAFE_INTEGER else text
    if kind in {"DOUBLE", "FLOAT"}:
        return _float(text, 15 if kind == "DOUBLE" else 7)
    if kind == "BOOLEAN":
        return text == "true"
    if kind.startswith("TIMESTAMP"):
        return _iso(text)
    return text if len(text) <= CELL_CHARACTERS else text[:CELL_CHARACTERS] + "…"


def _float(text: str, digits: int) -> float | str:
    number = float(text)
    if math.isfinite(number):
        return float(f"{number:.{digits}g}")  # so that 0.1 + 0.2 is 0.3
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _iso(text: str) -> str:
    parts = _TIME.fullmatch(text)
    if not parts:  # infinity, or before Christ
        return text
    day, moment, zone, minutes = parts.groups()
    return f"{day}T{moment}" + (f"{zone}{minutes or ':00'}" if zone else "")
