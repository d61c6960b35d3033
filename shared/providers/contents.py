"""Reads text and reasoning in the shapes in which OpenAI-compatible hosts send them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from shared.events import Reasoning, Text

_REASONING_FIELDS: Final = ("reasoning_content", "reasoning", "thinking")
_OPEN, _CLOSE = "<think>", "</think>"


def reasoning_of(delta: dict[str, Any]) -> tuple[str, str]:
    """The reasoning in a delta and the field that has it; empty without."""
    for name in _REASONING_FIELDS:
        if (value := delta.get(name)) and (text := _joined(value)):
            return text, name
    if details := delta.get("reasoning_details"):
        return _joined(details), "reasoning"
    return "", ""


def content_of(content: Any) -> Iterator[Text | Reasoning]:
    """The pieces of `content`: a string, a part, or a list of them. Parts of other kinds carry nothing."""
    if isinstance(content, str):
        if content:
            yield Text(content)
        return
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            if part:
                yield Text(part)
        elif isinstance(part, dict):
            is_thought = str(part.get("type", "")).startswith(("thinking", "reasoning"))
            if text := _joined(part):
                yield Reasoning(text) if is_thought else Text(text)


def _joined(value: Any) -> str:
    """The text in a string, a part or a list of them, at any of its usual places."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_joined, value))
    if isinstance(value, dict):
        fields = ("text", "thinking", "reasoning", "value", "content", "summary")
        return next((text for name in fields if (found := value.get(name)) and (text := _joined(found))), "")
    return ""


class ThinkTag:
    """Takes `<think>…</think>` at the very start of an answer for reasoning; later tags are text.

    `is_done` is whether the answer has begun, so that its pieces need no look any more.
    """

    def __init__(self) -> None:
        self.is_done = False
        self._is_open = False
        self._held = ""

    def read(self, text: str) -> Iterator[Text | Reasoning]:
        """The pieces that are certain now; what may be half a tag is held back."""
        if self.is_done:
            yield Text(text)
            return
        self._held += text
        if not self._is_open:
            start = self._held.lstrip()
            if not start.startswith(_OPEN):
                if not _OPEN.startswith(start):
                    yield from self._begin(self._held)
                return
            self._is_open, self._held = True, start[len(_OPEN) :]
        thought, tag, rest = self._held.partition(_CLOSE)
        if tag:
            if thought:
                yield Reasoning(thought)
            self._is_open = False
            self.is_done, self._held = True, ""
            if rest := rest.lstrip("\n"):
                yield Text(rest)
            return
        keep = next((n for n in range(len(_CLOSE) - 1, 0, -1) if thought.endswith(_CLOSE[:n])), 0)
        self._held = thought[len(thought) - keep :]
        if thought := thought[: len(thought) - keep]:
            yield Reasoning(thought)

    def rest(self) -> Iterator[Text | Reasoning]:
        """What is still held at the end of the answer."""
        if self._held:
            yield Reasoning(self._held) if self._is_open else Text(self._held)
        self.is_done, self._held = True, ""

    def _begin(self, text: str) -> Iterator[Text]:
        self.is_done, self._held = True, ""
        yield Text(text)
