"""Cases of the data API from PostgREST's documentation, one file of cases/ a topic.

A case is a block of lines: `# promise`, the request line, its headers, its body after `|`; `-> status`, expected
headers (`-` for an absent one), and the expected body after `|`, as JSON or text. Of an error, some members are enough.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

_FOLDER = Path(__file__).with_name("cases")


@dataclass
class _Half:
    """A request or a response; `lines` are its body, None without one."""

    headers: dict[str, str] = field(default_factory=dict)
    lines: list[str] | None = None

    def read(self, line: str) -> None:
        """Adds a header or a line of the body."""
        if line.startswith("|"):
            self.lines = [*(self.lines or []), line[2:]]
        else:
            name, _, value = line.partition(":")
            self.headers[name] = value.strip()

    @property
    def body(self) -> str | None:
        """The text of the body; None without one."""
        return None if self.lines is None else "\n".join(self.lines)


@dataclass(frozen=True)
class Case:
    """A request, and what its response must be."""

    promise: str
    method: str
    path: str
    status: int
    request: _Half
    response: _Half


def cases(topic: str) -> Callable[[Any], Any]:
    """Runs a test once for each case of a topic."""
    blocks = (_FOLDER / f"{topic}.txt").read_text().strip().split("\n\n")
    rows = [_parse(block.splitlines()) for block in blocks]
    return pytest.mark.parametrize("case", rows, ids=[row.promise for row in rows])


def _parse(lines: list[str]) -> Case:
    promise, first = lines[0].removeprefix("# "), lines[1]
    middle = next(number for number, line in enumerate(lines) if line.startswith("-> "))
    request, response = _Half(), _Half()
    for line in lines[2:middle]:
        request.read(line)
    for line in lines[middle + 1 :]:
        response.read(line)
    method, _, path = first.partition(" ")
    return Case(promise, method, path, int(lines[middle][3:]), request, response)


def verify(http: httpx.Client, case: Case) -> None:
    """Sends the request and compares the response."""
    sent = case.request
    found = http.request(case.method, f"/rest/v1/{case.path}", content=sent.body, headers=sent.headers)
    assert found.status_code == case.status, found.text
    expected = {name: None if value == "-" else value for name, value in case.response.headers.items()}
    assert {name: found.headers.get(name) for name in expected} == expected
    if case.response.body is not None:
        _compare(found, case.response.body)


def _compare(found: httpx.Response, text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        assert found.text == text
        return
    if isinstance(expected, dict) and "code" in expected and found.status_code >= 300:
        assert set(found.json()) == {"code", "message", "details", "hint"}
        assert {name: found.json()[name] for name in expected} == expected
    else:
        assert found.json() == expected
