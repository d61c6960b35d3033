"""The routes of a turn, and the attempts on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.events import Usage


@dataclass(frozen=True, slots=True)
class Route:
    """A model that may answer the turn, as the database chose it; `base_url` and `has_key` are for client nodes.

    `pricing` is USD per million tokens, None when the price is unknown; `open_until` is set while its circuit is open.
    `label` is the display name of the model, "<node> (<model>)" for a client node.
    """

    identifier: str
    provider: str
    upstream_id: str
    max_output_tokens: int
    node_id: int | None = None
    base_url: str | None = None
    has_key: bool = False
    pricing: Mapping[str, Any] | None = None
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    open_until: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class RouteChosen:
    """A route has begun to answer; sent once for each route, before its first event."""

    route: Route


@dataclass(frozen=True, slots=True)
class Attempt:
    """The record of one provider call of a turn, as in the log row.

    `usage` is None when the call is not charged. `is_fault` says whether the failure counts for a circuit.
    `open_seconds` is how long to make no further call; None without such a time.
    """

    identifier: str
    provider_key: str
    ok: bool
    ms: int
    usage: Usage | None = None
    error_code: str | None = None
    upstream_status: int | None = None
    is_fault: bool = False
    open_seconds: float | None = None
