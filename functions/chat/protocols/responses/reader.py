"""Reads a request of OpenAI's responses, with the stored answers that it refers to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request

from functions.chat.protocols.conversation import fault_of, for_provider, question_of
from functions.chat.protocols.responses.items import (
    ContentText,
    FunctionCallItem,
    MessageItem,
    OutputItem,
    ReferenceItem,
    messages_of,
)
from functions.chat.protocols.responses.request import ResponsesRequest
from functions.chat.protocols.stateless import StatelessRequest
from shared import ledger_calls, supabase
from shared.auth import Person
from shared.body import MAX_BYTES_WITH_FILES, parse_body, read_body
from shared.errors import PreviousResponseNotFound, Unprocessable
from shared.messages import Message

CHANNEL = "responses"  # of the conversations that this protocol begins
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_RESPONSE = re.compile(rf"resp_({_UUID})")
_ITEM = re.compile(rf"(msg|fc|rs|ctc)_({_UUID})_(.{{1,200}})")

Answers = Mapping[str, Mapping[str, Any]]


async def read_responses_request(request: Request, person: Person) -> StatelessRequest:
    """The validated request.

    Raises InvalidRequest, BodyTooLarge, Unprocessable, …, and PreviousResponseNotFound for a response or an item that
    is not stored in a conversation of this user.
    """
    body = parse_body(await read_body(request, MAX_BYTES_WITH_FILES), ResponsesRequest)
    if body.previous_response_id and body.conversation:
        raise Unprocessable("Send either previous_response_id or conversation.", param="conversation")
    return stateless_request(body, await _stored_answers(body, person))


async def _stored_answers(body: ResponsesRequest, person: Person) -> Answers:
    """The stored answers that the body refers to, by turn; only those of the user's own conversations."""
    turns = {found[2] for item in body.input if isinstance(item, ReferenceItem) and (found := _ITEM.fullmatch(item.id))}
    if found := _RESPONSE.fullmatch(body.previous_response_id or ""):
        turns.add(found[1])
    if not turns or person.client_id is not None:  # an app reads no stored words
        return {}
    wanted = {"person_id": person.id, "turn_ids": sorted(turns)}
    rows = await ledger_calls.call("stored_answers", {"wanted": wanted}, supabase.as_service)
    return {row["turn_id"]: row for row in rows}


def stateless_request(body: ResponsesRequest, answers: Answers) -> StatelessRequest:
    """The request in the form of every protocol. Raises Unprocessable, PreviousResponseNotFound."""
    items = [_resolved(item, answers) for item in body.input]
    earlier = _earlier(body, items, answers)
    messages = messages_of([*earlier, *items])
    conversation_id = _conversation_id(body, answers)
    has_history = conversation_id is not None
    if fault := fault_of(messages, has_history=has_history):
        raise Unprocessable(f"input: {fault}", param="input")
    instructions = [Message("system", body.instructions)] if body.instructions else []
    return StatelessRequest(
        endpoint="responses",
        model=body.model,
        conversation=for_provider([*instructions, *messages], has_history=has_history),
        question=question_of(messages),
        options=body.options,
        max_tokens=body.max_output_tokens,
        is_streamed=bool(body.stream),
        wishes=body.wishes,
        log_words=body.store is not False,
        metadata=body.metadata or {},
        echo=body.echo(),
        wants_signatures=body.wants_encrypted_reasoning,
        conversation_id=conversation_id,
        is_stored=body.store is not False,
        channel=CHANNEL,
        replaces_last=bool(earlier),
    )


def _conversation_id(body: ResponsesRequest, answers: Answers) -> str | None:
    if body.previous_response_id is None:
        return body.conversation_id
    found = _RESPONSE.fullmatch(body.previous_response_id)
    answer = answers.get(found[1]) if found else None
    if answer is None:
        raise PreviousResponseNotFound(f"Previous response with id '{body.previous_response_id}' not found.")
    return str(answer["conversation_id"])


def _earlier(body: ResponsesRequest, items: Sequence[Any], answers: Answers) -> list[Any]:
    """The calls of the previous response, and its text, when the input has their outputs."""
    found = _RESPONSE.fullmatch(body.previous_response_id or "")
    answer = answers.get(found[1]) if found else None
    if answer is None:
        return []
    calls = list(_calls_of(answer))
    outputs = {item.call_id for item in items if isinstance(item, OutputItem)}
    inside = {item.call_id for item in items if isinstance(item, FunctionCallItem)}
    wanted = [call for call in calls if call.call_id in outputs - inside]
    return [*_texts_of(answer), *calls] if wanted else []


def _resolved(item: Any, answers: Answers) -> Any:
    """The item that a reference names. Raises PreviousResponseNotFound if it is not stored for this user."""
    if not isinstance(item, ReferenceItem):
        return item
    found = _ITEM.fullmatch(item.id)
    answer = answers.get(found[2]) if found else None
    if found is None or answer is None:
        raise PreviousResponseNotFound(f"Item with id '{item.id}' not found.", param="input")
    kind, _, name = found.groups()
    if kind == "rs":  # reasoning is not stored
        return item
    if kind == "msg":
        return next(iter(_texts_of(answer)), item)
    return next((call for call in _calls_of(answer) if call.call_id == name), item)


def _texts_of(answer: Mapping[str, Any]) -> Iterable[MessageItem]:
    if text := answer["content"]:
        yield MessageItem(role="assistant", content=[ContentText(type="output_text", text=text)])


def _calls_of(answer: Mapping[str, Any]) -> Iterable[FunctionCallItem]:
    for part in answer["parts"] or ():
        if str(part.get("type", "")).startswith("tool-") and part.get("toolCallId"):
            name, text = part["type"].removeprefix("tool-"), json.dumps(part.get("input") or {}, ensure_ascii=False)
            yield FunctionCallItem(type="function_call", call_id=part["toolCallId"], name=name, arguments=text)
