"""OpenAI's list, `GET /v1/models`, tells names and nothing else; pure readers of it and of those made like it."""

from __future__ import annotations

import re
from typing import Any

from functions.refresh.sources.listed import ProviderModel, read_each
from shared.providers.chat_completions import read_model_list

_CHAT = re.compile(r"(ft:)?(gpt-|chatgpt-|o\d)")
# Other tasks, and models that only the Responses API serves: every name that genai-prices 0.2.3 knows was gone
# through on 2026-11-21; that -pro and codex models take no chat completions: docs.rs/openai-tools 1.0.7, ChatModel.
_NOT_CHAT = re.compile(
    r"embedding|audio|realtime|transcribe|tts|image|instruct|moderation|live|search"
    r"|codex|deep-research|computer-use|-pro(-|$)"
)


def read(page: Any) -> list[ProviderModel]:
    """The chat-capable models, by what their names say."""
    return read_each(page["data"], _listed)


def read_any(page: Any) -> list[ProviderModel]:
    """What any other OpenAI-compatible host lists; vLLM and llama.cpp tell the window."""
    return [ProviderModel(each.upstream_id, each.name, each.capabilities) for each in read_model_list(page)]


def _listed(entry: dict[str, Any]) -> ProviderModel | None:
    name = str(entry.get("id"))
    return ProviderModel(name) if _CHAT.match(name) and not _NOT_CHAT.search(name) else None
