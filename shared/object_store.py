"""Object stores by URL: file:///…, s3://bucket/prefix, gs://bucket/prefix, or memory:/// for tests.

obstore reads a store's endpoint and credentials from the store's own variables (AWS_…, GOOGLE_…).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from obstore.exceptions import BaseError
from obstore.store import MemoryStore, ObjectStore, from_url

from shared.config import settings
from shared.errors import DependencyDown, NotConfigured

CALL_SECONDS = 10.0
_REMOTE = ("s3://", "gs://")


def store_of(variable: str) -> ObjectStore:
    """The store that the environment variable names. Raises NotConfigured, with the variable's name."""
    return _opened(settings().require(variable), variable)


@asynccontextmanager
async def store_errors(name: str) -> AsyncIterator[None]:
    """Limits the block to CALL_SECONDS, and raises DependencyDown with the store's `name` for every failure in it."""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            yield
    except (BaseError, OSError) as error:  # TimeoutError is an OSError
        raise DependencyDown(f"The {name} cannot be reached.", retry_after_seconds=60) from error


@functools.cache
def _opened(url: str, variable: str) -> ObjectStore:
    """The store, opened once: a second memory store would be empty, and other stores keep their connections."""
    try:
        if url.startswith("memory://"):
            return MemoryStore()
        if url.startswith("file://"):
            return from_url(url, mkdir=True)
        if url.startswith(_REMOTE):
            return from_url(url, retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=2)})
    except (BaseError, ValueError, OSError) as error:
        raise NotConfigured(f"The environment variable {variable} names no store that can be opened.") from error
    raise NotConfigured(f"The environment variable {variable} is no file, s3, gs or memory URL.")
