"""JSON of hosts and of the database: by orjson, which is many times faster, and by json for what only that takes."""

from __future__ import annotations

import json
from typing import Any

import orjson


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text, with NaN and lone surrogates where a host writes them.

    An integer of more than 64 bits becomes a float. Raises ValueError for other text, RecursionError for deep nesting.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def write_json(value: Any) -> bytes:
    """The JSON text of a value, in UTF-8; NaN and infinity become null.

    Lone surrogates and integers of more than 64 bits are written as json writes them. Raises TypeError for other types.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return _written(value).encode()


def _written(value: Any) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:  # NaN or infinity
        return json.dumps(json.loads(json.dumps(value), parse_constant=lambda _: None), separators=(",", ":"))
