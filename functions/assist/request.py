"""Requests of presets: the body and the headers as values, the canonical input and its hash."""

from __future__ import annotations

import functools
import hashlib
import json
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request

from functions.assist.preset import OPTIONS, AssistInput, Bundle, Offer, Preset
from shared.auth import Person
from shared.body import idempotency_key, parse_body, read_body
from shared.privacy import loggable

Mode = Literal["default", "fresh", "only_cached"]
Form = Literal["json", "events", "text"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `key` is the Idempotency-Key, `body_hash` is set with it. `form` is how the answer is sent.

    `may_keep` is false when the client forbids to store the answer. `ignored` are the unknown fields.
    """

    person: Person
    request_id: str
    arrived: float
    body: AssistInput
    key: str | None
    body_hash: str | None
    mode: Mode
    may_keep: bool
    form: Form
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Input:
    """The canonical input of a preset: as JSON, as its text, its hash, and whether it has anything personal."""

    value: dict[str, Any]
    text: str
    input_hash: str
    is_public: bool


async def read_request(person: Person, request: Request, offer: Offer) -> Asked:
    """The validated request. Raises InvalidRequest, BodyTooLarge, Unprocessable, …"""
    raw = await read_body(request)
    body = parse_body(raw, offer.input)
    key = idempotency_key(request)
    directives = {each.strip().lower() for each in request.headers.get("cache-control", "").split(",")}
    mode: Mode = "only_cached" if "only-if-cached" in directives else "default"
    if directives & {"no-cache", "no-store"} and mode == "default":
        mode = "fresh"
    return Asked(
        person=person,
        request_id=request.state.request_id,
        arrived=request.state.arrived,
        body=body,
        key=key,
        body_hash=hashlib.sha256(raw).hexdigest() if key else None,
        mode=mode,
        may_keep="no-store" not in directives,
        form=_form(request.headers.get("accept", "")),
        ignored=tuple(body.model_extra or ()),
    )


def _form(accept: str) -> Form:
    """How the client wants the answer; JSON unless it names a stream."""
    if "text/event-stream" in accept:
        return "events"
    return "text" if "text/plain" in accept and "json" not in accept else "json"


def presets_of(offer: Offer) -> tuple[Preset, ...]:
    """The presets of an offer: itself, or its parts."""
    return offer.parts if isinstance(offer, Bundle) else (offer,)


def input_of(preset: Preset, body: AssistInput) -> Input:
    """The canonical input of the preset: Unicode NFC, trimmed, sorted keys, without options and empty fields."""
    fields = body.model_dump(mode="json", exclude={*OPTIONS, *(body.model_extra or ())}, exclude_none=True)
    value = {name: _canonical(item) for name, item in fields.items() if item not in ([], {})}
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    key = [preset.name, preset.version, preset.schema_hash, body.max_tokens, (body.locale or "").lower(), text]
    input_hash = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    is_public = preset.is_public and "context" not in value and not _is_personal(text)
    return Input(value, text, input_hash, is_public)


@functools.lru_cache(maxsize=1024)
def _is_personal(text: str) -> bool:
    """Whether the redactor finds anything in the text; also when it fails."""
    return loggable(text, "redacted") != text


def _canonical(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value).strip()
    if isinstance(value, dict):
        return {_canonical(name): _canonical(item) for name, item in value.items()}
    return [_canonical(item) for item in value] if isinstance(value, list) else value
