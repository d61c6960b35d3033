"""Secrets from a store, fetched at run time; environment variables override them.

`SECRETS_SOURCE=ssm:/path/` names AWS's Parameter Store: each parameter directly under the path is a variable, named by
the last part of its path. Without SECRETS_SOURCE nothing is fetched.
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
from shared.per_loop import PerLoop
from shared.sigv4 import Credentials, Scope, signed_headers

_FETCH_SECONDS = 3.0
_TRIES = 3  # of one request, within _FETCH_SECONDS for all
_PAUSE_SECONDS = 0.2
_TOO_MANY = re.compile(r"Throttl|TooManyUpdates|RequestLimitExceeded|SlowDown")
_MAX_PAGES = 20  # of ten parameters each
_JSON = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "AmazonSSM.GetParametersByPath"}


class RefusedError(ValueError):
    """The store answered with an error: status and machine code only, as its message may repeat the request."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.code = status, _machine_code(body)
        super().__init__(f"status {status} {self.code}".rstrip())

    @property
    def is_transient(self) -> bool:
        """Whether a retry may succeed."""
        return self.status >= 500 or self.status == 429 or bool(_TOO_MANY.search(self.code))


class Secrets:
    """The latest secrets: fetched again after five minutes, and used for as long as the store is unreachable."""

    ttl_seconds = 300.0
    retry_seconds = 15.0  # between two fetches after a failure or a refused key
    first_retry_seconds = 1.0  # the same until the first secrets
    stale_seconds = 1.0  # how long a request waits for new secrets if there are old ones

    def __init__(self, fetch: Callable[[str], Awaitable[dict[str, str]]]) -> None:
        self._fetch = fetch
        self._values: dict[str, str] | None = None
        self._fresh_until = self._tried_at = self._changed_at = float("-inf")
        self._lock = PerLoop(asyncio.Lock)

    async def ready(self) -> None:
        """Returns when settings() has the secrets. Raises DependencyDown if they were never fetched, NotConfigured."""
        if not settings().get("SECRETS_SOURCE") or time.monotonic() < self._fresh_until:
            return
        lock = self._lock()
        if lock.locked() and self._values is not None:
            return  # another request fetches the secrets; this one uses the old values
        async with lock:
            if time.monotonic() >= self._fresh_until:
                await self._renew()
        if self._values is None:
            raise DependencyDown("The secrets cannot be fetched right now.", retry_after_seconds=5)

    async def changed_since(self, moment: float) -> bool:
        """Whether the secrets changed since `moment` (time.monotonic()); fetches them at most every 15 seconds.

        A call with a refused key may succeed after the key was replaced.
        """
        if not settings().get("SECRETS_SOURCE"):
            return False
        async with self._lock():
            if self._changed_at <= moment and time.monotonic() - self._tried_at > self.retry_seconds:
                await self._renew()
        return self._changed_at > moment

    async def _renew(self) -> None:
        """Fetches the secrets; after a failure, or if the store has none, the old values stay in use.

        A store that never had any is no error: the environment may have all variables.
        """
        try:
            async with asyncio.timeout(None if self._values is None else self.stale_seconds):
                fetched = await self._fetch(settings().require("SECRETS_SOURCE"))
        except (DependencyDown, TimeoutError) as error:
            log("secrets_failed", **_log_fields(error), is_stale=bool(self._values))
            self._tried_at = time.monotonic()
            self._fresh_until = self._tried_at + (
                self.first_retry_seconds if self._values is None else self.retry_seconds
            )
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


async def fetch(source: str) -> dict[str, str]:
    """Variables and their values. Raises NotConfigured for an unknown source, DependencyDown."""
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
    query: dict[str, Any] = {"Path": path, "WithDecryption": True, "Recursive": False}
    for _ in range(_MAX_PAGES):
        page = await _post_with_retries(query)
        values = {each["Name"].rsplit("/", 1)[1]: each["Value"] for each in page["Parameters"]}
        found |= {name: value for name, value in values.items() if isinstance(value, str)}
        if not page.get("NextToken"):
            return found
        query["NextToken"] = page["NextToken"]
    raise ValueError("too many parameters")


async def _post_with_retries(query: dict[str, Any]) -> Any:
    """The response; retries after a short pause if the store is busy or closes the connection."""
    for number in range(_TRIES):
        try:
            return await _post(query)
        except (RefusedError, aiohttp.ClientConnectionError) as error:
            if number + 1 == _TRIES or (isinstance(error, RefusedError) and not error.is_transient):
                raise
        await asyncio.sleep(random.uniform(0.25, 1) * _PAUSE_SECONDS * 2**number)  # noqa: S311 - no secret
    raise AssertionError("the last try returns or raises")


async def _post(query: dict[str, Any]) -> Any:
    region = settings().require("AWS_REGION")
    url = URL(settings().checked("AWS_ENDPOINT_URL", f"https://ssm.{region}.amazonaws.com"))
    credentials = Credentials(
        settings().require("AWS_ACCESS_KEY_ID"),
        settings().require("AWS_SECRET_ACCESS_KEY"),
        settings().get("AWS_SESSION_TOKEN"),
    )
    body = json.dumps(query).encode()
    headers = signed_headers(url.authority, _JSON, body, Scope(region, "ssm"), credentials, datetime.now(UTC))
    async with http.session().post(url, data=body, headers=headers, allow_redirects=False) as response:
        body = await response.read()
        if response.status != 200:
            raise RefusedError(response.status, body)
        return json.loads(body)


def _log_fields(error: BaseException) -> dict[str, Any]:
    """The machine codes of a failure, for the log."""
    cause = error.__cause__ if isinstance(error, DependencyDown) and error.__cause__ else error
    refused = {"status": cause.status, "code": cause.code} if isinstance(cause, RefusedError) else {}
    return {"error": type(cause).__name__} | refused


def _machine_code(body: bytes) -> str:
    """The last part of `__type` (`com.amazonaws.ssm#AccessDeniedException`), empty if there is none."""
    try:
        kind = str(json.loads(body)["__type"]).rsplit("#", 1)[-1]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return kind if re.fullmatch(r"[A-Za-z]{1,64}", kind) else ""


secrets = Secrets(fetch)
