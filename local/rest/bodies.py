"""Reads request bodies: JSON, CSV and forms."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from local.rest.errors import ApiError

FORM = "application/x-www-form-urlencoded"
WHOLE = {"text/plain", "text/xml", "application/octet-stream"}
_INVALID = "Empty or invalid json"


@dataclass(frozen=True)
class Body:
    """The rows of a request body, and their text as a JSON array."""

    rows: list[dict[str, Any]]
    text: str


def read_json(raw: bytes) -> tuple[Any, str]:
    """The JSON value and its text. Raises ApiError 400 for invalid JSON."""
    try:
        text = raw.decode()
        return json.loads(text), text
    except (ValueError, RecursionError):
        raise ApiError(400, "PGRST102", _INVALID) from None


def read_rows(raw: bytes, content_type: str) -> Body:
    """The rows of a body: an object, a list of objects, CSV or a form. Raises ApiError 400 for anything else."""
    if content_type == "text/csv":
        return _of_rows(_csv_rows(raw))
    if content_type == FORM:
        return _of_rows([read_form(raw)])
    if content_type != "application/json":
        raise unacceptable(content_type)
    value, text = read_json(raw)
    rows = value if isinstance(value, list) else [value]
    if not all(isinstance(row, dict) for row in rows):
        raise ApiError(400, "PGRST102", _INVALID)
    return Body(rows, text if isinstance(value, list) else f"[{text}]")


def read_form(raw: bytes) -> dict[str, Any]:
    """The values of a form by name."""
    try:
        return dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=1000))
    except ValueError:
        raise ApiError(400, "PGRST102", "Empty or invalid form") from None


def unacceptable(content_type: str) -> ApiError:
    """The error for a body of another type."""
    return ApiError(400, "PGRST102", f"Content-Type not acceptable: {content_type}")


def _of_rows(rows: list[dict[str, Any]]) -> Body:
    return Body(rows, json.dumps(rows))


def _csv_rows(raw: bytes) -> list[dict[str, Any]]:
    """The rows of a CSV body; the unquoted word NULL is null."""
    try:
        names, *lines = [line for line in csv.reader(io.StringIO(raw.decode()), strict=True) if line] or [[]]
    except (ValueError, csv.Error):
        raise ApiError(400, "PGRST102", "Empty or invalid csv") from None
    if any(len(line) != len(names) for line in lines):
        raise ApiError(400, "PGRST102", "All lines must have same number of fields")
    return [
        {name: None if value == "NULL" else value for name, value in zip(names, line, strict=True)} for line in lines
    ]
