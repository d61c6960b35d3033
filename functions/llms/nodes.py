"""The probe of a client node: asks the node which models it serves."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared import nodes, supabase
from shared.auth import Person, authenticate, demand_second_factor
from shared.errors import NotFound
from shared.messages import Node

_ID = re.compile(r"[0-9]{1,18}")  # fits a bigint


async def probe_node(request: Request) -> Response:
    """POST /nodes/{id}/probe: lists the node's models and stores them; answers {id, models, last_seen_at}.

    The owner may probe a node, and an admin a node of the project. Other users get 404.
    """
    person = await authenticate(request)
    node = await _own_node(person, request.path_params["id"])
    stored = await nodes.store_models(node, await nodes.list_models(node))
    return JSONResponse(stored, headers={"Cache-Control": "no-store"})


async def _own_node(person: Person, node_id: str) -> Node:
    """The node as the database shows it to this user. Raises NotFound when the user may not probe it."""
    rows: list[dict[str, Any]] = []
    if _ID.fullmatch(node_id):
        query = f"client_nodes?select=id,owner_id,base_url,has_key&id=eq.{node_id}"
        rows = await supabase.select(query, supabase.as_caller(person.token))
    for row in rows:
        is_projects = row["owner_id"] is None and person.is_admin
        if is_projects:
            await demand_second_factor(person)
        if is_projects or row["owner_id"] == person.id:
            return Node(id=row["id"], base_url=row["base_url"], has_key=row["has_key"])
    raise NotFound("There is no such client node.")
