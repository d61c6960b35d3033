"""Token arithmetic: the estimates, bounds and defaults that the ledger's SQL functions use as well.

tests/stack/test_token_bounds.py compares them with `private.estimate_tokens`, `token_upper_bound`,
`default_context_window`, `default_max_tokens` and `max_prompt_tokens`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from shared.messages import Message, Tool

BYTES_PER_TOKEN: Final = 3  # the high estimate by which history is cut
TOKENS_PER_MESSAGE: Final = 4  # the same estimate, for the marks that a chat template puts around a message
MAX_TOKENS_PER_MESSAGE: Final = 16  # the upper bound for the same marks
MAX_TOKENS_PER_CALL: Final = 32  # a tool call's marks, or the words that describe it to a model without tools
IMAGE_TOKENS: Final = 1_000  # the estimate: between Gemini's 258 a tile and Claude's 1,600
MAX_IMAGE_TOKENS: Final = 48_200  # the most expensive: gpt-4o-mini with eight tiles (OpenAI's guide, 2026-11)
PAGE_TOKENS: Final = 2_000  # of a PDF, whose text and picture the model gets: the estimate
MAX_PAGE_TOKENS: Final = 8_000  # Claude counts up to 3,000 for the text of a page, 4,784 for its picture (2026-11)
DEFAULT_CONTEXT_WINDOW: Final = 8_192
DEFAULT_OUTPUT_TOKENS: Final = 4_096
MAX_RESERVED_TOKENS: Final = 1_000_000  # the most tokens that are reserved for the prompt, and for the tools


def context_window(capabilities: Mapping[str, Any]) -> int:
    """Context window in tokens; 8192 when unknown, as in chat_begin."""
    return int(capabilities.get("context_window") or DEFAULT_CONTEXT_WINDOW)


def estimate_prompt(messages: Iterable[Message], tools: Iterable[Tool] = ()) -> int:
    """Cautious estimate in tokens: one per three bytes, rounded up, and four for each message."""
    offered = sum(len(tool.description) + len(json.dumps(dict(tool.parameters))) for tool in tools)
    return _tokens(offered) + sum(
        _tokens(_size(message)) + file_tokens(message) + TOKENS_PER_MESSAGE for message in messages
    )


def file_tokens(message: Message) -> int:
    """Estimate in tokens of the images and PDFs of a message."""
    if not message.parts:
        return 0
    return IMAGE_TOKENS * len(message.images) + PAGE_TOKENS * sum(each.pages for each in message.documents)


def _tokens(size: int) -> int:
    return -(-size // BYTES_PER_TOKEN)


def _size(message: Message) -> int:
    calls = sum(len(call.name) + len(json.dumps(dict(call.arguments))) for call in message.tool_calls)
    return len(message.content.encode(errors="replace")) + calls


def token_upper_bound(messages: Iterable[Message], tools: Iterable[Tool] = ()) -> int:
    """The most input tokens that a model call can have: no tokenizer makes more than one token of a byte."""
    offered = sum(
        len((tool.name + tool.description).encode()) + len(json.dumps(dict(tool.parameters))) for tool in tools
    )
    return offered + sum(_message_bound(message) + MAX_TOKENS_PER_MESSAGE for message in messages)


def _message_bound(message: Message) -> int:
    """The bound of the larger of two forms that may be sent: the provider's own payload, or text, calls and ids.

    A payload of fields, such as reasoning, is sent beside these.
    """
    native = len(json.dumps(message.native.content, default=str)) if message.native else 0
    ids = [call.id for call in message.tool_calls] + [message.tool_call_id or ""] * (message.role == "tool")
    plain = len("".join((text_of(message), *ids)).encode()) + MAX_TOKENS_PER_CALL * len(ids)
    is_beside = message.native is not None and isinstance(message.native.content, dict)
    files = MAX_IMAGE_TOKENS * len(message.images) + MAX_PAGE_TOKENS * sum(each.pages for each in message.documents)
    return (native + plain if is_beside else max(native, plain)) + files


def text_of(message: Message) -> str:
    """The text of a message, with the names and arguments of its tool calls."""
    return message.content + "".join(call.name + call.text for call in message.tool_calls)
