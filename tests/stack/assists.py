"""Requests to assist, and models of the scripted upstream that answer them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import httpx

from tests.fakes.providers import Upstream
from tests.fakes.providers.wire import Script
from tests.stack.people import Person

INSIGHT = {
    "headline": "Prices rise",
    "findings": [{"statement": "Demand grows", "evidence": "The input says so", "confidence": 0.75}],
    "actions": ["Buy early"],
}
BRIEF = "/insights/market-brief"
_numbers = itertools.count(1)


def pieces(value: Any, length: int = 12) -> tuple[str, ...]:
    """The JSON of a value in pieces, as a model writes it."""
    text = value if isinstance(value, str) else json.dumps(value)
    return tuple(text[place : place + length] for place in range(0, len(text), length))


def says(value: Any, **fields: Any) -> Script:
    """A model that answers with this value, or with this text."""
    return Script(pieces(value), **fields)


def name_of(identifier: str) -> str:
    """The provider's own name in an identifier."""
    return identifier.split(":", 2 if identifier.startswith("client:") else 1)[-1]


def calls_of(upstream: Upstream, identifier: str) -> int:
    """How many calls a model has had."""
    return len(upstream.calls_of(name_of(identifier)))


def plays(upstream: Upstream, identifier: str, *acts: Any) -> str:
    """The identifier, whose model now plays these scripts, one for each call."""
    upstream.plays[name_of(identifier)] = acts
    return identifier


def market() -> dict[str, Any]:
    """An input of the insights that no other test uses."""
    return {"market": f"tea number {next(_numbers)}", "keywords": ["green", "black"]}


def post(url: str, person: Person, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    """One request to assist; underscores of header names are hyphens."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{url}{path}", json=body, headers=person.headers | sent, timeout=60)
