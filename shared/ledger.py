"""The two round trips of a turn: `begin` admits it and reserves its cost, `finish` books its result exactly once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import anyio

from shared import ledger_calls, spool, supabase
from shared.admitted_turn import admitted_turn
from shared.auth import Person
from shared.config import settings
from shared.errors import (
    BudgetExceeded,
    DatabaseUnavailable,
    IdempotencyMismatch,
    ModelNotFound,
    NoDefaultModel,
    ParleyError,
    RequestInProgress,
)
from shared.log import bind_turn, log
from shared.log_encryption import log_question, log_value, log_words
from shared.privacy import loggable_name, loggable_value, person_hash
from shared.provider_config import advice
from shared.records import fields_of
from shared.routes import Attempt
from shared.turns import Receipt, Turn, TurnRequest, TurnResult

_FAILED_LOOKUPS = {"model_not_found", "model_replaced"}
_FINISH_TRIES = 2
_EXTEND_TRIES = 2
_MAX_PARTS_CHARACTERS = 4_000_000
_TRY_SECONDS = 3.0  # two tries and the spool's KEEP_SECONDS fit into the 10 s after the turn's deadline
_LEASE_MARGIN_SECONDS = 60
_RESUMABLE_LEASE_SECONDS = 30  # keep_piece renews it, so a killed instance is noticed soon


async def begin(person: Person, request: TurnRequest) -> Turn:
    """The admitted turn, after one round trip with the user's own token or API key.

    Raises the refusals of `chat_begin` (QuotaExceeded, BudgetExceeded, ModelNotFound, ConversationNotFound,
    TurnInProgress, …), RequestInProgress or IdempotencyMismatch for a reused key, and DatabaseUnavailable. Raises
    NoDefaultModel, which names the variables to set, when no provider is configured.
    """
    worker_id = str(uuid.uuid4())
    turn = fields_of(request) | {
        "turn_id": str(uuid.uuid4()),
        "worker_id": worker_id,
        "question": log_question(request.message) if request.store or request.log_words else None,
        "requested_model": loggable_name(request.model) if request.model else None,
        "metadata": log_value(request.metadata) or {},
        "lease_seconds": _lease_seconds(is_resumable=request.resumable),
    }
    try:
        answer = await _begun(person, turn)
    except NoDefaultModel as error:
        raise NoDefaultModel(advice() or error.message) from None
    except ModelNotFound:
        log("model_not_found", level="warning", asked_model=turn["requested_model"], served=None)
        raise
    if answer["outcome"] == "in_progress":
        raise RequestInProgress(
            "A request with this idempotency key is still running.", retry_after_seconds=answer["retry_after"]
        )
    if answer["outcome"] == "mismatch":
        raise IdempotencyMismatch("This idempotency key was used with another body or API key.")
    admitted = admitted_turn(answer, request, worker_id, person.id)
    bind_turn(admitted.request_id, admitted.turn_id)
    if admitted.reason in _FAILED_LOOKUPS and admitted.replay is None:
        asked_model = answer.get("unresolved_model") or turn["requested_model"]
        log(admitted.reason, level="warning", asked_model=asked_model, served=admitted.routes[0].identifier)
    return admitted


async def _begun(person: Person, turn: dict[str, Any]) -> dict[str, Any]:
    """The answer of the database. For an API key it reads the key again, so that a revoked one begins no turn."""
    answer: dict[str, Any]
    if person.api_key is not None:
        arguments = {"key_hash": person.api_key.digest, "turn": turn}
        answer = await ledger_calls.call("chat_begin_with_key", arguments, supabase.as_service)
    else:
        answer = await ledger_calls.call(
            "chat_begin", {"turn": turn}, lambda: supabase.as_caller(person.token), person.claims
        )
    return answer


async def extend(turn: Turn, input_tokens: int) -> None:
    """Reserves the cost of a further model call with at most `input_tokens`.

    Raises BudgetExceeded when the budget does not cover it, RequestInProgress when another worker has taken over the
    turn, DatabaseUnavailable. Earlier reservations of the turn stay in each case.
    """
    extension = {
        "turn_id": turn.turn_id,
        "worker_id": turn.worker_id,
        "input_tokens": input_tokens,
        "lease_seconds": _lease_seconds(is_resumable=turn.is_resumable),
    }
    answer = await _extended(extension)
    if answer["outcome"] == "refused":
        raise BudgetExceeded("The budget does not cover another model call.", metadata=answer["metadata"])
    if answer["outcome"] != "extended":
        raise RequestInProgress("Another worker has taken this turn over.")


def _lease_seconds(*, is_resumable: bool) -> int:
    return _RESUMABLE_LEASE_SECONDS if is_resumable else settings().turn_seconds + _LEASE_MARGIN_SECONDS


async def _extended(extension: dict[str, Any]) -> dict[str, Any]:
    """The answer of `chat_extend`. A lost answer is retried; if both calls reserved, the turn's end releases both."""
    for number in range(_EXTEND_TRIES):
        try:
            held: dict[str, Any] = await ledger_calls.call("chat_extend", {"extension": extension}, supabase.as_service)
        except DatabaseUnavailable:
            if number + 1 == _EXTEND_TRIES:
                raise
        else:
            return held
    raise AssertionError("the last try returns or raises")


async def finish(result: TurnResult) -> Receipt:
    """Books the turn and returns its receipt; never raises. A client that hangs up does not lose the row.

    It tries twice, then writes to the spool, each within a time limit. `chat_finish` is idempotent, so a second try
    after a lost answer is safe.
    """
    bind_turn(result.turn.request_id, result.turn.turn_id)
    fields = as_record(result)
    with anyio.CancelScope(shield=True):
        booked = await _book(fields, result.insight)
        if booked is not None and booked["outcome"] != "unknown":
            is_logged = booked["outcome"] in {"settled", "duplicate"}
            if booked.get("insight_error"):
                log("insight_not_stored", error=booked["insight_error"])
            costs = tuple(booked.get("attempt_costs") or ())
            return Receipt(
                result, booked.get("cost_usd"), is_logged, booked.get("message_id"), costs, booked.get("insight_id")
            )
        record = spool.record_of(fields, result.turn.user_id)
        # A turn without a row is kept, too: refresh quarantines its record. A crash of the server loses such rows.
        if await spool.keep(record) and booked is None:
            return Receipt(result, None, logged="spooled")
    # The last resort: one log line with the redacted record, from which an operator can rebuild the row. The short line
    # before it is for alarms, because a host may cut the long one.
    log("unbooked_turn", status=fields["status"])
    log("unbooked_record", record=record)
    return Receipt(result, None, logged=False)


async def _book(fields: dict[str, Any], insight: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The answer of `finish_insight`, or of `chat_finish` without an insight; None when both tries fail.

    An insight that the database does not take, or that is no JSON, is left out of the second try.
    """
    for _ in range(_FINISH_TRIES):
        name, arguments = "chat_finish", {"entry": fields}
        if insight is not None:
            name, arguments = "finish_insight", {"entry": fields, "insight": dict(insight)}
        try:
            booked: dict[str, Any] = await ledger_calls.call(
                name, arguments, supabase.as_service, timeout_seconds=_TRY_SECONDS
            )
        except DatabaseUnavailable as error:
            log("finish_failed", error=error.code)
        except (ParleyError, ValueError) as error:
            log("finish_failed", error=error.code if isinstance(error, ParleyError) else type(error).__name__)
            insight = None
        else:
            return booked
    return None


def _storable_parts(result: TurnResult) -> list[dict[str, Any]] | None:
    """Message parts, or None if they exceed 4 MB or are not JSON; `content` still has the text."""
    if not result.parts:
        return None
    try:
        is_stored = len(json.dumps(result.parts, allow_nan=False)) <= _MAX_PARTS_CHARACTERS
    except (TypeError, ValueError, RecursionError):
        is_stored = False
    return [dict(part) for part in result.parts] if is_stored else None


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    return fields_of(attempt) | {"usage": attempt.usage and fields_of(attempt.usage)}


def as_record(result: TurnResult) -> dict[str, Any]:
    """The result as the parameter of `chat_finish`, without text when the turn is not stored."""
    is_stored = result.turn.is_stored
    content = result.content if is_stored else ""
    return {
        "turn_id": result.turn.turn_id,
        "worker_id": result.turn.worker_id,
        "status": result.status,
        "identifier": result.route.identifier,
        "content": content,
        "has_content": bool(result.content),
        "response": log_words(content) if content else None,
        "parts": _storable_parts(result) if is_stored else None,
        "usage": fields_of(result.usage),
        "finish_reason": result.finish_reason,
        "error_code": result.error_code,
        "attempts": [_attempt_json(attempt) for attempt in result.attempts],
        "agent_type": result.agent_type,
        "agent_handoffs": result.handoffs,
        "tools_used": loggable_value(result.tools_used, "redacted") or [],
        "domain_classification": result.domain,
        "domain_confidence": result.domain_confidence,
        "user_skill_assessment": result.skill,
        "escalation_suggested": result.escalation is not None,
        "escalation_metadata": log_value(result.escalation) if is_stored else None,
        "context_size_tokens": result.context_tokens,
        "history_left_out": result.turn.history_left_out,
        "duration_ms": result.duration_ms,
        "ttft_ms": result.ttft_ms,
        "user_id_hash": person_hash(result.turn.user_id, settings().get("HASH_PEPPER")),
    }
