"""A turn that fails between a scripted model and a scripted ledger is reported and booked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared import gateway
from shared.errors import (
    InternalError,
    NotConfigured,
    ProviderTimeout,
)
from shared.events import Text
from shared.run_turn import Failure
from shared.turns import Receipt
from tests.fakes.openai import OpenAiHost, text_chunk
from tests.fakes.supabase import Project
from tests.functions.agent_runs import FINISH, booked_in, events_of, model

__all__ = ["model"]  # a fixture

pytestmark = pytest.mark.anyio


async def test_a_failure_without_a_word_costs_nothing(model: OpenAiHost, project: Project) -> None:
    """Its usage is zero, so that the request is not counted."""
    model.status = 500
    await events_of()
    usage = booked_in(project)["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (0, 0)


async def test_a_silent_model_is_booked_as_a_timeout(
    model: OpenAiHost, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client gets the timeout error, and the row has it too."""
    model.ending = "hold"
    monkeypatch.setattr(gateway, "FIRST_CONTENT_SECONDS", 0.05)
    failure = (await events_of())[-2]
    assert isinstance(failure, Failure)
    assert type(failure.error) is ProviderTimeout
    assert booked_in(project)["error_code"] == "provider_timeout"


async def test_a_missing_key_is_reported_and_booked(
    model: OpenAiHost, project: Project, environ: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator's mistake does not cost the row; the name of the variable is in the log, not in the answer."""
    environ(OPENAI_API_KEY="")
    failure = (await events_of())[-2]
    assert isinstance(failure, Failure)
    assert type(failure.error) is NotConfigured
    assert "OPENAI_API_KEY" not in failure.error.message
    assert "OPENAI_API_KEY" in capsys.readouterr().out
    assert booked_in(project)["error_code"] == "not_configured"
    assert model.received == []


async def test_a_bug_costs_neither_the_row_nor_a_proper_end(
    model: OpenAiHost, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """After an exception the client gets an error and a receipt, the row is failed, the log has the class."""
    failure, receipt = await events_of(history=("secret words",))
    assert isinstance(failure, Failure)
    assert isinstance(receipt, Receipt)
    assert type(failure.error) is InternalError
    written = capsys.readouterr().out
    assert '"error": "AttributeError"' in written
    assert "secret" not in failure.error.message + written
    booked = booked_in(project)
    assert (booked["status"], booked["error_code"]) == ("failed", "internal_error")
    assert model.received == []


@pytest.mark.parametrize("seconds", ["soon", "nan", "-"])
async def test_a_deadline_that_is_no_number_is_reported_and_booked(
    model: OpenAiHost,
    project: Project,
    environ: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    seconds: str,
) -> None:
    """A wrong TURN_SECONDS is logged by name, and the turn is booked."""
    environ(TURN_SECONDS=seconds)
    failure = (await events_of())[-2]
    assert isinstance(failure, Failure)
    assert type(failure.error) is NotConfigured
    assert "TURN_SECONDS" in capsys.readouterr().out
    assert booked_in(project)["error_code"] == "not_configured"
    assert model.received == []


async def test_a_ledger_that_is_down_does_not_take_the_answer_along(model: OpenAiHost, project: Project) -> None:
    """The client gets the whole answer, and a receipt with logged false."""
    project.answers[FINISH] = (503, "down")
    model.pieces = [text_chunk("Hello")]
    _, text, *_, receipt = await events_of()
    assert text == Text("Hello")
    assert isinstance(receipt, Receipt)
    assert (receipt.logged, receipt.cost_usd) == (False, None)
