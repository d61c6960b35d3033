"""The first round trip of a turn, and its further reservations, against a scripted database."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared import ledger
from shared.errors import (
    BudgetExceeded,
    ConversationNotFound,
    DatabaseUnavailable,
    IdempotencyMismatch,
    ModelNotFound,
    ParleyError,
    QuotaExceeded,
    RequestInProgress,
    TurnInProgress,
)
from shared.messages import Message
from shared.turns import Limits, Profile, Quote
from tests.fakes.supabase import Project
from tests.shared.ledger_values import ADMITTED, ASK, BEGIN, PERSON, TURN


@pytest.mark.anyio
async def test_a_turn_knows_who_spoke_and_how_to_help(project: Project) -> None:
    """In a conversation of several users each question begins with its author's name; answers do not."""
    history = [
        {"role": "user", "content": "Hi", "name": "Ada"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Hm", "name": "Person 2"},
    ]
    profile = {"skill_level": "expert", "communication_style": None}
    received = {"history": history, "history_left_out": 4, "speaker": "Ada", "profile": profile}
    project.answers[BEGIN] = (200, ADMITTED | received)
    turn = await ledger.begin(PERSON, replace(ASK, agent_models={"general": ("fast", "gpt-4o")}))
    assert project.asked_of("chat_begin")[0]["turn"]["agent_models"] == {"general": ["fast", "gpt-4o"]}
    sent_text = [message.content for message in turn.history]
    assert sent_text == ["Ada: Hi", "Hello", "Person 2: Hm"]
    assert (turn.history_left_out, turn.speaker, turn.profile) == (4, "Ada", Profile("expert"))
    project.answers[BEGIN] = (200, ADMITTED)
    turn = await ledger.begin(PERSON, ASK)
    assert (turn.history_left_out, turn.speaker, turn.profile) == (0, None, Profile())


@pytest.mark.anyio
async def test_a_turn_is_admitted_as_the_person(project: Project) -> None:
    """chat_begin gets the question verbatim and redacted; its answer becomes a Turn."""
    project.answers[BEGIN] = (200, ADMITTED)
    turn = await ledger.begin(PERSON, ASK)
    assert project.asked[0].headers["authorization"] == "Bearer t0ken"
    (arguments,) = project.asked_of("chat_begin")
    sent = arguments["turn"]
    assert (sent["message"], sent["question"]) == ("I am ada@example.com", "I am [email]")
    assert sent["metadata"] == {"from": "[email]", "n": 1}
    assert uuid.UUID(sent["turn_id"]) != uuid.UUID(sent["worker_id"])
    assert (turn.worker_id, turn.user_id) == (sent["worker_id"], PERSON.id)
    assert (turn.turn_id, turn.request_id, turn.conversation_id) == ("turn-1", "request-1", "conversation-1")
    assert (turn.routes[0].base_url, turn.routes[0].node_id) == ("https://node.example/v1", 7)
    assert turn.history == (Message("user", "Hi"), Message("assistant", "Hello"))
    assert turn.limits == Limits(50, 49, "2026-11-22T00:00:00+00:00", 0.5)
    assert turn.quote == Quote(12, 0.0001, 0.001)
    assert turn.replay is None


@pytest.mark.anyio
@pytest.mark.parametrize(("store", "log_content"), [(False, "redacted"), (True, "none")])
async def test_a_question_that_is_not_to_be_logged_is_not_sent_for_the_log(
    project: Project, environ: Callable[..., None], store: bool, log_content: str
) -> None:
    """A turn with `store: false`, or with LOG_CONTENT=none, leaves the row without a question."""
    project.answers[BEGIN] = (200, ADMITTED)
    environ(LOG_CONTENT=log_content)
    await ledger.begin(PERSON, replace(ASK, store=store))
    sent = project.asked_of("chat_begin")[0]["turn"]
    assert sent["question"] is None
    assert (sent["metadata"] == {}) is (log_content == "none")


@pytest.mark.anyio
async def test_a_lease_outlasts_the_turn(project: Project, environ: Callable[..., None]) -> None:
    """The sweep takes no turn from a live worker; a name that is no model's is redacted like text."""
    project.answers[BEGIN] = (200, ADMITTED)
    environ(TURN_SECONDS="100")
    await ledger.begin(PERSON, replace(ASK, model="ask ada@example.com"))
    sent = project.asked_of("chat_begin")[0]["turn"]
    assert sent["lease_seconds"] > 100
    assert (sent["model"], sent["requested_model"]) == ("ask ada@example.com", "ask [email]")


@pytest.mark.anyio
async def test_a_turn_answered_before_is_replayed(project: Project) -> None:
    """The Turn has the stored result as its replay."""
    project.answers[BEGIN] = (200, ADMITTED | {"outcome": "replay", "log": {"cost_usd": 1}})
    turn = await ledger.begin(PERSON, ASK)
    assert turn.replay is not None
    assert turn.replay.cost_usd == 1


@pytest.mark.anyio
async def test_a_dry_run_has_the_callers_id(project: Project) -> None:
    """A dry run stores nothing, so it has no turn id of its own."""
    project.answers[BEGIN] = (200, ADMITTED | {"turn_id": None})
    assert (await ledger.begin(PERSON, ASK)).turn_id == "request-1"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (200, {"outcome": "in_progress", "retry_after": 4}, RequestInProgress),
        (200, {"outcome": "mismatch"}, IdempotencyMismatch),
        (429, {"code": "PT429", "message": "no", "details": '{"code": "quota_exceeded"}'}, QuotaExceeded),
        (
            404,
            {"code": "PT404", "message": "no", "details": '{"code": "conversation_not_found"}'},
            ConversationNotFound,
        ),
        (409, {"code": "PT409", "message": "no", "details": '{"code": "turn_in_progress"}'}, TurnInProgress),
        (503, "down", DatabaseUnavailable),
    ],
)
async def test_a_turn_that_is_not_admitted_says_why(
    project: Project, status: int, answer: Any, kind: type[Exception]
) -> None:
    """Each refusal raises its own class of error."""
    project.answers[BEGIN] = (status, answer)
    with pytest.raises(kind) as caught:
        await ledger.begin(PERSON, ASK)
    if kind is RequestInProgress:
        assert getattr(caught.value, "retry_after_seconds", None) == 4


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"outcome": "extended", "reserved_usd": 1}, None),
        ({"outcome": "refused", "code": "budget_exceeded", "metadata": {"period": "day"}}, BudgetExceeded),
        ({"outcome": "closed"}, RequestInProgress),
    ],
)
async def test_a_further_call_is_asked_of_the_database(
    project: Project, answer: dict[str, Any], kind: type | None
) -> None:
    """extend() returns, or raises for a missing budget or for another worker."""
    project.answers["/rest/v1/rpc/chat_extend"] = (200, answer)
    received: BaseException | None = None
    try:
        await ledger.extend(TURN, 500)
    except ParleyError as error:
        received = error
    assert (type(received) if received else None) is kind
    (asked,) = project.asked_of("chat_extend")
    assert asked["extension"]["input_tokens"] == 500
    assert asked["extension"]["worker_id"] == TURN.worker_id


@pytest.mark.anyio
async def test_a_failed_lookup_is_a_warning_in_our_log(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """The line has the requested name, redacted, and the answering model; also with strict_model."""
    asked = replace(ASK, model="ada@example.com")
    project.answers[BEGIN] = (200, ADMITTED | {"reason": "model_not_found"})
    await ledger.begin(PERSON, asked)
    project.answers[BEGIN] = (200, ADMITTED | {"reason": "model_replaced", "unresolved_model": "gpt-3"})
    await ledger.begin(PERSON, ASK)
    project.answers[BEGIN] = (404, {"code": "PT404", "details": '{"code": "model_not_found"}', "message": "no"})
    with pytest.raises(ModelNotFound):
        await ledger.begin(PERSON, asked)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["event"], line["asked_model"], line["served"]) for line in lines] == [
        ("model_not_found", "[email]", "client:7:llama"),
        ("model_replaced", "gpt-3", "client:7:llama"),
        ("model_not_found", "[email]", None),
    ]
    assert {line["level"] for line in lines} == {"warning"}
    assert [line["turn_id"] for line in lines[:2]] == ["turn-1", "turn-1"]
