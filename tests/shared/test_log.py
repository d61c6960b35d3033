"""Our own log."""

from __future__ import annotations

import contextvars
import json
import uuid
from datetime import datetime

import pytest

from shared.log import bind_request, bind_turn, log


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


def test_bound_ids_stand_in_every_later_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A turn's line has the request's id and its own; the next request's line has no id of an earlier turn."""

    def run() -> None:
        bind_request("r-1")
        bind_turn("r-1", "t-1")
        log("turn")
        bind_request("r-2")
        log("request")

    contextvars.copy_context().run(run)
    turn, request = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (turn["request_id"], turn["turn_id"]) == ("r-1", "t-1")
    assert (request["request_id"], "turn_id" in request) == ("r-2", False)
