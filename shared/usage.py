"""The usage of a model call at any moment: the provider's counts, or an estimate without them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from shared.events import ModelEvent, Reasoning, Refusal, Text, Usage, UsageSource
from shared.messages import ModelRequest, ToolCall
from shared.token_bounds import IMAGE_TOKENS, TOKENS_PER_MESSAGE, text_of, token_upper_bound
from shared.tokens import estimate_tokens

_SOURCES: tuple[UsageSource, ...] = ("estimate", "partial", "provider")  # the least reliable first


class UsageMeter:
    """Measures the usage of one call from its events. The provider's latest count replaces earlier ones.

    A client node's counts are accepted up to what was reserved: one input token per byte, and the allowed output.
    """

    def __init__(self, call: ModelRequest) -> None:
        self.has_content = False
        self._call = call
        self._counted: Usage | None = None
        self._pieces: list[str] = []
        self._counted_pieces = 0  # those before the provider's last count

    def observe(self, event: ModelEvent) -> None:
        """Adds one event to the usage."""
        match event:
            case Text() | Reasoning() | Refusal():
                self._note(event.text)
            case ToolCall():
                self._note(event.name + (event.broken or event.text))
            case Usage():
                self._counted = event
                self._counted_pieces = len(self._pieces)
            case _:
                pass

    @property
    def is_counted(self) -> bool:
        """Whether the provider has counted anything yet."""
        return self._counted is not None

    def usage(self, *, is_complete: bool) -> Usage:
        """Usage so far.

        For an answer that was cut, it adds an estimate of the text after the provider's last count.
        """
        if self._counted is None:
            return self._estimate()
        usage = self._counted if is_complete else self._with_the_rest(self._counted)
        return self._bounded(usage) if self._call.node else usage

    def _note(self, text: str) -> None:
        self.has_content = True
        self._pieces.append(text)

    def _with_the_rest(self, counted: Usage) -> Usage:
        uncounted = self._pieces[self._counted_pieces :] if counted.output_tokens else self._pieces
        so_far = min(counted.output_tokens + _tokens_of(uncounted), self._call.max_output_tokens)
        return replace(counted, output_tokens=max(counted.output_tokens, so_far), source="partial")

    def _estimate(self) -> Usage:
        messages = self._call.messages
        input_tokens = sum(estimate_tokens(text_of(m)) + TOKENS_PER_MESSAGE for m in messages)
        input_tokens += IMAGE_TOKENS * sum(len(m.images) for m in messages)
        return self._bounded(Usage(input_tokens, _tokens_of(self._pieces), source="estimate"))

    def _bounded(self, usage: Usage) -> Usage:
        input_tokens = min(usage.input_tokens, token_upper_bound(self._call.messages, self._call.tools))
        output_tokens = min(usage.output_tokens, self._call.max_output_tokens)
        return replace(
            usage,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=min(usage.cached_tokens, input_tokens),
            reasoning_tokens=min(usage.reasoning_tokens, output_tokens),
        )


def _tokens_of(pieces: list[str]) -> int:
    text = "".join(pieces)
    return estimate_tokens(text) if text else 0


def total(usages: Iterable[Usage]) -> Usage:
    """The sum of several usages, with the least reliable source among them; zero of none."""
    known = list(usages)
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in known),
        output_tokens=sum(usage.output_tokens for usage in known),
        cached_tokens=sum(usage.cached_tokens for usage in known),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in known),
        source=min((usage.source for usage in known), key=_SOURCES.index, default="estimate"),
    )
