"""The messages of a client's conversation in the form for a provider, and what no provider accepts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from shared.messages import CALLER, Document, Image, Message, ProviderPayload, ToolCall
from shared.providers.tool_calls import is_usual_id, tool_call, values_in

MAX_IMAGES = 16
_MAX_VALUES = 100_000  # as for the body itself, where arguments are one text


def written_call(call_id: str, name: str, arguments: str) -> ToolCall:
    """An earlier call that a client sends back.

    Arguments that are no JSON object came from a model; providers that take text get them unchanged.
    """
    made = tool_call(call_id, name, arguments)
    return replace(made, id=call_id, broken=None, written=made.written if made.broken is None else made.broken)


def has_too_many_values(arguments: Iterable[str]) -> bool:
    """Whether the arguments of all calls have more values than a body may have."""
    return sum(map(values_in, arguments)) > _MAX_VALUES


def for_provider(messages: Iterable[Message], *, has_history: bool = False) -> tuple[Message, ...]:
    """The messages as every provider takes them.

    Call ids that a provider may reject, unusual or repeated, are replaced in the call and in its result, always
    in the same way, because of prompt caches. Images of tool results follow in a user's message. With `has_history`
    the user's question may precede the messages.
    """
    ids = _UsualIds()
    found: list[Message] = []
    shown: list[Image | Document] = []  # by the tool results just before
    for message in messages:
        if shown and message.role != "tool":
            found.append(_showing(shown))
            shown = []
        if message.role == "tool":
            shown += [*message.images, *message.documents]
        found.append(ids.replaced(message))
    found += [_showing(shown)] if shown else []
    return tuple(found) if has_history else _with_a_question(found)


class _UsualIds:
    """Replaces the ids of calls that providers may reject."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}  # by the client's id, of the latest call with that id
        self._used: set[str] = set()

    def replaced(self, message: Message) -> Message:
        if message.role == "tool":
            call_id = message.tool_call_id or ""
            return replace(message, tool_call_id=self._ids.get(call_id, call_id), parts=())
        if not message.tool_calls:
            return message
        calls = tuple(replace(call, id=self._id_of(call.id)) for call in message.tool_calls)
        return replace(message, tool_calls=calls, native=self._native(message.native))

    def _id_of(self, call_id: str) -> str:
        is_usual = is_usual_id(call_id) and call_id not in self._used
        made = call_id if is_usual else f"call_{sha256(f'{len(self._used)} {call_id}'.encode()).hexdigest()[:16]}"
        self._ids[call_id] = made
        self._used.add(made)
        return made

    def _native(self, native: ProviderPayload | None) -> ProviderPayload | None:
        if native is None or native.provider == CALLER or not isinstance(native.content, list):
            return native
        return replace(native, content=[self._block(block) for block in native.content])

    def _block(self, block: dict[str, Any]) -> dict[str, Any]:
        replaced = {name: self._ids[block[name]] for name in ("id", "call_id") if block.get(name) in self._ids}
        return block | replaced


def _showing(files: list[Image | Document]) -> Message:
    """The images and PDFs of tool results as a message that every provider takes."""
    words = "The images of the tool results:" if isinstance(files[0], Image) else "The files of the tool results:"
    return Message("user", words, parts=(words, *files))


def _with_a_question(messages: list[Message]) -> tuple[Message, ...]:
    """The messages; without a user's text, the last instructions become the user's, as providers require one."""
    if any(m.role == "user" and (m.content.strip() or m.has_files) for m in messages):
        return tuple(messages)
    last = max((place for place, m in enumerate(messages) if m.role == "system" and m.content.strip()), default=None)
    return tuple(replace(m, role="user") if place == last else m for place, m in enumerate(messages))


def question_of(messages: Sequence[Message]) -> str:
    """The text of the last user message, else of the last instructions; empty when neither has any."""
    asked = [m.content for role in ("user", "system") for m in reversed(messages) if m.role == role]
    return next((text for text in asked if text.strip()), "")


def fault_of(messages: Sequence[Message], *, has_history: bool = False) -> str | None:
    """What no provider accepts: no question, too many images, a result without its call or a call without its result.

    None when the conversation is acceptable.
    """
    has_question = question_of(messages) or any(m.role == "user" and m.has_files for m in messages)
    if not has_question and not has_history:
        return "there is nothing to answer"
    if sum(len(m.images) + len(m.documents) for m in messages) > MAX_IMAGES:
        return f"at most {MAX_IMAGES} images and PDFs"
    return _fault_of_calls(messages)


def _fault_of_calls(messages: Iterable[Message]) -> str | None:
    pending: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in pending:
                return "a tool message answers a call of the assistant's message before it"
            pending.discard(message.tool_call_id)
        elif pending:
            break
        elif message.role == "assistant":
            pending = {call.id for call in message.tool_calls}
            if len(pending) != len(message.tool_calls):
                return "every call of an assistant's message has an id of its own"
    return "every call of an assistant's message is answered by a tool message" if pending else None
