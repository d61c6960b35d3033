"""A list becomes the rows that the database merges: which are worth adding, how they are called, what they cost."""

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

MAX_ADDED_MODELS = 500  # of one provider, in the order of its list; models already in the catalogue stay
_MERGE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What a merge did, or in a dry run would do; `changes` in words."""

    listed: int = 0
    added: int = 0
    updated: int = 0
    missing: int = 0
    deactivated: int = 0
    changes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose models: a provider, or one of the project's client nodes."""

    provider: str
    node_id: int | None = None

    @property
    def name(self) -> str:
        return self.provider if self.node_id is None else f"client:{self.node_id}"


async def merge(
    owner: Owner, listed: Sequence[ProviderModel], run: Run, usable: Iterable[str], *, is_dry_run: bool
) -> MergeResult:
    """Brings the owner's rows up to the list, in one call and one transaction.

    Raises Unprocessable for a list that is not believed, Conflict when the run's lease has ended, DatabaseUnavailable.
    """
    asked = {
        "provider": owner.provider,
        "node_id": owner.node_id,
        "listed": [as_row(owner, model) for model in offered(listed)],
        "retirements": retirements_of(owner.provider),
        "usable": sorted(usable),
        "fence": run.fence,
        "dry_run": is_dry_run,
    }
    who = supabase.as_service()
    told = await supabase.rpc("merge_models", {"merge": asked}, who, timeout_seconds=_MERGE_SECONDS)
    changes = [f"{owner.name}: {words}" for words in told.pop("changes")]
    return MergeResult(listed=len(listed), changes=changes, **told)


def offered(listed: Sequence[ProviderModel]) -> list[ProviderModel]:
    """The list with models not worth adding marked: snapshots beside their model, and those over MAX_ADDED_MODELS."""
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
    """One model as merge_models takes it. A node's models are named by it, and a price is not a node's to tell."""
    is_node = owner.node_id is not None
    return {
        "upstream_id": model.upstream_id,
        "model_key": f"{owner.name}:{model.upstream_id}" if is_node else key_of(_readable(owner, model)),
        "model_name": model.name or (model.upstream_id if is_node else name_of(model.upstream_id)),
        "capabilities": dict(model.capabilities if is_node else capabilities_of(owner.provider, model)),
        "pricing": None if is_node else price_of(owner.provider, model),
        "retires_on": model.retires_on.isoformat() if model.retires_on else None,
        "is_addable": model.is_addable,
    }


def _readable(owner: Owner, model: ProviderModel) -> str:
    """MatchAI's models are numbers; their keys come from their names."""
    return model.name if owner.provider == "matcha" and model.name else model.upstream_id
