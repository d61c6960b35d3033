"""Errors of the tasks beside a turn."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from starlette.types import Message

from functions.chat.streams.json_answer import TurnJson
from functions.chat.streams.ui import UiStream
from shared import responses as module
from shared.responses import StreamResponse, WholeResponse
from tests.asgi import Caller
from tests.functions.turns import RECEIPT, TURN
from tests.shared.turn_events import Script

pytestmark = pytest.mark.anyio
SCOPE = {"type": "http"}


def _crashes(printed: str) -> list[str]:
    lines = map(json.loads, printed.splitlines())
    return [line["error"].split(" at ")[0] for line in lines if line["event"] == "crash"]


@pytest.mark.parametrize("response", [StreamResponse, WholeResponse])
async def test_a_server_that_cannot_receive_is_logged_and_ends_the_turn(
    response: type[StreamResponse | WholeResponse], capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken connection of the host ends the turn as an internal error, and a log line has the class of the error."""
    script, caller = Script(None, RECEIPT), Caller()

    async def receive() -> Message:
        raise LookupError("private words")

    encoder: Any = UiStream(TURN) if response is StreamResponse else TurnJson()
    await response(TURN, script.events(), encoder, math.inf)(SCOPE, receive, caller.send)
    assert (script.ended, caller.status) == ("left", 500)
    printed = capsys.readouterr().out
    assert _crashes(printed) == ["LookupError"]
    assert "private words" not in printed


async def test_a_ping_that_fails_is_logged_and_ends_the_turn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A response that cannot start while the model is silent does not wait for the model."""
    monkeypatch.setattr(module, "START_AFTER_SECONDS", 0)
    script, caller = Script(None, RECEIPT), Caller()

    async def send(_message: Message) -> None:
        raise ConnectionResetError

    await StreamResponse(TURN, script.events(), UiStream(TURN), math.inf)(SCOPE, caller.receive, send)
    assert script.ended == "left"
    assert _crashes(capsys.readouterr().out) == ["ConnectionResetError"]
