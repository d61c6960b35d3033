"""What providers charged: one reader for each provider that has an API for it. Only the step `bills` loads this."""

from __future__ import annotations

from functions.refresh.billing import anthropic, openai
from functions.refresh.billing.charges import Charge, Reader

__all__ = ["READERS", "Charge"]

READERS: dict[str, Reader] = {"openai": openai.read, "anthropic": anthropic.read}
