"""The usage of a model call at any moment: the provider's counts, or an estimate without them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from shared.events import CallPiece, ModelEvent, Reasoning, Refusal, Text, Usage, UsageSource
from shared.growing_text import GrowingText
from shared.messages import ModelRequest, ToolCall
from shared.token_bounds import TOKENS_PER_MESSAGE, file_tokens, text_of, token_upper_bound
from shared.tokens import estimate_tokens

_UNKNOWN_WINDOW = 2_000_000  # as large as any model's
_MARGIN_TOKENS = 256
_SOURCES: tuple[UsageSource, ...] = ("estimate", "partial", "provider")  # the least reliable first


class UsageMeter:
    """Measures the usage of one call from its events. For each field the provider's latest real count wins.

    Zero is no real count of a prompt, nor of an output with content: it is estimated. A client node's counts are
    accepted up to what was reserved: one input token per byte, and the allowed output. Those of a provider are accepted
    up to a quarter above the `context_window` and the allowed output. Usage with an estimate or a bound is `partial`.
    """

    def __init__(self, call: ModelRequest, context_window: int | None = None) -> None:
        self.has_content = False
        self._call, self._window = call, context_window or _UNKNOWN_WINDOW
        self._counted: Usage | None = None
        self._words = GrowingText()
        self._pieced: set[str] = set()  # the ids of calls whose pieces are noted
        self._counted_until = 0  # where the provider's last count came

    def observe(self, event: ModelEvent) -> None:
        """Adds one event to the usage."""
        match event:
            case Text() | Reasoning() | Refusal():
                self._note(event.text)
            case CallPiece():
                self._note(event.text if event.id in self._pieced else event.name + event.text)
                self._pieced.add(event.id)
            case ToolCall() if event.id not in self._pieced:
                self._note(event.name + (event.broken or event.text))
            case Usage():
                self._counted = _updated(self._counted, event)
                if event.output_tokens:
                    self._counted_until = len(self._words)
            case _:
                pass

    @property
    def is_counted(self) -> bool:
        """Whether the provider has counted anything yet."""
        return self._counted is not None and bool(self._counted.input_tokens or self._counted.output_tokens)

    @property
    def is_excessive(self) -> bool:
        """Whether a provider counted more than the request and its answer can have."""
        counted = self._counted
        return counted is not None and not self._call.node and self._bounded(counted) != counted

    def usage(self, *, is_complete: bool) -> Usage:
        """Usage so far.

        For an answer that was cut, it adds an estimate of the text after the provider's last count.
        """
        if self._counted is None or not self.is_counted:
            return self._estimate()
        usage = self._counted if is_complete else self._with_the_rest(self._counted)
        return self._bounded(self._with_estimates(usage))

    def _note(self, text: str) -> None:
        self.has_content = True
        self._words.add(text)

    def _with_the_rest(self, counted: Usage) -> Usage:
        uncounted = self._words.text(self._counted_until if counted.output_tokens else 0)
        so_far = min(counted.output_tokens + _tokens_of(uncounted), self._call.max_output_tokens)
        return replace(counted, output_tokens=max(counted.output_tokens, so_far), source="partial")

    def _estimate(self) -> Usage:
        messages = self._call.messages
        input_tokens = sum(estimate_tokens(text_of(m)) + TOKENS_PER_MESSAGE for m in messages)
        input_tokens += sum(map(file_tokens, messages))
        return self._bounded(Usage(input_tokens, _tokens_of(self._words.text()), source="estimate"))

    def _with_estimates(self, usage: Usage) -> Usage:
        """The usage with estimates for what the provider did not count."""
        if usage.input_tokens and (usage.output_tokens or not self.has_content):
            return usage
        estimate = self._estimate()
        return replace(
            usage,
            input_tokens=usage.input_tokens or estimate.input_tokens,
            output_tokens=usage.output_tokens or estimate.output_tokens,
            source="partial",
        )

    @cached_property
    def _input_limit(self) -> int:
        return token_upper_bound(self._call.messages, self._call.tools)

    def _bounded(self, usage: Usage) -> Usage:
        input_limit = self._input_limit
        output_limit = self._call.max_output_tokens
        if self._call.node or usage.source == "estimate":
            input_tokens, output_tokens = min(usage.input_tokens, input_limit), min(usage.output_tokens, output_limit)
        else:  # a provider's own prompt for tools, and a call that it ends a little late, are plausible
            input_tokens = _within(usage.input_tokens, max(input_limit, self._window))
            output_tokens = _within(usage.output_tokens, output_limit)
        if (input_tokens, output_tokens) == (usage.input_tokens, usage.output_tokens):
            return usage
        return Usage(
            input_tokens,
            output_tokens,
            min(usage.cached_tokens, input_tokens),
            min(usage.reasoning_tokens, output_tokens),
            "estimate" if usage.source == "estimate" else "partial",
            min(usage.cache_write_tokens, input_tokens - min(usage.cached_tokens, input_tokens)),
        )


def _updated(before: Usage | None, latest: Usage) -> Usage:
    """Both counts as one: for each field the latest that is not zero."""
    if before is None:
        return latest
    input_tokens = latest.input_tokens or before.input_tokens
    output_tokens = latest.output_tokens or before.output_tokens
    cached_tokens = min(latest.cached_tokens or before.cached_tokens, input_tokens)
    written = latest.cache_write_tokens or before.cache_write_tokens
    return replace(
        latest,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        cache_write_tokens=min(written, input_tokens - cached_tokens),
        reasoning_tokens=min(latest.reasoning_tokens or before.reasoning_tokens, output_tokens),
    )


def _within(count: int, most: int) -> int:
    """The count, or `most` if it is over it by more than a quarter and some tokens."""
    return count if count <= most + most // 4 + _MARGIN_TOKENS else most


def _tokens_of(text: str) -> int:
    return estimate_tokens(text) if text else 0


def total(usages: Iterable[Usage]) -> Usage:
    """The sum of several usages, with the least reliable source among them; zero of none."""
    known = list(usages)
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in known),
        output_tokens=sum(usage.output_tokens for usage in known),
        cached_tokens=sum(usage.cached_tokens for usage in known),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in known),
        cache_write_tokens=sum(usage.cache_write_tokens for usage in known),
        source=min((usage.source for usage in known), key=_SOURCES.index, default="estimate"),
    )
