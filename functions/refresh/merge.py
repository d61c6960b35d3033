"""What a provider's list changes in the catalogue: pure, from rows and a list to rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.providers import ListedModel

Row = dict[str, Any]


class ImplausibleListError(Exception):
    """A list that would take away more than half of what the provider offered; it changes nothing."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows to write, by what happened to them; `seen` only get a new last_synced_at."""

    added: list[Row] = field(default_factory=list)
    updated: list[Row] = field(default_factory=list)
    deactivated: list[Row] = field(default_factory=list)
    missing: list[Row] = field(default_factory=list)
    seen: list[Row] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """All of them."""
        return [*self.added, *self.updated, *self.deactivated, *self.missing, *self.seen]


@dataclass(frozen=True, slots=True)
class Source:
    """Whose models: a provider, or one of the project's client nodes."""

    provider: str
    node_id: int | None = None

    def key_of(self, upstream_id: str) -> str:
        """The model_key of a new model."""
        return upstream_id if self.node_id is None else f"client:{self.node_id}:{upstream_id}"


def merge(source: Source, rows: Iterable[Mapping[str, Any]], listed: Iterable[ListedModel], now: str) -> Changes:
    """Changes that bring `rows` (the source's rows) up to `listed` at time `now` (ISO 8601).

    A person's choices stay: manual rows keep all they say. A model must be missing in two good runs before it is
    deactivated, and the default never is here. Raises ImplausibleListError for a list under half of the active rows.
    """
    found = {model.upstream_id: model for model in listed}
    known = {row["upstream_id"]: row for row in rows}
    active = [row for row in known.values() if row["is_active"]]
    if not found or 2 * sum(row["upstream_id"] in found for row in active) < len(active):
        raise ImplausibleListError(f"listed {len(found)} models where {len(active)} are active")
    changes = Changes()
    for upstream_id, model in found.items():
        _note_listed(changes, source, known.get(upstream_id), model, now)
    for upstream_id, row in known.items():
        if upstream_id not in found and row["is_active"]:
            _note_missing(changes, row, now)
    return changes


def _note_listed(changes: Changes, source: Source, row: Mapping[str, Any] | None, model: ListedModel, now: str) -> None:
    if row is None:
        changes.added.append(_new_row(source, model, now))
        return
    seen = _writable(row) | {"last_synced_at": now, "missing_since": None}
    if row["source"] == "manual":
        changes.seen.append(seen)
        return
    told = {
        "model_name": model.name or row["model_name"],
        "capabilities": {**row["capabilities"], **model.capabilities},
        "pricing": model.pricing or row["pricing"],
        "is_active": True,
    }
    is_same = all(row[name] == value for name, value in told.items())
    (changes.seen if is_same else changes.updated).append(seen | told)


def _note_missing(changes: Changes, row: Mapping[str, Any], now: str) -> None:
    if row["source"] == "manual":
        return
    if row["missing_since"] and not row["is_default"]:
        changes.deactivated.append(_writable(row) | {"is_active": False})
    elif not row["missing_since"]:
        changes.missing.append(_writable(row) | {"missing_since": now})


def _new_row(source: Source, model: ListedModel, now: str) -> Row:
    return {
        "model_key": source.key_of(model.upstream_id),
        "model_name": model.name or model.upstream_id,
        "provider": source.provider,
        "upstream_id": model.upstream_id,
        "node_id": source.node_id,
        "capabilities": model.capabilities,
        "pricing": model.pricing,
        "is_active": True,
        "source": "sync",
        "missing_since": None,
        "last_synced_at": now,
    }


def _writable(row: Mapping[str, Any]) -> Row:
    columns = (
        "model_key",
        "model_name",
        "provider",
        "upstream_id",
        "node_id",
        "capabilities",
        "pricing",
        "is_active",
        "source",
        "missing_since",
        "last_synced_at",
    )
    return {column: row[column] for column in columns}
