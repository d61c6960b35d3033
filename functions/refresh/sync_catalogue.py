"""Step `models`: lists the models of every configured provider and of the project's nodes, and merges the lists."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from functions.refresh.merge import MergeResult, Owner, merge
from functions.refresh.sources import SOURCES, ProviderModel, Source, fetch
from functions.refresh.step import StepContext, StepOutcome
from shared import nodes, supabase
from shared.config import settings
from shared.errors import ParleyError
from shared.log import log
from shared.messages import Node
from shared.provider_config import chosen_default, is_configured
from shared.providers import ListedModel

_TIMEOUT_SECONDS = 10.0
_MAX_CHANGES = 500  # lines in a run's row; `sync` always counts all
_NODES = "client_nodes?select=id,base_url,has_key&owner_id=is.null&is_active=is.true&order=id"


@dataclass(frozen=True, slots=True)
class ListResult:
    """The models of an owner, or the failure that prevented the list; `node` is None for a provider."""

    owner: Owner
    ms: int
    models: list[ProviderModel] = field(default_factory=list)
    failure: str | None = None
    node: Node | None = None


async def run(context: StepContext) -> StepOutcome:
    """The outcome, with the catalogue's `sync` counts and `changes`.

    A source that fails is listed under `errors` and changes nothing. The step fails when every source fails.
    """
    adopted = await _adopt_default(is_dry_run=context.is_dry_run)
    own_nodes = await _project_nodes()
    configured = [source for source in SOURCES if is_configured(source.provider)]
    lists = [_list_source(source) for source in configured] + [_list_node(node) for node in own_nodes]
    usable = [source.provider for source in configured] + ["client"]
    sync: dict[str, Any] = {"added": adopted["added"], "updated": 0, "deactivated": 0, "failed": 0, "errors": []}
    sources: dict[str, dict[str, Any]] = {}
    changes: list[str] = [f"LLM_PROVIDER: {line}" for line in adopted["changes"]]
    for result in await asyncio.gather(*lists):
        try:
            merged = await _merge(result, context, usable)
        except ParleyError as error:
            sync["failed"] += 1
            sync["errors"].append({"provider": result.owner.name, "message": error.message})
            sources[result.owner.name] = {"ok": False, "ms": result.ms}
            continue
        for name in ("added", "updated", "deactivated"):
            sync[name] += getattr(merged, name)
        counts = {name: getattr(merged, name) for name in ("listed", "added", "updated", "missing", "deactivated")}
        sources[result.owner.name] = {"ok": True, "ms": result.ms} | counts
        changes += merged.changes
    not_configured = [source.provider for source in SOURCES if source not in configured]
    return StepOutcome(
        ok=not sources or sync["failed"] < len(sources),
        details={"sources": sources, "not_configured": not_configured},
        changes=_shortened(changes),
        sync=sync,
    )


async def _merge(result: ListResult, context: StepContext, usable: list[str]) -> MergeResult:
    if result.failure is not None:
        raise ParleyError(result.failure)
    merged = await merge(result.owner, result.models, context.run, usable, is_dry_run=context.is_dry_run)
    if result.node is not None and not context.is_dry_run:
        served = [ListedModel(each.upstream_id, each.name, dict(each.capabilities)) for each in result.models]
        await nodes.store_models(result.node, served)
    return merged


async def _list_source(source: Source) -> ListResult:
    return await _result(Owner(source.provider), fetch(source))


async def _list_node(node: Node) -> ListResult:
    return await _result(Owner("client", node.id), _node_models(node), node)


async def _node_models(node: Node) -> list[ProviderModel]:
    return [ProviderModel(each.upstream_id, each.name, each.capabilities) for each in await nodes.list_models(node)]


async def _result(owner: Owner, listing: Awaitable[list[ProviderModel]], node: Node | None = None) -> ListResult:
    """The result of one source; a failure is part of it, so that the other sources are still merged."""
    started = time.monotonic()
    models: list[ProviderModel] = []
    failure = None
    try:
        models = await listing
    except ParleyError as error:
        failure = error.message
    except Exception as error:  # noqa: BLE001 - a list from outside may contain anything
        log("crash", step="models", source=owner.name, error=type(error).__name__)
        failure = "Something went wrong on our side."
    return ListResult(owner, round((time.monotonic() - started) * 1000), models, failure, node)


async def _project_nodes() -> list[Node]:
    rows = await supabase.select(_NODES, supabase.as_service(), timeout_seconds=_TIMEOUT_SECONDS)
    return [Node(**row) for row in rows]


async def _adopt_default(*, is_dry_run: bool) -> dict[str, Any]:
    """Makes LLM_PROVIDER's model the default, unless an admin chose one. Returns {added, changes}."""
    wanted = chosen_default(settings())
    if wanted is None:
        return {"added": 0, "changes": []}
    arguments = {"provider_name": wanted[0], "model_id": wanted[1], "dry_run": is_dry_run}
    adopted: dict[str, Any] = await supabase.rpc("adopt_default", arguments, supabase.as_service())
    return adopted


def _shortened(changes: list[str]) -> list[str]:
    more = len(changes) - _MAX_CHANGES
    return changes if more <= 0 else [*changes[:_MAX_CHANGES], f"and {more} more"]


async def menu() -> list[dict[str, Any]]:
    """The models that users can choose now, by display order."""
    models: list[dict[str, Any]] = await supabase.rpc("model_menu", {}, supabase.as_service())
    return models


def unpriced(models: list[dict[str, Any]]) -> list[str]:
    """The keys of models without a known price; their turns cost null, and no cost cap limits them."""
    return [model["model_key"] for model in models if model["pricing"] is None]
