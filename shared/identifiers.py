"""Checks of identifiers that clients send: request ids, idempotency keys, uuids."""

from __future__ import annotations

import re
import uuid

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")
_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def request_id_of(given: str | None) -> str:
    """The client's request id if it is well-formed, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def is_idempotency_key(text: str) -> bool:
    """Whether the text is 1 to 255 printable ASCII characters."""
    return _IDEMPOTENCY_KEY.fullmatch(text) is not None


def is_canonical_uuid(text: object) -> bool:
    """Whether this is a uuid as the database prints it: lowercase, with hyphens."""
    return isinstance(text, str) and _CANONICAL_UUID.fullmatch(text) is not None


def provider_key(provider: str, node_id: int | None) -> str:
    """The key of circuit state: the provider, or `client:<node>` for a client node."""
    return provider if node_id is None else f"client:{node_id}"
