"""One rule of redaction: a pattern, the label of its matches, and what separates a match from a coincidence."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from shared.redaction.context_words import words_of

_BEFORE_LENGTH = 48
PatternSource = str | Callable[[], str]
"""A pattern, or a function that makes one which takes long to make."""


def _whole(text: str, _before: str) -> int:
    return len(text)


class Rule(NamedTuple):
    """`pattern` finds candidates; its last named group is replaced, or the whole match without one."""

    label: str
    """The kind that replaces a match; empty for text that later rules must not read."""
    pattern: PatternSource
    """Compiled when a text first needs it: a cold start compiles none."""
    needs: tuple[str, ...] = ("",)
    """A text without any of these, in lower case, has no match."""
    length: Callable[[str, str], int] = _whole
    """How many characters of a match, from its start, count, also by the text before it. 0: a coincidence; below 0:
    that many characters stay, and later rules do not read them."""
    back: int = 0
    """How many characters before a match belong to it: digits are rarer than letters, so some patterns begin there."""
    also: tuple[str, ...] = ("",)
    """Nor has a text without any of these; read only when the first is there."""
    gate: str = ""
    """Nor has a text without a match of this pattern, which costs less than `pattern` where there is none."""
    words: frozenset[str] = frozenset()
    """In an ASCII text without any of these words, `unnamed` is the pattern."""
    unnamed: PatternSource = ""
    """Finds what counts without a word; empty when nothing does."""


class Rules:
    """Rules in their order, with an index of what they need; with `within`, only its matches can have that."""

    def __init__(self, rules: Iterable[Rule], within: str = "") -> None:
        self._rules = tuple(rules)
        self._within = within
        self._needs: dict[str, list[int]] = {}
        for at, rule in enumerate(self._rules):
            for need in rule.needs:
                self._needs.setdefault(need, []).append(at)

    def applied(self, text: str, shadow: str) -> tuple[str, str]:
        """The text and its normalised copy, with the same replacements in both."""
        lower = shadow.lower()
        if self._within:
            lower = " ".join(compiled(self._within).findall(lower))
        words: frozenset[str] = frozenset()
        is_ascii = shadow.isascii()
        present = [need for need in self._needs if need in lower]
        for at in sorted({at for need in present for at in self._needs[need]}):
            rule = self._rules[at]
            pattern = rule.pattern
            if rule.words and is_ascii:
                words = words or words_of(shadow)
                pattern = rule.unnamed if rule.words.isdisjoint(words) else pattern
            found = list(_spans(rule, pattern, shadow)) if pattern and _is_possible(rule, shadow, lower) else []
            if found:
                text, shadow = _cut(text, found, masks=False), _cut(shadow, found, masks=True)
        return text, shadow


def any_form(forms: Iterable[str]) -> str:
    """A pattern of what begins with one of the forms, which have 0 for a digit, A for a capital, and other signs."""
    following: dict[str, list[str]] = {}
    for form in forms:
        following.setdefault(form[:1], []).append(form[1:])
    if "" in following:
        return ""
    classes = {"0": r"\d", "A": "[A-Z]", " ": "[ -]"}
    return f"(?:{'|'.join(classes.get(sign, re.escape(sign)) + any_form(rest) for sign, rest in following.items())})"


@functools.cache
def compiled(pattern: PatternSource) -> re.Pattern[str]:
    """The compiled pattern, made at the first use: a cold start compiles none."""
    return re.compile(pattern if isinstance(pattern, str) else pattern())


def _is_possible(rule: Rule, text: str, lower: str) -> bool:
    is_there = rule.also == ("",) or any(need in lower for need in rule.also)
    return is_there and (not rule.gate or compiled(rule.gate).search(text) is not None)


def _spans(rule: Rule, pattern: PatternSource, text: str) -> Iterator[tuple[int, int, str]]:
    """The start, end and label of each match that counts, in order and without overlap."""
    at = 0
    search = compiled(pattern).search
    while match := search(text, at):
        start, end = match.span(match.lastgroup or 0)
        start = max(at, start - rule.back)
        length = rule.length(text[start:end], text[max(0, start - _BEFORE_LENGTH) : start])
        if length:
            yield start, start + abs(length), rule.label if length > 0 else ""
        at = start + abs(length) if length else match.start() + 1


def _cut(text: str, found: list[tuple[int, int, str]], *, masks: bool) -> str:
    """The text with labels; with `masks`, a span without one becomes underscores."""
    pieces = []
    for (_, before, _), (start, end, label) in pairwise([(0, 0, ""), *found]):
        kept = "_" * (end - start) if masks else text[start:end]
        pieces += [text[before:start], f"[{label}]" if label else kept]
    return "".join([*pieces, text[found[-1][1] :]])
