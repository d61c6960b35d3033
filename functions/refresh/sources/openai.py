"""OpenAI's list, `GET /v1/models`, which holds only names; pure readers of it and of compatible lists."""

from __future__ import annotations

import re
from typing import Any

from functions.refresh.sources.listed import ProviderModel, read_each
from shared.providers.chat_completions import read_model_list

_CHAT = re.compile(r"(ft:)?(gpt-|chatgpt-|o\d)")
# Models for other tasks, and models that only the Responses API serves. Checked 2026-11-21 against every name in
# genai-prices 0.2.3; -pro and codex models reject chat completions: docs.rs/openai-tools 1.0.7, ChatModel.
_NOT_CHAT = re.compile(
    r"embedding|audio|realtime|transcribe|tts|image|instruct|moderation|live|search"
    r"|codex|deep-research|computer-use|agent|translate|whisper|-pro(-|$)"
)


def read(page: Any) -> list[ProviderModel]:
    """The chat-capable models, selected by name."""
    return read_each(page["data"], _listed)


def read_any(page: Any) -> list[ProviderModel]:
    """All models of another OpenAI-compatible host; vLLM and llama.cpp include the context window."""
    return [ProviderModel(each.upstream_id, each.name, each.capabilities) for each in read_model_list(page)]


def _listed(entry: dict[str, Any]) -> ProviderModel | None:
    name = str(entry.get("id"))
    return ProviderModel(name) if _CHAT.match(name) and not _NOT_CHAT.search(name) else None
