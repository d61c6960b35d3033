"""JSON as RFC 8259 has it: no NaN, no Infinity, and no number beyond a float's range."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

MAX_DEPTH = 64
MAX_VALUES = 100_000


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError for other text, RecursionError for extreme nesting."""
    return _decoded(text)


def count_values(value: Any) -> int:
    """How many values are in this one, at every level. Raises ValueError below MAX_DEPTH levels."""
    level, count = [value], 0
    for _ in range(MAX_DEPTH):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return count
        count += sum(map(len, level))
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
    raise ValueError("nested too deeply")


def _reject(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _reject(text)
    return number


_decoded: Final = json.JSONDecoder(parse_constant=_reject, parse_float=_finite).decode
