"""OpenAI's encrypted reasoning in Anthropic's thinking blocks: their signature names the provider before a colon."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from shared.events import Signature
from shared.messages import ProviderPayload

OPENAI: Final = "openai-responses"  # as in payloads of shared.providers.openai_responses
_MARK: Final = f"{OPENAI}:"


def signature_of(event: Signature) -> str:
    """The signature of a thinking block that a client sends back."""
    return _MARK + event.text if event.provider == OPENAI else event.text


def is_openais(signature: str) -> bool:
    """Whether the signature is that of OpenAI's reasoning, which Claude rejects."""
    return signature.startswith(_MARK)


def openai_payload(blocks: Iterable[dict[str, Any]]) -> ProviderPayload:
    """The blocks of an answer as the items of OpenAI's responses; other reasoning is left out."""
    return ProviderPayload(OPENAI, [item for block in blocks if (item := _item(block)) is not None])


def _item(block: dict[str, Any]) -> dict[str, Any] | None:
    match block["type"]:
        case "text":
            return {"role": "assistant", "content": block["text"]}
        case "tool_use":
            written = json.dumps(block["input"], ensure_ascii=False)
            return {"type": "function_call", "call_id": block["id"], "name": block["name"], "arguments": written}
        case "thinking" if is_openais(block["signature"]):
            item_id, _, encrypted = block["signature"].removeprefix(_MARK).partition(":")
            text = block["thinking"]
            summary = [{"type": "summary_text", "text": text}] if text else []
            return {"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": encrypted}
        case _:
            return None
