"""A person's own model server, asked what it serves."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared import supabase
from shared.auth import Person, authenticate
from shared.errors import NodeFailed, NotFound
from shared.messages import Node
from shared.providers import ListedModel, list_node

_LIST_SECONDS = 15.0
_MAX_MODELS = 300  # as many as the database stores of one node
_ID = re.compile(r"[0-9]{1,18}")  # what fits a bigint


async def probe_node(request: Request) -> Response:
    """POST /nodes/{id}/probe: asks the node for its models and stores them; answers {id, models, last_seen_at}.

    For its owner, and for admins when it is the project's own; to anybody else it does not exist.
    """
    person = await authenticate(request)
    node = await _own_node(person, request.path_params["id"])
    models = as_stored(await _list(node))
    stored = await supabase.rpc("store_node_models", {"node_id": node.id, "models": models}, supabase.as_service())
    return JSONResponse(stored, headers={"Cache-Control": "no-store"})


async def _own_node(person: Person, node_id: str) -> Node:
    """The node as the database shows it to this person. Raises NotFound when it is not theirs to probe."""
    rows: list[dict[str, Any]] = []
    if _ID.fullmatch(node_id):
        query = f"client_nodes?select=id,owner_id,base_url,has_key&id=eq.{node_id}"
        rows = await supabase.select(query, supabase.as_caller(person.token))
    for row in rows:
        if row["owner_id"] == person.id or (row["owner_id"] is None and person.is_admin):
            return Node(id=row["id"], base_url=row["base_url"], has_key=row["has_key"])
    raise NotFound("There is no such client node.")


async def _list(node: Node) -> list[ListedModel]:
    try:
        async with asyncio.timeout(_LIST_SECONDS):
            return await list_node(node)
    except TimeoutError as error:
        raise NodeFailed from error


def as_stored(listed: list[ListedModel]) -> list[dict[str, Any]]:
    """The first models, each id once, as the database stores them; a price is not a node's to tell."""
    by_id: dict[str, ListedModel] = {}
    for model in listed:
        by_id.setdefault(model.upstream_id, model)
    first = list(by_id.values())[:_MAX_MODELS]
    return [{"id": each.upstream_id, "name": each.name, "capabilities": each.capabilities} for each in first]
