"""Google's list: `GET /v1/models`, paged by `nextPageToken`; pure readers of its JSON."""

from __future__ import annotations

import re
from typing import Any

from functions.refresh.sources.listed import ProviderModel, known, read_each, title

# Models that support generateContent but cannot chat. Gemma 3 rejects system instructions, which every turn has:
# "Developer instruction is not enabled for models/gemma-3-27b-it" (github.com/0xPlaygrounds/rig/issues/788, and
# google/adk-python/issues/3900, read 2026-11-21).
_NOT_CHAT = re.compile(
    r"embedding|tts|image|imagen|veo|lyria|live|audio|banana|omni|robotics|computer-use|translate|aqa|deep-research|agent|^gemma-[23]"
)


def read(page: Any) -> list[ProviderModel]:
    """The chat-capable models of one page."""
    return read_each(page["models"], _listed)


def after(page: Any) -> dict[str, str] | None:
    """The query of the next page; None after the last page."""
    token = page.get("nextPageToken")
    return {"pageToken": str(token)} if token else None


def _listed(entry: dict[str, Any]) -> ProviderModel | None:
    name = str(entry.get("name")).removeprefix("models/")
    methods = entry.get("supportedGenerationMethods")
    if not isinstance(methods, list) or "generateContent" not in methods or _NOT_CHAT.search(name):
        return None
    windows = known(context_window=entry.get("inputTokenLimit"), max_output_tokens=entry.get("outputTokenLimit"))
    return ProviderModel(name, title(entry.get("displayName")), windows)
