"""Personal API keys: which user a key belongs to and what it may do, by one database call, cached for a short time."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from dataclasses import dataclass, field
from typing import Final

from shared import ledger_calls, supabase
from shared.errors import InvalidApiKey

PREFIX: Final = "pk_"
_MAX_LOOKUPS = 2  # at once: anyone can send invented keys, and turns share the three connections
_FORM = re.compile(r"pk_[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key that is valid now, without its secret. `digest` is the secret's SHA-256 in hex; it is never logged."""

    id: str
    user_id: str
    scopes: frozenset[str]
    digest: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Refusal:
    message: str
    reason: str

    def error(self) -> InvalidApiKey:
        return InvalidApiKey(self.message, metadata={"reason": self.reason})


_NO_KEY = _Refusal("This is not an API key of Parley.", "unknown")


class ApiKeys:
    """Resolves keys; remembers them by hash, valid ones never beyond their expiry.

    A revoked key lists models for `cache_seconds` at most. Turns do not depend on the cache, because
    `chat_begin_with_key` reads the key again. Refused keys are remembered, too: none of them becomes valid soon.
    """

    cache_seconds = 15.0
    max_cached = 10_000

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, ApiKey | _Refusal]] = {}
        self._lookups = asyncio.Semaphore(_MAX_LOOKUPS)

    async def resolve(self, secret: str) -> ApiKey:
        """The key with this secret. Raises InvalidApiKey with its reason, DatabaseUnavailable, NotConfigured."""
        if not _FORM.fullmatch(secret):
            raise _NO_KEY.error()
        digest = hashlib.sha256(secret.encode()).hexdigest()
        good_until, found = self._known.get(digest, (0.0, _NO_KEY))
        if time.time() >= good_until:
            async with self._lookups:
                good_until, found = self._known.get(digest, (0.0, _NO_KEY))  # a request that waited may find it
                if time.time() >= good_until:
                    good_until, found = await self._read(digest)
                    if len(self._known) >= self.max_cached:
                        self._known.clear()
                    self._known[digest] = (good_until, found)
        if isinstance(found, _Refusal):
            raise found.error()
        return found

    async def _read(self, digest: str) -> tuple[float, ApiKey | _Refusal]:
        """Until when the answer is good, and the answer."""
        good_until = time.time() + self.cache_seconds
        try:
            row = await ledger_calls.call("api_key_person", {"key_hash": digest}, supabase.as_service)
        except InvalidApiKey as error:
            return good_until, _Refusal(error.message, str(error.metadata.get("reason")))
        key = ApiKey(row["key_id"], row["user_id"], frozenset(row["scopes"]), digest)
        return min(good_until, float(row["expires_at"])), key


api_keys = ApiKeys()
