"""Step `models`: asks the project's own OpenAI-compatible nodes what they serve and merges it into the catalogue."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from postgrest import ReturnMethod

from functions.refresh.merge import Changes, ImplausibleListError, Source, merge
from shared.config import settings
from shared.errors import NodeFailed, ParleyError
from shared.events import Node
from shared.log import log
from shared.providers import ListedModel, provider_named
from shared.service import database_errors, service_client

_LIST_SECONDS = 15.0
_MOST_MODELS = 300  # of one node; with those it once had still below the thousand rows that the data API gives at once


async def run(*, is_dry_run: bool) -> dict[str, Any]:
    """The step's outcome, with `sync` as the counts of the whole catalogue.

    One source that fails is reported under `errors` and changes nothing; the step fails when every source did.
    """
    sync: dict[str, Any] = {"added": 0, "updated": 0, "deactivated": 0, "failed": 0, "errors": []}
    await _adopt_default(is_dry_run=is_dry_run)
    with database_errors():
        client = await service_client()
        nodes: Any = (
            await client.table("client_nodes")
            .select("id,base_url,has_key")
            .is_("owner_id", "null")
            .is_("is_active", "true")
            .execute()
        ).data
    for node in nodes:
        try:
            changes = await _refresh_node(node, is_dry_run=is_dry_run)
        except (ParleyError, ImplausibleListError) as error:
            sync["failed"] += 1
            sync["errors"].append({"provider": f"client:{node['id']}", "message": str(error)})
        except Exception as error:  # noqa: BLE001 - one node's oddity must not cost the others their turn
            log("crash", step="models", node=node["id"], error=type(error).__name__)
            sync["failed"] += 1
            sync["errors"].append({"provider": f"client:{node['id']}", "message": "Something went wrong on our side."})
        else:
            sync["added"] += len(changes.added)
            sync["updated"] += len(changes.updated)
            sync["deactivated"] += len(changes.deactivated)
    return {"ok": not nodes or sync["failed"] < len(nodes), "sources": len(nodes), "sync": sync}


async def _adopt_default(*, is_dry_run: bool) -> None:
    """Makes the model that LLM_PROVIDER asks for the default, unless a person chose one."""
    wanted = settings().default_model
    if wanted is None or is_dry_run:
        return
    with database_errors():
        client = await service_client()
        await client.rpc("adopt_default", {"provider_name": wanted[0], "model_id": wanted[1]}).execute()


async def _refresh_node(node: dict[str, Any], *, is_dry_run: bool) -> Changes:
    listed = (await _list(Node(**node)))[:_MOST_MODELS]
    now = datetime.now(UTC).isoformat()
    with database_errors():
        client = await service_client()
        rows: Any = (await client.table("llm_models").select("*").eq("node_id", node["id"]).execute()).data
        changes = merge(Source("client", node["id"]), rows, listed, now)
        if not is_dry_run:
            if changes.rows():
                await (
                    client.table("llm_models")
                    .upsert(changes.rows(), on_conflict="model_key", returning=ReturnMethod.minimal)
                    .execute()
                )
            served = [{"id": m.upstream_id, "name": m.name, "capabilities": m.capabilities} for m in listed]
            await (
                client.table("client_nodes")
                .update({"models": served, "last_seen_at": now}, returning=ReturnMethod.minimal)
                .eq("id", node["id"])
                .execute()
            )
    return changes


async def _list(node: Node) -> list[ListedModel]:
    provider = await provider_named("client")
    try:
        async with asyncio.timeout(_LIST_SECONDS):
            return await provider.list_models(node)
    except TimeoutError as error:
        raise NodeFailed from error


async def active_models() -> list[dict[str, Any]]:
    """What people can choose from now, by display order."""
    columns = (
        "id,matcha_llm_id,model_name,model_key,provider,capabilities,pricing,identifier,"
        "is_active,is_default,display_order"
    )
    with database_errors():
        client = await service_client()
        found = client.table("llm_models").select(columns).is_("is_active", "true").order("display_order").order("id")
        rows: Any = (await found.execute()).data
    return list(rows)
