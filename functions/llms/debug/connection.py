"""Tests a connection: a call of one token to a model, or a free call to a provider."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request

from shared import supabase
from shared.auth import Person
from shared.body import parse_body, read_body
from shared.errors import ModelNotFound, ParleyError, ProviderTimeout
from shared.messages import Message, ModelRequest, Node
from shared.provider_config import PROVIDERS
from shared.providers import provider_named

_SECONDS = 20.0
_MAX_DIGITS = 18  # what fits a bigint
_QUESTION = (Message("user", "Say yes."),)
_FIXES: Final = {
    "not_configured": "Set the variable that the message names.",
    "provider_auth_failed": "Look at the key and at the account's credit.",
    "model_unavailable": "The provider does not serve this model to this account or region, or not by this name.",
    "provider_refused": "The provider rejects the request: check the model's capabilities.",
    "provider_unreachable": "Check the provider's base URL, and whether this host can reach it.",
    "provider_timeout": "It took too long; try again, and look at the provider's status page.",
    "provider_overloaded": "Try again in a minute; raise the account's rate limit if it stays so.",
    "node_failed": "Look at the node's address, its key and whether it runs; then probe it.",
}


class ConnectionRequest(BaseModel):
    """A model by identifier or key, or a provider by its name."""

    model_config = ConfigDict(extra="forbid", strict=True)

    identifier: Annotated[str, StringConstraints(min_length=1, max_length=400)]


async def run_connection_test(request: Request, person: Person) -> dict[str, Any]:
    """{identifier, ok, ms}; after a failure also {error, message, fix}. Raises ModelNotFound for an unknown name."""
    identifier = parse_body(await read_body(request), ConnectionRequest).identifier
    target = None if identifier in PROVIDERS else await _target(identifier, person)
    started = time.monotonic()
    try:
        async with asyncio.timeout(_SECONDS):
            if target is None:
                await (await provider_named(identifier)).check()
            else:
                await _one_token(*target)
        failed: ParleyError | None = None
    except TimeoutError:
        failed = ProviderTimeout("There was no answer in time.")
    except ParleyError as error:
        failed = error
    outcome = {"identifier": identifier, "ok": failed is None, "ms": round((time.monotonic() - started) * 1000)}
    if failed is None:
        return outcome
    return outcome | {"error": failed.code, "message": failed.message, "fix": _FIXES.get(failed.code)}


async def _one_token(provider_name: str, call: ModelRequest) -> None:
    provider = await provider_named(provider_name)
    async with aclosing(provider.stream(call)) as events:
        async for _ in events:
            pass


async def _target(identifier: str, person: Person) -> tuple[str, ModelRequest]:
    """The provider and the request for an identifier or key that this user may see."""
    who = supabase.as_caller(person.token)
    provider, upstream_id, node_id = await _row(identifier, who) or _parse(identifier)
    if provider not in PROVIDERS:
        raise ModelNotFound(f'There is no model or provider "{identifier[:100]}".', param="identifier")
    return provider, ModelRequest(
        upstream_id, _QUESTION, 1, node=None if node_id is None else await _node(node_id, who)
    )


async def _row(identifier: str, who: dict[str, str]) -> tuple[str, str, int | None] | None:
    for column in ("identifier", "model_key"):
        query = f"llm_models?select=provider,upstream_id,node_id&{column}=eq.{quote(identifier, safe='')}"
        for row in await supabase.select(query, who):
            return row["provider"], row["upstream_id"], row["node_id"]
    return None


def _parse(identifier: str) -> tuple[str, str, int | None]:
    """Provider, upstream id and node id from the identifier's text, for a model that is not in the catalogue."""
    provider, _, rest = identifier.partition(":")
    node, _, model = rest.partition(":")
    if provider == "client":
        is_node = node.isascii() and node.isdecimal() and len(node) <= _MAX_DIGITS and model
        return ("client", model, int(node)) if is_node else ("", "", None)
    return provider, rest, None


async def _node(node_id: int, who: dict[str, str]) -> Node:
    rows = await supabase.select(f"client_nodes?select=id,base_url,has_key&id=eq.{node_id}", who)
    if not rows:
        raise ModelNotFound("There is no such client node.", param="identifier")
    return Node(**rows[0])
