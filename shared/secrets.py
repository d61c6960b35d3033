"""Secrets that a store keeps: fetched at run time and laid under the environment, whose own values come first.

`SECRETS_SOURCE=ssm:/path/` names AWS's Parameter Store: each parameter right under the path is a variable by its last
name. Without it there is nothing to fetch; where a host puts secrets into the environment itself, none is needed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
from yarl import URL

from shared import http
from shared.config import lay_under, settings
from shared.errors import DependencyDown, NotConfigured
from shared.log import log
from shared.sigv4 import Credentials, Scope, signed_headers

_FETCH_SECONDS = 3.0
_MOST_PAGES = 20  # of ten parameters each
_JSON = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "AmazonSSM.GetParametersByPath"}


class Secrets:
    """What the store said last: fresh for five minutes, and used for as long as it takes while the store is away."""

    ttl_seconds = 300.0
    retry_seconds = 15.0  # between two tries at a store that fails, or that somebody's refused key sends us to

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
        """Failing, the old values go on serving: a store that is away must not take every turn with it."""
        try:
            fetched = await self._fetch(settings().require("SECRETS_SOURCE"))
        except DependencyDown as error:
            log("secrets_failed", error=type(error.__cause__ or error).__name__, is_stale=self._values is not None)
            self._tried_at = time.monotonic()
            self._fresh_until = self._tried_at + (self.retry_seconds if self._values is not None else 1.0)
            return
        self._tried_at = time.monotonic()
        self._fresh_until = self._tried_at + self.ttl_seconds
        if fetched != self._values:
            self._values, self._changed_at = fetched, self._tried_at
            lay_under(fetched)

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
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DependencyDown("The secrets cannot be fetched right now.", retry_after_seconds=5) from error


async def _parameters(path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    asked: dict[str, Any] = {"Path": path, "WithDecryption": True, "Recursive": False}
    for _ in range(_MOST_PAGES):
        page = await _ask(asked)
        found |= {each["Name"].rsplit("/", 1)[1]: each["Value"] for each in page["Parameters"]}
        if not page.get("NextToken"):
            return found
        asked["NextToken"] = page["NextToken"]
    raise ValueError("more parameters than anybody needs")


async def _ask(asked: dict[str, Any]) -> Any:
    region = settings().require("AWS_REGION")
    url = URL(settings().get("AWS_ENDPOINT_URL", f"https://ssm.{region}.amazonaws.com"))
    who = Credentials(
        settings().require("AWS_ACCESS_KEY_ID"),
        settings().require("AWS_SECRET_ACCESS_KEY"),
        settings().get("AWS_SESSION_TOKEN"),
    )
    body = json.dumps(asked).encode()
    headers = signed_headers(url.authority, _JSON, body, Scope(region, "ssm"), who, datetime.now(UTC))
    async with http.session().post(url, data=body, headers=headers, allow_redirects=False) as response:
        if response.status != 200:
            raise ValueError(f"status {response.status}")  # its words may repeat what was asked
        return json.loads(await response.read())


secrets = Secrets(fetch)
