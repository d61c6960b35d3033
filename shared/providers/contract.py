"""The interface of every provider."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.events import ModelEvent
from shared.messages import ModelRequest, Node


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as a client node lists it; None for what it leaves out."""

    upstream_id: str
    name: str | None = None
    capabilities: dict[str, Any] = field(default_factory=dict)
    pricing: dict[str, Any] | None = None


class Provider(Protocol):
    """A client of one provider. Its methods raise only subclasses of ProviderError, and NotConfigured."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The events of an answer: text, reasoning, tool calls, usage (the latest counts), then one Finish.

        Usage follows the text it counts. Closing the generator closes the connection, which stops the model when the
        client hangs up. The gateway applies timeouts.
        """
        ...

    async def check(self, node: Node | None = None) -> None:
        """Returns if the provider accepts the configured key; uses no tokens."""
        ...
