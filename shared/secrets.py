"""Secrets that a store keeps: fetched at run time and laid under the environment, whose own values come first.

`SECRETS_SOURCE=ssm:/path/` names AWS's Parameter Store: each parameter right under the path is a variable by its last
name. Without it there is nothing to fetch; where a host puts secrets into the environment itself, none is needed.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
from yarl import URL

from shared import http
from shared.config import set_fallback_environment, settings
from shared.errors import DependencyDown, NotConfigured
from shared.log import log
from shared.sigv4 import Credentials, Scope, signed_headers

_FETCH_SECONDS = 3.0
_TRIES = 3  # of one question, within the time for them all
_PAUSE_SECONDS = 0.2
_TOO_MANY = re.compile(r"Throttl|TooManyUpdates|RequestLimitExceeded|SlowDown")
_MAX_PAGES = 20  # of ten parameters each
_JSON = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "AmazonSSM.GetParametersByPath"}


class RefusedError(ValueError):
    """The store's answer was an error: its status and machine code, for its words may repeat what was asked."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.code = status, _machine_code(body)
        super().__init__(f"status {status} {self.code}".rstrip())

    @property
    def is_transient(self) -> bool:
        """Whether the same question may be answered a moment later."""
        return self.status >= 500 or self.status == 429 or bool(_TOO_MANY.search(self.code))


class Secrets:
    """What the store said last: fresh for five minutes, and used for as long as it takes while the store is away."""

    ttl_seconds = 300.0
    retry_seconds = 15.0  # between two tries at a store that fails, or that somebody's refused key sends us to
    stale_seconds = 1.0  # that somebody waits for new ones when there are old ones

    def __init__(self, fetch: Callable[[str], Awaitable[dict[str, str]]]) -> None:
        self._fetch = fetch
        self._values: dict[str, str] | None = None
        self._fresh_until = self._tried_at = self._changed_at = float("-inf")
        self._lock: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def ready(self) -> None:
        """Returns when settings() holds them. Raises DependencyDown when they were never to be had, NotConfigured."""
        if not settings().get("SECRETS_SOURCE") or time.monotonic() < self._fresh_until:
            return
        lock = self._own_lock()
        if lock.locked() and self._values is not None:
            return  # somebody is asking already, and what we have will do
        async with lock:
            if time.monotonic() >= self._fresh_until:
                await self._renew()
        if self._values is None:
            raise DependencyDown("The secrets cannot be fetched right now.", retry_after_seconds=5)

    async def changed_since(self, moment: float) -> bool:
        """Whether others are in use than at `moment`, by time.monotonic(): the store is asked, but not every time.

        For a key that was refused: when it was replaced meanwhile, the same call may well succeed now.
        """
        if not settings().get("SECRETS_SOURCE"):
            return False
        async with self._own_lock():
            if self._changed_at <= moment and time.monotonic() - self._tried_at > self.retry_seconds:
                await self._renew()
        return self._changed_at > moment

    async def _renew(self) -> None:
        """Failing, the old values go on serving: a store that is away must not take every turn with it.

        So they do when it has none at all any more; were there never any, the environment may have them all.
        """
        try:
            async with asyncio.timeout(None if self._values is None else self.stale_seconds):
                fetched = await self._fetch(settings().require("SECRETS_SOURCE"))
        except (DependencyDown, TimeoutError) as error:
            log("secrets_failed", **_told_of(error), is_stale=bool(self._values))
            self._tried_at = time.monotonic()
            self._fresh_until = self._tried_at + (self.retry_seconds if self._values is not None else 1.0)
            return
        self._tried_at = time.monotonic()
        if not fetched:
            log("secrets_failed", error="NoParameters", is_stale=bool(self._values))
            self._values = self._values or {}
            self._fresh_until = self._tried_at + self.retry_seconds
            return
        self._fresh_until = self._tried_at + self.ttl_seconds
        if fetched != self._values:
            self._values, self._changed_at = fetched, self._tried_at
            set_fallback_environment(fetched)

    def _own_lock(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._lock is None or self._loop is not loop:
            self._lock, self._loop = asyncio.Lock(), loop
        return self._lock


async def fetch(source: str) -> dict[str, str]:
    """Variables and their values. Raises NotConfigured for a source we do not know, DependencyDown."""
    path = source.removeprefix("ssm:")
    if path == source or not path.startswith("/"):
        raise NotConfigured("The environment variable SECRETS_SOURCE is not of the form ssm:/path/.")
    try:
        async with asyncio.timeout(_FETCH_SECONDS):
            return await _parameters(path)
    except (
        aiohttp.ClientError,
        TimeoutError,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise DependencyDown("The secrets cannot be fetched right now.", retry_after_seconds=5) from error


async def _parameters(path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    asked: dict[str, Any] = {"Path": path, "WithDecryption": True, "Recursive": False}
    for _ in range(_MAX_PAGES):
        page = await _answered(asked)
        values = {each["Name"].rsplit("/", 1)[1]: each["Value"] for each in page["Parameters"]}
        found |= {name: value for name, value in values.items() if isinstance(value, str)}
        if not page.get("NextToken"):
            return found
        asked["NextToken"] = page["NextToken"]
    raise ValueError("more parameters than anybody needs")


async def _answered(asked: dict[str, Any]) -> Any:
    """The answer; a store that is busy or hung up on us is asked again after a moment."""
    for number in range(_TRIES):
        try:
            return await _ask(asked)
        except (RefusedError, aiohttp.ClientConnectionError) as error:
            if number + 1 == _TRIES or (isinstance(error, RefusedError) and not error.is_transient):
                raise
        await asyncio.sleep(random.uniform(0.25, 1) * _PAUSE_SECONDS * 2**number)  # noqa: S311 - no secret
    raise AssertionError("the last try returns or raises")


async def _ask(asked: dict[str, Any]) -> Any:
    region = settings().require("AWS_REGION")
    url = URL(settings().checked("AWS_ENDPOINT_URL", f"https://ssm.{region}.amazonaws.com"))
    who = Credentials(
        settings().require("AWS_ACCESS_KEY_ID"),
        settings().require("AWS_SECRET_ACCESS_KEY"),
        settings().get("AWS_SESSION_TOKEN"),
    )
    body = json.dumps(asked).encode()
    headers = signed_headers(url.authority, _JSON, body, Scope(region, "ssm"), who, datetime.now(UTC))
    async with http.session().post(url, data=body, headers=headers, allow_redirects=False) as response:
        body = await response.read()
        if response.status != 200:
            raise RefusedError(response.status, body)
        return json.loads(body)


def _told_of(error: BaseException) -> dict[str, Any]:
    """Machine codes only: what somebody who deploys for the first time has to go by."""
    cause = error.__cause__ if isinstance(error, DependencyDown) and error.__cause__ else error
    refused = {"status": cause.status, "code": cause.code} if isinstance(cause, RefusedError) else {}
    return {"error": type(cause).__name__} | refused


def _machine_code(body: bytes) -> str:
    """The last part of `__type` (`com.amazonaws.ssm#AccessDeniedException`), empty when it is not one."""
    try:
        kind = str(json.loads(body)["__type"]).rsplit("#", 1)[-1]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return kind if re.fullmatch(r"[A-Za-z]{1,64}", kind) else ""


secrets = Secrets(fetch)
