"""A client node's models: the list as the node returns it, and the copy in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from shared import supabase
from shared.errors import NodeFailed
from shared.messages import Node
from shared.providers import ListedModel, list_node

MAX_MODELS = 300  # store_node_models() accepts no more
_LIST_SECONDS = 15.0


async def list_models(node: Node) -> list[ListedModel]:
    """The node's first MAX_MODELS models in the node's order, each id once. Raises NodeFailed, also for a timeout."""
    try:
        async with asyncio.timeout(_LIST_SECONDS):
            listed = await list_node(node)
    except TimeoutError as error:
        raise NodeFailed from error
    return first_of_each(listed)


def first_of_each(listed: Sequence[ListedModel]) -> list[ListedModel]:
    """The first entry of each id, at most MAX_MODELS of them."""
    by_id: dict[str, ListedModel] = {}
    for model in listed:
        by_id.setdefault(model.upstream_id, model)
    return list(by_id.values())[:MAX_MODELS]


async def store_models(node: Node, models: Sequence[ListedModel]) -> dict[str, Any]:
    """The stored row as {id, models, last_seen_at}; the call also closes the node's circuit.

    Prices are left out, because a node does not set prices. Raises NotFound for a deleted node, DatabaseUnavailable.
    """
    rows = [{"id": each.upstream_id, "name": each.name, "capabilities": each.capabilities} for each in models]
    arguments = {"node_id": node.id, "models": rows}
    stored: dict[str, Any] = await supabase.rpc("store_node_models", arguments, supabase.as_service())
    return stored
