"""API keys of stack tests."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx

from tests.stack.people import Person

UNKNOWN = "pk_" + 64 * "0"


def create_key(person: Person, **arguments: Any) -> httpx.Response:
    """The answer of `create_api_key`, whatever it is."""
    return person.rest("POST", "rpc/create_api_key", json={"name": "laptop"} | arguments)


def new_key(person: Person, **arguments: Any) -> dict[str, Any]:
    """A key that was created, with its secret as `key`."""
    answer = create_key(person, **arguments)
    assert answer.status_code == 200, answer.text
    key: dict[str, Any] = answer.json()
    return key


def revoke(person: Person, key: dict[str, Any]) -> int:
    """The status of `revoke_api_key`."""
    return person.rest("POST", "rpc/revoke_api_key", json={"id": key["id"]}).status_code


def digest_of(key: dict[str, Any]) -> str:
    """The SHA-256 of a key's secret, in hex."""
    return hashlib.sha256(str(key["key"]).encode()).hexdigest()
