"""Our own log."""

from __future__ import annotations

import json
import uuid
from datetime import datetime

import pytest

from shared.log import log


def test_an_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Newlines in a value do not make a second line, and the time carries its zone."""
    log("turn", request_id="r", error="two\nlines\u2028and more", ms=5)
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told.pop("at").endswith("+00:00")
    assert told == {"event": "turn", "request_id": "r", "error": "two\nlines\u2028and more", "ms": 5}


def test_what_json_does_not_know_is_written_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A log line never fails over a value."""
    log("turn", id=uuid.UUID(int=0), kind=ValueError)
    told = json.loads(capsys.readouterr().out)
    assert told["id"] == "00000000-0000-0000-0000-000000000000"
    assert datetime.fromisoformat(told["at"])
