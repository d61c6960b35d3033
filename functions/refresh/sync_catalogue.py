"""Step `models`: asks every configured provider and the project's own nodes for their models; merges what they list."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from postgrest import ReturnMethod

from functions.refresh.merge import MergeResult, Owner, merge
from functions.refresh.runs import Run
from functions.refresh.sources import SOURCES, ProviderModel, Source, fetch
from shared import supabase
from shared.config import settings
from shared.errors import NodeFailed, ParleyError
from shared.log import log
from shared.messages import Node
from shared.provider_config import chosen_default, is_configured
from shared.providers import list_node
from shared.supabase_py import database_errors, service_client

_LIST_SECONDS = 15.0
_MAX_NODE_MODELS = 300  # as many as the database stores of one node
_MAX_WORDS = 500  # lines of a run's changes that are kept; the counts are always whole


@dataclass(frozen=True, slots=True)
class ListResult:
    """What asking an owner for its list gave: the models, or why there are none."""

    owner: Owner
    ms: int
    listed: list[ProviderModel] = field(default_factory=list)
    failure: str | None = None


async def run(*, run: Run, is_dry_run: bool) -> dict[str, Any]:
    """The step's outcome, with `sync` as the counts of the whole catalogue and `changes` in words.

    One source that fails is reported under `errors` and changes nothing; the step fails when every source did.
    """
    adopted = await _adopt_default(is_dry_run=is_dry_run)
    nodes = await _project_nodes()
    configured = [source for source in SOURCES if is_configured(source.provider)]
    asked = [_ask_provider(source) for source in configured] + [_ask_node(node) for node in nodes]
    usable = [source.provider for source in configured] + ["client"]
    sync: dict[str, Any] = {"added": adopted["added"], "updated": 0, "deactivated": 0, "failed": 0, "errors": []}
    sources: dict[str, dict[str, Any]] = {}
    changes: list[str] = [f"LLM_PROVIDER: {words}" for words in adopted["changes"]]
    for answered in await asyncio.gather(*asked):
        try:
            merged = await _take(answered, run, usable, is_dry_run=is_dry_run)
        except ParleyError as error:
            sync["failed"] += 1
            sync["errors"].append({"provider": answered.owner.name, "message": error.message})
            sources[answered.owner.name] = {"ok": False, "ms": answered.ms}
            continue
        for name in ("added", "updated", "deactivated"):
            sync[name] += getattr(merged, name)
        counts = {name: getattr(merged, name) for name in ("listed", "added", "updated", "missing", "deactivated")}
        sources[answered.owner.name] = {"ok": True, "ms": answered.ms} | counts
        changes += merged.changes
    return {
        "ok": not sources or sync["failed"] < len(sources),
        "sources": sources,
        "not_configured": [source.provider for source in SOURCES if source not in configured],
        "sync": sync,
        "changes": _kept(changes),
    }


async def _take(answered: ListResult, run: Run, usable: list[str], *, is_dry_run: bool) -> MergeResult:
    if answered.failure is not None:
        raise ParleyError(answered.failure)
    merged = await merge(answered.owner, answered.listed, run, usable, is_dry_run=is_dry_run)
    if answered.owner.node_id is not None and not is_dry_run:
        await _store_node(answered.owner.node_id, answered.listed)
    return merged


async def _ask_provider(source: Source) -> ListResult:
    return await _ask(Owner(source.provider), fetch(source))


async def _ask_node(node: Node) -> ListResult:
    return await _ask(Owner("client", node.id), _list_node(node))


async def _ask(owner: Owner, asking: Any) -> ListResult:
    """Whatever goes wrong with one source must not cost the others their turn."""
    started = time.monotonic()
    listed: list[ProviderModel] = []
    failure = None
    try:
        listed = await asking
    except ParleyError as error:
        failure = error.message
    except Exception as error:  # noqa: BLE001 - a stranger's list may hold anything
        log("crash", step="models", source=owner.name, error=type(error).__name__)
        failure = "Something went wrong on our side."
    return ListResult(owner, round((time.monotonic() - started) * 1000), listed, failure)


async def _list_node(node: Node) -> list[ProviderModel]:
    try:
        async with asyncio.timeout(_LIST_SECONDS):
            models = await list_node(node)
    except TimeoutError as error:
        raise NodeFailed from error
    return [ProviderModel(each.upstream_id, each.name, each.capabilities) for each in models[:_MAX_NODE_MODELS]]


async def _project_nodes() -> list[Node]:
    with database_errors():
        client = await service_client()
        found = client.table("client_nodes").select("id,base_url,has_key").is_("owner_id", "null")
        rows: Any = (await found.is_("is_active", "true").order("id").execute()).data
    return [Node(**row) for row in rows]


async def _store_node(node_id: int, listed: list[ProviderModel]) -> None:
    served = [{"id": m.upstream_id, "name": m.name, "capabilities": dict(m.capabilities)} for m in listed]
    seen = {"models": served, "last_seen_at": datetime.now(UTC).isoformat()}
    with database_errors():
        client = await service_client()
        await client.table("client_nodes").update(seen, returning=ReturnMethod.minimal).eq("id", node_id).execute()


async def _adopt_default(*, is_dry_run: bool) -> dict[str, Any]:
    """Makes the model that LLM_PROVIDER asks for the default, unless a person chose one; {added, changes}."""
    wanted = chosen_default(settings())
    if wanted is None:
        return {"added": 0, "changes": []}
    arguments = {"provider_name": wanted[0], "model_id": wanted[1], "dry_run": is_dry_run}
    adopted: dict[str, Any] = await supabase.rpc("adopt_default", arguments, supabase.as_service())
    return adopted


def _kept(changes: list[str]) -> list[str]:
    more = len(changes) - _MAX_WORDS
    return changes if more <= 0 else [*changes[:_MAX_WORDS], f"and {more} more"]


async def menu() -> list[dict[str, Any]]:
    """What people can choose from now, by display order."""
    found: list[dict[str, Any]] = await supabase.rpc("model_menu", {}, supabase.as_service())
    return found


def unpriced(models: list[dict[str, Any]]) -> list[str]:
    """The keys of models whose price nobody knows: turns with them cost null, and no cap holds them."""
    return [model["model_key"] for model in models if model["pricing"] is None]
