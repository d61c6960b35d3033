"""Reads the JSON of `chat_begin` into values; no other module does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.events import Usage
from shared.files import File, NotSent, file_of, message_with, stored_file
from shared.messages import Message
from shared.routes import Route
from shared.turns import Limits, Profile, Quote, Replay, Turn, TurnRequest


def admitted_turn(admission: Mapping[str, Any], request: TurnRequest, worker_id: str, user_id: str) -> Turn:
    """The turn that `chat_begin` admitted, replays or, for a dry run, planned. A dry run has no turn id of its own."""
    files = {file_id: stored_file(fields) for file_id, fields in (admission.get("files") or {}).items()}
    return Turn(
        turn_id=admission["turn_id"] or request.request_id,
        request_id=request.request_id,
        worker_id=worker_id,
        conversation_id=admission.get("conversation_id"),
        routes=tuple(_route(fields) for fields in admission["routes"]),
        reason=admission["reason"],
        history=tuple(_message(fields, files) for fields in admission.get("history", ())),
        is_stored=request.store or request.log_words,
        limits=Limits(**admission["limits"]) if admission.get("limits") else None,
        quote=_quote(admission),
        replay=_replay(admission) if admission["outcome"] == "replay" else None,
        user_id=user_id,
        history_left_out=admission.get("history_left_out") or 0,
        speaker=admission.get("speaker"),
        profile=_profile(admission.get("profile") or {}),
        agent=admission.get("agent"),
        is_agent_guessed=admission.get("agent_reason") == "question",
        is_resumable=request.resumable,
        files=tuple(files[each["id"]] if "id" in each else file_of(each) for each in request.files),
    )


def _route(fields: Mapping[str, Any]) -> Route:
    return Route(**{name: fields[name] for name in Route.__dataclass_fields__ if name in fields})


def _message(fields: Mapping[str, Any], files: Mapping[str, File | NotSent]) -> Message:
    """The message with its files; in a conversation of several users it begins with the author's name."""
    name = fields.get("name")
    text = f"{name}: {fields['content']}" if name else str(fields["content"])
    if "files" not in fields:
        return Message(fields["role"], text)
    kept = (
        files.get(each.get("id") or "") or NotSent(each["media_type"], each.get("name")) for each in fields["files"]
    )
    return message_with(kept, text)


def _quote(admission: Mapping[str, Any]) -> Quote | None:
    if "input_tokens_estimate" not in admission:
        return None
    return Quote(admission["input_tokens_estimate"], admission.get("least_usd"), admission.get("reserve_usd"))


def _profile(fields: Mapping[str, Any]) -> Profile:
    return Profile(fields.get("skill_level"), fields.get("communication_style"))


def _replay(admission: Mapping[str, Any]) -> Replay:
    """The stored result. The message has the text; the log row has the redacted text and all other fields."""
    row: Mapping[str, Any] = admission.get("log") or {}
    message: Mapping[str, Any] = admission.get("message") or {}
    return Replay(
        status=row.get("status", "completed"),
        usage=Usage(
            input_tokens=row.get("input_tokens") or 0,
            output_tokens=row.get("output_tokens") or 0,
            cached_tokens=row.get("cached_tokens") or 0,
            reasoning_tokens=row.get("reasoning_tokens") or 0,
            source=row.get("usage_source") or "provider",
            cache_write_tokens=row.get("cache_write_tokens") or 0,
        ),
        identifier=row.get("model_identifier"),
        content=message.get("content") or row.get("response") or "",
        message_id=message.get("id"),
        duration_ms=row.get("duration_ms") or 0,
        ttft_ms=row.get("ttft_ms"),
        finish_reason=row.get("finish_reason"),
        error_code=row.get("error_code"),
        agent_type=row.get("agent_type"),
        agents=_agents(row),
        tools_used=tuple(row.get("tools_used") or ()),
        cost_usd=row.get("cost_usd"),
    )


def _agents(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The agents that answered, in order, as far as the row has them."""
    hand_offs = (row.get("escalation_metadata") or {}).get("hand_offs") or ()
    last = row.get("agent_type")
    return (*(each["from"] for each in hand_offs), last) if last else ()
