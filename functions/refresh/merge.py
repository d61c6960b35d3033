"""Converts a provider's list into the rows of merge_models(), with key, name, price and `is_addable`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from functions.refresh.capabilities import capabilities_of
from functions.refresh.naming import key_of, name_of, without_date
from functions.refresh.prices import price_of
from functions.refresh.retirements import retirements_of
from functions.refresh.runs import Run
from functions.refresh.sources import ProviderModel
from shared import supabase

MAX_ADDED_MODELS = 500  # per provider, in the order of its list; models in the catalogue do not count
_MERGE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The counts of a merge, or of what a dry run would change; `changes` has one line for each change."""

    listed: int = 0
    added: int = 0
    updated: int = 0
    missing: int = 0
    deactivated: int = 0
    changes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a list: a provider, or a client node of the project."""

    provider: str
    node_id: int | None = None

    @property
    def name(self) -> str:
        return self.provider if self.node_id is None else f"client:{self.node_id}"


async def merge(
    owner: Owner, listed: Sequence[ProviderModel], run: Run, usable: Iterable[str], *, is_dry_run: bool
) -> MergeResult:
    """Updates the owner's rows to match the list, in one call and one transaction.

    Raises Unprocessable for an implausible list, Conflict when the run lost its lease, DatabaseUnavailable.
    """
    arguments = {
        "provider": owner.provider,
        "node_id": owner.node_id,
        "listed": [as_row(owner, model) for model in mark_addable(listed)],
        "retirements": retirements_of(owner.provider),
        "usable": sorted(usable),
        "fence": run.fence,
        "dry_run": is_dry_run,
    }
    who = supabase.as_service()
    merged = await supabase.rpc("merge_models", {"merge": arguments}, who, timeout_seconds=_MERGE_SECONDS)
    changes = [f"{owner.name}: {line}" for line in merged.pop("changes")]
    return MergeResult(listed=len(listed), changes=changes, **merged)


def mark_addable(listed: Sequence[ProviderModel]) -> list[ProviderModel]:
    """The list with `is_addable` off for dated snapshots of a listed model, and for models over MAX_ADDED_MODELS."""
    names = {model.upstream_id for model in listed}
    room, marked = MAX_ADDED_MODELS, []
    for model in listed:
        plain = without_date(model.upstream_id)
        is_addable = model.is_addable and room > 0 and (plain == model.upstream_id or plain not in names)
        room -= is_addable
        marked.append(_marked(model, is_addable=is_addable))
    return marked


def _marked(model: ProviderModel, *, is_addable: bool) -> ProviderModel:
    if model.is_addable == is_addable:
        return model
    return ProviderModel(
        model.upstream_id, model.name, model.capabilities, model.pricing, model.offers, model.retires_on, is_addable
    )


def as_row(owner: Owner, model: ProviderModel) -> dict[str, Any]:
    """One model as merge_models() takes it. The key of a node's model contains the node; its price stays null."""
    is_node = owner.node_id is not None
    return {
        "upstream_id": model.upstream_id,
        "model_key": f"{owner.name}:{model.upstream_id}" if is_node else key_of(_name_for_key(owner, model)),
        "model_name": model.name or (model.upstream_id if is_node else name_of(model.upstream_id)),
        "capabilities": dict(model.capabilities if is_node else capabilities_of(owner.provider, model)),
        "pricing": None if is_node else price_of(owner.provider, model),
        "retires_on": model.retires_on.isoformat() if model.retires_on else None,
        "is_addable": model.is_addable,
    }


def _name_for_key(owner: Owner, model: ProviderModel) -> str:
    """The text for the model's key; MatchAI's ids are numbers, so their models use the name."""
    return model.name if owner.provider == "matcha" and model.name else model.upstream_id
