"""Fetches the providers' model lists: page by page, within limits, without redirects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from functions.refresh.sources.listed import ProviderModel, without_duplicates
from shared import http
from shared.bounded_responses import read_within
from shared.config import settings
from shared.errors import ProviderError, ProviderTimeout
from shared.providers.provider_errors import PARSE_ERRORS, error_for_status, malformed_response, unreachable

LIST_SECONDS = 20.0  # for all pages of one provider
_MAX_PAGES = 50
_MAX_BYTES = 32 * 1024 * 1024  # of all pages; the longest entries take 15 MiB for ten thousand models


def _is_last(_page: Any) -> None:
    """For lists of one page."""


@dataclass(frozen=True, slots=True)
class Source:
    """A provider's list: its URL, the headers with the key, and the pure functions that read it.

    `fallback` gives the models when the provider answers 404, 405 or 501, because it has no list.
    """

    provider: str
    base_url: str
    base_url_variable: str
    key_variable: str
    path: str
    headers: Callable[[str], dict[str, str]]
    read: Callable[[Any], list[ProviderModel]]
    after: Callable[[Any], dict[str, str] | None] = _is_last
    query: Mapping[str, str] = field(default_factory=dict)
    fallback: Callable[[], list[ProviderModel]] | None = None


async def fetch(source: Source) -> list[ProviderModel]:
    """All models of the list, each once. Raises ProviderError, and NotConfigured for an invalid key."""
    found: list[ProviderModel] = []
    try:
        async with asyncio.timeout(LIST_SECONDS):
            async for page in _pages(source):
                found += source.read(page)
    except TimeoutError as error:
        raise ProviderTimeout(f"The provider {source.provider} did not list its models in time.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise unreachable(source.provider) from error
    except PARSE_ERRORS as error:
        raise malformed_response(source.provider, "a model list") from error
    except ProviderError as error:
        if source.fallback is None or error.upstream_status not in {404, 405, 501}:
            raise
        found = source.fallback()
    return without_duplicates(found)


async def _pages(source: Source) -> AsyncIterator[Any]:
    query, size = dict(source.query), 0
    for _ in range(_MAX_PAGES):
        body = await _get(source, query, _MAX_BYTES - size)
        size += len(body)
        page = await asyncio.to_thread(json.loads, body) if len(body) > 1024 * 1024 else json.loads(body)
        yield page
        more = source.after(page)
        if more is None:
            return
        query |= more
    raise ValueError("more pages than any provider has")


async def _get(source: Source, query: Mapping[str, str], max_bytes: int) -> bytes:
    url = settings().checked(source.base_url_variable, source.base_url).rstrip("/") + source.path
    headers = source.headers(settings().key(source.key_variable))
    async with http.session().get(url, params=query, headers=headers, allow_redirects=False) as response:
        if response.status != 200:
            raise error_for_status(source.provider, response.status)
        return await read_within(response.content, max_bytes)
