"""What every provider promises."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.events import ModelEvent
from shared.messages import ModelRequest, Node


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as a client node lists it; None where it does not tell."""

    upstream_id: str
    name: str | None = None
    capabilities: dict[str, Any] = field(default_factory=dict)
    pricing: dict[str, Any] | None = None


class Provider(Protocol):
    """One way to reach models. Its methods raise only classes of `shared.errors.ProviderError`, and NotConfigured."""

    def stream(self, call: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The model's answer as it comes: text, reasoning, tool calls, usage (the latest counts), then one Finish.

        Usage follows the text it counts. Closing the generator closes the connection, so that a caller who hangs up
        stops the model. Times are the gateway's business.
        """
        ...

    async def check(self, node: Node | None = None) -> None:
        """Returns when the provider answers with the configured key; costs no tokens."""
        ...
