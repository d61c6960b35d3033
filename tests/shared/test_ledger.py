"""The two round trips of a turn, against a scripted database."""

from __future__ import annotations

import hmac
import itertools
import json
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import ledger, spool
from shared.auth import Person
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
from shared.events import Usage
from shared.ledger import as_record
from shared.messages import Message
from shared.privacy import WITHHELD
from shared.receipts import receipt_json
from shared.routes import Attempt, Route
from shared.turns import Limits, Profile, Quote, Receipt, Turn, TurnRequest, TurnResult
from tests.fakes.supabase import Project

ROUTE = Route("openai:gpt-4o", "openai", "gpt-4o", 1000, pricing={"input": 1})
TURN = Turn("turn-1", "request-1", "worker-1", "conversation-1", (ROUTE,), "asked")
ENTRY = TurnResult(
    TURN,
    "completed",
    ROUTE,
    "Write to ada@example.com",
    Usage(10, 5, 2, 1),
    duration_ms=900,
    ttft_ms=100,
    finish_reason="stop",
    attempts=(Attempt("openai:gpt-4o", "openai", ok=True, ms=800),),
    agent_type="general",
)
PERSON = Person("11111111-2222-4333-8444-555555555555", "t0ken", is_anonymous=False, is_admin=False)
ASK = TurnRequest("chat", "request-1", "I am ada@example.com", metadata={"from": "ada@example.com", "n": 1})
PLANTED = (
    "ada@example.com",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "+49 170 1234567",
    "sk-proj-" + "a1" * 20,
    "hf_" + "A1b2" * 9,
)
HARMLESS = ("$4,111.50", "ESZ6", "2026-11-21", "14:30", "gpt-4o", "claude-3-7-sonnet-20250219")
BEGIN, FINISH = "/rest/v1/rpc/chat_begin", "/rest/v1/rpc/chat_finish"
ADMITTED: dict[str, Any] = {
    "outcome": "admitted",
    "turn_id": "turn-1",
    "conversation_id": "conversation-1",
    "reason": "asked",
    "routes": [
        {
            "identifier": "client:7:llama",
            "provider": "client",
            "upstream_id": "llama",
            "max_output_tokens": 500,
            "node_id": 7,
            "base_url": "https://node.example/v1",
            "pricing": None,
            "capabilities": {},
            "something_new": True,
        }
    ],
    "history": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
    "limits": {
        "requests_limit": 50,
        "requests_remaining": 49,
        "requests_reset_at": "2026-11-22T00:00:00+00:00",
        "budget_remaining_usd": 0.5,
    },
    "input_tokens_estimate": 12,
    "reserve_usd": 0.001,
    "least_usd": 0.0001,
}


def test_a_record_holds_the_answer_verbatim_for_its_people_and_redacted_for_the_log(
    environ: Callable[..., None],
) -> None:
    """Two copies, two promises."""
    environ()
    record = as_record(ENTRY)
    assert record["content"] == "Write to ada@example.com"
    assert record["response"] == "Write to [email]"
    assert record["usage"] == {
        "input_tokens": 10,
        "output_tokens": 5,
        "cached_tokens": 2,
        "reasoning_tokens": 1,
        "source": "provider",
    }
    assert record["attempts"][0]["provider_key"] == "openai"
    assert (record["worker_id"], record["identifier"], record["status"]) == ("worker-1", "openai:gpt-4o", "completed")
    assert json.loads(json.dumps(record)) == record


def test_a_turn_that_is_not_stored_leaves_no_words(environ: Callable[..., None]) -> None:
    """Neither the conversation nor the log gets its text."""
    environ()
    record = as_record(replace(ENTRY, turn=replace(TURN, is_stored=False)))
    assert (record["content"], record["response"], record["has_content"]) == ("", None, True)
    assert spool.record_of(record, PERSON.id)["entry"]["content"] == ""


def test_without_log_content_the_log_gets_no_words(environ: Callable[..., None]) -> None:
    """The conversation keeps its message all the same."""
    environ(LOG_CONTENT="none")
    record = as_record(ENTRY)
    assert (record["content"], record["response"], record["has_content"]) == ("Write to ada@example.com", None, True)
    spooled = spool.record_of(record, PERSON.id)["entry"]
    assert (spooled["content"], spooled["response"], spooled["has_content"]) == (WITHHELD, None, True)
    silent = spool.record_of(as_record(replace(ENTRY, content="")), PERSON.id)["entry"]
    assert (silent["content"], silent["has_content"]) == ("", False)


def test_a_record_tells_what_agents_and_tools_did(environ: Callable[..., None]) -> None:
    """By the names that chat_finish knows; what is worded is redacted, except what the conversation gets."""
    environ()
    mail = "ada@example.com"
    entry = replace(
        ENTRY,
        turn=replace(TURN, history_left_out=7),
        tools_used=({"name": "analyze_data", "ms": 12, "ok": False, "error": mail},),
        domain="trading",
        skill="expert",
        escalation={"to": "technical", "reason": f"ask {mail}"},
        handoffs=1,
        context_tokens=321,
        parts=({"type": "text", "text": mail},),
    )
    wanted = {
        "tools_used": [{"name": "analyze_data", "ms": 12, "ok": False, "error": "[email]"}],
        "domain_classification": "trading",
        "user_skill_assessment": "expert",
        "escalation_suggested": True,
        "escalation_metadata": {"to": "technical", "reason": "ask [email]"},
        "agent_handoffs": 1,
        "context_size_tokens": 321,
        "history_left_out": 7,
        "parts": [{"type": "text", "text": mail}],
    }
    record = as_record(entry)
    assert {name: record[name] for name in wanted} == wanted
    assert mail not in json.dumps(spool.record_of(record, PERSON.id))
    assert spool.record_of(record, PERSON.id)["entry"]["parts"] == [{"type": "text", "text": "[email]"}]
    bare = as_record(ENTRY)
    assert {name: bare[name] for name in wanted if not bare[name]} == {
        "tools_used": [],
        "domain_classification": None,
        "user_skill_assessment": None,
        "escalation_suggested": False,
        "escalation_metadata": None,
        "agent_handoffs": 0,
        "context_size_tokens": None,
        "history_left_out": 0,
        "parts": None,
    }


@pytest.mark.parametrize("is_stored", [True, False])
def test_no_words_of_a_handover_stay_where_none_may(environ: Callable[..., None], is_stored: bool) -> None:
    """For an unstored turn, or with LOG_CONTENT=none, the row has the hand-off but not its reason."""
    environ(LOG_CONTENT="redacted" if not is_stored else "none")
    parts = ({"type": "text", "text": "planted"},)
    turn = replace(TURN, is_stored=is_stored)
    record = as_record(replace(ENTRY, turn=turn, escalation={"reason": "planted"}, parts=parts))
    assert (record["escalation_suggested"], record["escalation_metadata"]) == (True, None)
    assert (record["parts"] is not None) is is_stored
    assert "planted" not in json.dumps(spool.record_of(record, PERSON.id))


@pytest.mark.anyio
async def test_a_turn_knows_who_spoke_and_how_to_help(project: Project) -> None:
    """Where several people take part each of their messages has its name before it, an answer has none."""
    history = [
        {"role": "user", "content": "Hi", "name": "Ada"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Hm", "name": "Person 2"},
    ]
    profile = {"skill_level": "expert", "communication_style": None, "preferred_agent": "auto"}
    received = {"history": history, "history_left_out": 4, "speaker": "Ada", "profile": profile}
    project.answers[BEGIN] = (200, ADMITTED | received)
    turn = await ledger.begin(PERSON, replace(ASK, agent_models={"general": ("fast", "gpt-4o")}))
    assert project.asked_of("chat_begin")[0]["turn"]["agent_models"] == {"general": ["fast", "gpt-4o"]}
    sent_text = [message.content for message in turn.history]
    assert sent_text == ["Ada: Hi", "Hello", "Person 2: Hm"]
    assert (turn.history_left_out, turn.speaker, turn.profile) == (4, "Ada", Profile("expert", None, "auto"))
    project.answers[BEGIN] = (200, ADMITTED)
    turn = await ledger.begin(PERSON, ASK)
    assert (turn.history_left_out, turn.speaker, turn.profile) == (0, None, Profile())


@pytest.mark.anyio
async def test_a_turn_is_admitted_as_the_person(project: Project) -> None:
    """The question goes along verbatim for the conversation and redacted for the log; the answer is a Turn."""
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
    """What was stored the first time comes along."""
    project.answers[BEGIN] = (200, ADMITTED | {"outcome": "replay", "log": {"cost_usd": 1}})
    turn = await ledger.begin(PERSON, ASK)
    assert turn.replay is not None
    assert turn.replay.cost_usd == 1


@pytest.mark.anyio
async def test_a_dry_run_has_the_callers_id(project: Project) -> None:
    """Nothing was stored, so there is no turn to name."""
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
    """Each refusal is its own error."""
    project.answers[BEGIN] = (status, answer)
    with pytest.raises(kind) as caught:
        await ledger.begin(PERSON, ASK)
    if kind is RequestInProgress:
        assert getattr(caught.value, "retry_after_seconds", None) == 4


@pytest.mark.anyio
@pytest.mark.parametrize(("outcome", "logged"), [("settled", True), ("duplicate", True), ("stale", False)])
async def test_a_booked_turn_has_a_receipt(project: Project, outcome: str, logged: bool) -> None:
    """Booked as the service, once; the receipt says what it cost and whether the row is there."""
    project.answers[FINISH] = (200, {"outcome": outcome, "cost_usd": 0.002, "message_id": "message-1"})
    receipt = await ledger.finish(ENTRY)
    assert (receipt.cost_usd, receipt.logged, receipt.message_id) == (0.002, logged, "message-1")
    assert project.asked[0].headers["apikey"] == "sb_secret_x"
    assert project.asked_of("chat_finish") == [{"entry": as_record(ENTRY)}]


@pytest.mark.anyio
async def test_a_turn_this_database_never_admitted_is_only_logged(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no row to complete and no use in trying again."""
    project.answers[FINISH] = (200, {"outcome": "unknown"})
    assert not (await ledger.finish(ENTRY)).logged
    assert len(project.asked) == 1
    assert "unbooked_turn" in capsys.readouterr().out


@pytest.mark.anyio
async def test_a_database_that_fails_at_the_end_costs_the_row_but_not_the_answer(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two tries, and without a spool one redacted line from which the row can be rebuilt, after a short one that no
    host cuts; nothing is raised.
    """
    project.answers[FINISH] = (503, "down")
    receipt = await ledger.finish(ENTRY)
    assert (receipt.cost_usd, receipt.logged) == (None, False)
    assert len(project.asked) == 2
    written = capsys.readouterr().out
    *_, alarm, last = written.splitlines()
    assert (json.loads(alarm)["event"], len(alarm) < 500) == ("unbooked_turn", True)
    line = json.loads(last)
    assert line["event"] == "unbooked_record"
    assert line["record"]["entry"] == as_record(ENTRY) | {"content": "Write to [email]"}
    assert line["record"]["version"] == 1
    assert "ada@example.com" not in written


@pytest.mark.anyio
async def test_a_turn_that_the_database_cannot_take_waits_in_the_spool(
    project: Project, environ: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After two tries the record is there, redacted and complete; the receipt says so and no line has to."""
    environ(SPOOL_URL=tmp_path.as_uri(), HASH_PEPPER="pepper")
    project.answers[FINISH] = (503, "down")
    entry = replace(ENTRY, turn=replace(TURN, user_id=PERSON.id))
    receipt = await ledger.finish(entry)
    assert (receipt.logged, receipt.cost_usd, receipt_json(receipt)["logged"]) == ("spooled", None, "spooled")
    assert len(project.asked) == 2
    record = json.loads((tmp_path / "turn-1.worker-1.json").read_text())
    assert record["entry"] == as_record(entry) | {"content": "Write to [email]"}
    assert (record["user_id"], record["user_id_hash"]) == (PERSON.id, as_record(entry)["user_id_hash"])
    assert "unbooked_turn" not in capsys.readouterr().out


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [{"outcome": "settled"}, {"outcome": "stale"}, {"outcome": "unknown"}], ids=str)
async def test_what_the_database_answered_is_not_spooled(
    project: Project, environ: Callable[..., None], tmp_path: Path, answer: dict[str, str]
) -> None:
    """A booked turn, one that another worker answered, and one this database never admitted wait for nothing."""
    environ(SPOOL_URL=tmp_path.as_uri())
    project.answers[FINISH] = (200, answer)
    await ledger.finish(ENTRY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.anyio
async def test_a_spool_that_fails_too_leaves_the_line(
    project: Project, environ: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only then is the record in our log, and the receipt does not claim more."""
    (tmp_path / "taken").write_text("a file where the folder should be")
    environ(SPOOL_URL=(tmp_path / "taken").as_uri())
    project.answers[FINISH] = (503, "down")
    assert (await ledger.finish(ENTRY)).logged is False
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert events == ["finish_failed", "finish_failed", "spool_failed", "unbooked_turn", "unbooked_record"]


@pytest.mark.anyio
@pytest.mark.usefixtures("sessions")
async def test_a_database_that_hangs_costs_a_bounded_time_and_not_the_record(
    environ: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both tries are given up in time for the spool; at full length all of it fits below the platform's deadline."""
    assert ledger._FINISH_TRIES * ledger._TRY_SECONDS + spool.KEEP_SECONDS <= 9  # noqa: SLF001 - of the gateway's ten
    monkeypatch.setattr(ledger, "_TRY_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ(SUPABASE_URL=f"http://127.0.0.1:{silent.getsockname()[1]}", SUPABASE_SERVICE_KEY="sb_secret_x")
        environ(SPOOL_URL=tmp_path.as_uri())
        started = time.monotonic()
        assert (await ledger.finish(ENTRY)).logged == "spooled"
        assert time.monotonic() - started < 2


@pytest.mark.anyio
async def test_a_cancelled_turn_is_spooled_too(project: Project, environ: Callable[..., None], tmp_path: Path) -> None:
    """A cancelled turn whose database is down still reaches the spool before the cancellation goes on."""
    environ(SPOOL_URL=tmp_path.as_uri())
    project.answers[FINISH] = (503, "down")
    with anyio.CancelScope() as scope:
        scope.cancel()
        receipt = await ledger.finish(ENTRY)
    assert receipt.logged == "spooled"
    assert len(list(tmp_path.iterdir())) == 1


@given(
    words=st.lists(st.sampled_from([*PLANTED, *HARMLESS]), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 200), max_size=5),
    is_stored=st.booleans(),
    log_content=st.sampled_from(["redacted", "none"]),
)
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None)
def test_nothing_planted_is_in_a_record_and_what_is_harmless_stays(
    environ: Callable[..., None], words: list[str], cuts: list[int], is_stored: bool, log_content: str
) -> None:
    """However an answer came in pieces: no datum in what is spooled or printed, and no word lost without need."""
    environ(LOG_CONTENT=log_content)
    text = f"Well, {' and '.join(words)} it is."
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in itertools.pairwise(edges)]
    entry = replace(ENTRY, content="".join(pieces), turn=replace(TURN, is_stored=is_stored))
    record = json.dumps(spool.record_of(as_record(entry), PERSON.id))
    assert not any(planted in record for planted in PLANTED)
    if is_stored and log_content == "redacted":
        assert all(word in record for word in words if word in HARMLESS)
    else:
        assert "Well" not in record


def test_a_persons_hash_needs_the_pepper(environ: Callable[..., None]) -> None:
    """The same person has the same hash under one pepper, another under another, and none without."""
    entry = replace(ENTRY, turn=replace(TURN, user_id=PERSON.id))
    environ(HASH_PEPPER="pepper")
    known = as_record(entry)["user_id_hash"]
    assert known == "v1:" + hmac.digest(b"pepper", PERSON.id.encode(), "sha256").hex()
    assert as_record(ENTRY)["user_id_hash"] is None
    environ(HASH_PEPPER="salt")
    assert as_record(entry)["user_id_hash"] not in {None, known}
    environ(HASH_PEPPER="")
    assert as_record(entry)["user_id_hash"] is None


@pytest.mark.anyio
async def test_a_user_who_hangs_up_does_not_take_the_row_along(project: Project) -> None:
    """A cancelled turn is booked to its end before the cancellation goes on."""
    project.answers[FINISH] = (200, {"outcome": "settled", "cost_usd": 0.002})
    with anyio.CancelScope() as scope:
        scope.cancel()
        receipt = await ledger.finish(ENTRY)
    assert receipt.logged
    assert len(project.asked) == 1


def test_a_receipt_reads_as_the_contract_says() -> None:
    """Route, usage, cost, timings and whether it was logged; the other routes are its fallbacks."""
    other = replace(ROUTE, identifier="huggingface:m")
    entry = replace(
        ENTRY,
        turn=replace(TURN, routes=(ROUTE, other)),
        agents=("general", "technical"),
        tools_used=({"name": "analyze_data", "ms": 12, "ok": True},),
    )
    assert receipt_json(Receipt(entry, 0.002, logged=True)) == {
        "turn_id": "turn-1",
        "request_id": "request-1",
        "conversation_id": "conversation-1",
        "route": {
            "identifier": "openai:gpt-4o",
            "provider": "openai",
            "model": "gpt-4o",
            "node_id": None,
            "label": None,
            "reason": "asked",
            "fallbacks": ["huggingface:m"],
        },
        "agents": ["general", "technical"],
        "tools_used": [{"name": "analyze_data", "ms": 12, "ok": True}],
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "cached_tokens": 2,
            "reasoning_tokens": 1,
            "source": "provider",
        },
        "cost_usd": 0.002,
        "duration_ms": 900,
        "ttft_ms": 100,
        "logged": True,
    }


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
    """It says yes, that there is no money, or that the turn is another worker's."""
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
    """With the asked name, redacted, and what served instead; a strict request is refused and logged as well."""
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
