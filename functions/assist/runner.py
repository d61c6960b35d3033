"""The way of one answer: cache, single flight, model, validation, cache. Hits load nothing that only misses need."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import anyio

from functions.assist import cache
from functions.assist.answer import Answer, CacheState
from functions.assist.cache import RENEW_SECONDS, Found, Lease
from functions.assist.preset import Preset
from functions.assist.request import Asked, Input, Mode, input_of
from shared.config import settings
from shared.errors import (
    BY_CODE,
    IdempotencyMismatch,
    InvalidApiKey,
    NotCached,
    ParleyError,
    ProviderError,
    RequestInProgress,
    TurnTimeout,
    Unauthenticated,
)
from shared.privacy import person_hash

_MODELS = "functions.assist.model_answer"  # loads the gateway and the turns
_FIRST_WAIT_SECONDS: Final = 0.05
_MAX_WAIT_SECONDS: Final = 0.5

Watch = Callable[[Any], Awaitable[None]]


async def unwatched(_event: Any) -> None:
    """For an answer that is not streamed."""


@dataclass(slots=True)
class Part:
    """One preset of a request. `turn_id` is that of its log row, also for a hit."""

    preset: Preset
    asked: Asked
    input: Input
    turn_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @classmethod
    def of(cls, preset: Preset, asked: Asked) -> Part:
        """The part of a request. Its idempotency key is the request's and the preset's."""
        return cls(preset, asked, input_of(preset, asked.body))

    @property
    def key(self) -> str | None:
        """The idempotency key in the database, where a preset's differs from chat's and from other presets'."""
        key = self.asked.key
        return None if key is None else hashlib.sha256(f"assist {self.preset.name} {key}".encode()).hexdigest()

    def lookup(self, awaited: Found | None, mode: Mode) -> dict[str, Any]:
        """The lookup; `awaited` is the last busy result."""
        asked, preset = self.asked, self.preset
        wait = awaited.fields if awaited else {}
        return {
            "user_id": asked.person.id,
            "turn_id": self.turn_id,
            "request_id": asked.request_id,
            "preset": preset.name,
            "prompt_version": preset.version,
            "input_hash": self.input.input_hash,
            "is_public": self.input.is_public,
            "model": asked.body.model,
            "wanted_models": preset.wanted_models,
            "needs": ["supports_json"],
            "context_tokens": -(-len(self.input.text.encode()) // 3) + 1024 + preset.prompt_bound // 3,
            "mode": mode,
            "awaited_key": wait.get("cache_key"),
            "awaited_fence": wait.get("fence"),
            "idempotency_key": self.key,
            "body_hash": asked.body_hash,
            "duration_ms": round((time.monotonic() - asked.arrived) * 1000),
            "user_id_hash": person_hash(asked.person.id, settings().get("HASH_PEPPER")),
            "key_hash": asked.person.api_key and asked.person.api_key.digest,
        }


async def find(part: Part, awaited: Found | None = None, mode: Mode | None = None) -> Found:
    """What the cache has; `mode` replaces the request's.

    Raises NotCached, IdempotencyMismatch, RequestInProgress, Unauthenticated, InvalidApiKey, DatabaseUnavailable.
    """
    found = await cache.find(part.lookup(awaited, mode or part.asked.mode))
    match found.outcome:
        case "none":
            raise NotCached("There is no stored answer for this request.")
        case "mismatch":
            raise IdempotencyMismatch("This idempotency key was used with another body.")
        case "not_kept":
            raise IdempotencyMismatch("The answer of this idempotency key could not be stored. Use another key.")
        case "in_progress":
            raise RequestInProgress(
                "A request with this idempotency key is still running.", retry_after_seconds=found.fields["retry_after"]
            )
        case "bad_key":
            raise InvalidApiKey(found.fields["message"], metadata={"reason": found.fields["reason"]})
        case "no_user":
            raise Unauthenticated("This user does not exist.")
        case "failed":
            kind = BY_CODE.get(found.fields["error_code"], ProviderError)
            raise kind("The request that asked the model for the same answer failed.")
        case _:
            return found


def kept(part: Part, found: Found) -> Answer | None:
    """The stored answer of a hit or replay; None when there is none."""
    if found.output is None:
        return None
    fields = found.fields
    is_replay = found.outcome == "replay"
    headers = {"X-Model": quote(fields["model"], safe=":/@+., ")}
    if is_replay:
        headers["Idempotent-Replayed"] = "true"
    state: CacheState = "REPLAY" if is_replay else "STALE" if fields["is_stale"] else "HIT"
    age = None if is_replay else int(fields["age"])
    return Answer(found.output, _kept_receipt(part, fields, state, age), state, age, headers)


def _kept_receipt(part: Part, fields: dict[str, Any], state: CacheState, age: int | None) -> dict[str, Any]:
    return {
        "turn_id": fields.get("turn_id", part.turn_id),
        "request_id": part.asked.request_id,
        "preset": part.preset.name,
        "preset_version": part.preset.version,
        "cache": state.lower(),
        "age_seconds": age,
        "route": {"identifier": fields["model"]},
        "usage": {"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0, "reasoning_tokens": 0},
        "attempts": [],
        "cost_usd": 0,
        "saved_usd": fields.get("saved_usd"),
        "logged": True,
    }


async def answer(part: Part, found: Found, watch: Watch = unwatched) -> Answer:
    """The answer: stored, awaited or computed; `watch` gets the model's events. Raises what the turn ended with."""
    wait = _FIRST_WAIT_SECONDS
    while (stored := kept(part, found)) is None and found.outcome == "busy":
        if time.monotonic() > settings().deadline(part.asked.arrived):
            raise TurnTimeout("The answer that another request computes took too long.")
        await _end_of_flight(found.fields["cache_key"], wait)
        wait = min(wait * 1.5, _MAX_WAIT_SECONDS)
        found = await find(part, found)
    if stored is not None:
        return stored
    return await _computed(part, found, watch)


async def _computed(part: Part, found: Found, watch: Watch) -> Answer:
    """The model's answer. A stale one serves when the model gives none; the lease ends in every case."""
    lease = Lease(found.fields.get("cache_key"), part.turn_id, found.fields.get("fence"))
    try:
        async with _flight(lease) as failure:
            try:
                compute = importlib.import_module(_MODELS).computed
                computed: Answer = await compute(part, lease, watch)
            except ProviderError as error:
                if error.status >= 500:  # others meet it, too, unlike what this user's request alone meets
                    failure.append(error.code)
                raise
    except ParleyError:
        if "stale_id" not in found.fields:
            raise
        stale = kept(part, await find(part, mode="only_cached"))
        if stale is None:
            raise
        return stale
    return computed


_flights: dict[str, asyncio.Event] = {}


@asynccontextmanager
async def _flight(lease: Lease) -> AsyncIterator[list[str]]:
    """Renews the lease while its body runs, and ends it when the body fails; requests of this process then look again.

    The body appends the code of a failure that those who wait get as well.
    """
    failure: list[str] = []
    if lease.fence is None or lease.cache_key is None:
        yield failure
        return
    ended = _flights[lease.cache_key] = asyncio.Event()
    renewal = asyncio.create_task(cache.keep_lease(lease))
    try:
        yield failure
    except BaseException:
        with anyio.CancelScope(shield=True):
            await cache.release(lease, failure[0] if failure else None)
        raise
    finally:
        renewal.cancel()
        ended.set()
        if _flights.get(lease.cache_key) is ended:
            del _flights[lease.cache_key]


async def _end_of_flight(cache_key: str, seconds: float) -> None:
    """Returns when this process has ended the answer of this key; after some time when another one computes it."""
    ended = _flights.get(cache_key)
    if ended is None:
        await asyncio.sleep(seconds)
    else:
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), RENEW_SECONDS)
