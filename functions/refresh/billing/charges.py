"""What one provider charged for one model on one UTC day, and how the reports of providers are read page by page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import aiohttp

from shared import http
from shared.bounded_responses import read_within
from shared.errors import ProviderError, ProviderTimeout
from shared.providers.provider_errors import PARSE_ERRORS, error_for_status, malformed_response, unreachable

_SECONDS = 60.0  # for all pages of one report
_MAX_PAGES = 100
_MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Charge:
    """Tokens or US dollars of a model on a UTC day; None where a report does not say. Without a model it is empty."""

    day: date
    model: str
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None

    def as_row(self) -> dict[str, Any]:
        """The element of `rows` of store_bills()."""
        cost = None if self.cost_usd is None else str(self.cost_usd)
        return asdict(self) | {"day": self.day.isoformat(), "cost_usd": cost}


Reader = Callable[[date, date], Awaitable[list[Charge]]]
"""Reads what was charged from the first day to the second, which is excluded."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report of a provider: its address, headers and query, and the pure function that reads one bucket of a day."""

    provider: str
    url: str
    headers: dict[str, str]
    query: Sequence[tuple[str, str]]
    read: Callable[[Any], list[Charge]]


async def read_report(report: Report) -> list[Charge]:
    """The charges of all pages. Raises ProviderError and its subclasses."""
    found: list[Charge] = []
    try:
        async with asyncio.timeout(_SECONDS):
            async for page in _pages(report):
                for bucket in page["data"]:
                    found += report.read(bucket)
    except TimeoutError as error:
        raise ProviderTimeout(f"The provider {report.provider} did not send its bill in time.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise unreachable(report.provider) from error
    except PARSE_ERRORS as error:
        raise malformed_response(report.provider, "a bill") from error
    except ArithmeticError as error:
        raise malformed_response(report.provider, "a bill") from error
    return found


async def _pages(report: Report) -> AsyncIterator[Any]:
    query, size = list(report.query), 0
    for _ in range(_MAX_PAGES):
        body = await _get(report, query, _MAX_BYTES - size)
        size += len(body)
        page = json.loads(body, parse_float=Decimal)
        yield page
        if page["has_more"] is not True:
            return
        query = [*report.query, ("page", str(page["next_page"]))]
    raise ValueError("more pages than a month has")


async def _get(report: Report, query: list[tuple[str, str]], max_bytes: int) -> bytes:
    session = http.session()
    async with session.get(report.url, params=query, headers=report.headers, allow_redirects=False) as response:
        if response.status in {403, 404}:
            raise ProviderError(
                f"The provider {report.provider} shows no bill to this key.", upstream_status=response.status
            )
        if response.status != 200:
            raise error_for_status(report.provider, response.status)
        return await read_within(response.content, max_bytes)
