"""The log."""

from __future__ import annotations

import contextvars
import json
import logging
import uuid
from datetime import datetime

import pytest

from shared.log import bind_request, bind_turn, log, take_over_server_log


def test_an_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Line ends in a value start no second line, and the time has its zone."""
    log("turn", request_id="r", error="two\nlines\u2028and more", ms=5)
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert record.pop("at").endswith("+00:00")
    assert record == {"event": "turn", "request_id": "r", "error": "two\nlines\u2028and more", "ms": 5}


def test_values_that_json_lacks_are_written_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """No value makes a log line fail."""
    log("turn", id=uuid.UUID(int=0), kind=ValueError)
    record = json.loads(capsys.readouterr().out)
    assert record["id"] == "00000000-0000-0000-0000-000000000000"
    assert datetime.fromisoformat(record["at"])


def test_bound_ids_are_in_every_later_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A turn's line has both ids; the next request's line has no id of an earlier turn."""

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


def test_the_server_writes_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """The warnings and errors of uvicorn are events; a traceback, which may contain content, is left out."""
    take_over_server_log()
    logging.getLogger("uvicorn.error").info("Started")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP %s received.", "request")
    try:
        int("secret words")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    got = capsys.readouterr()
    lines = [json.loads(line) for line in got.out.splitlines()]
    assert [(line["event"], line["level"], line["message"], line["error"]) for line in lines] == [
        ("server", "warning", "Invalid HTTP request received.", None),
        ("server", "error", "Exception in ASGI application", "ValueError"),
    ]
    assert "secret" not in got.out + got.err
