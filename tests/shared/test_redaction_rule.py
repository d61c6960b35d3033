"""Shortcuts of redaction: what a text without certain words or signs is not searched for."""

from __future__ import annotations

import re

import pytest

from shared.redaction.context_words import words_before, words_of
from shared.redaction.rule import Rule, Rules, any_form


@pytest.mark.parametrize(
    ("text", "is_found"), [("12-34", True), ("12-34-5", True), ("12 345", True), ("A1", True), ("1-2", False)]
)
def test_a_pattern_of_forms_finds_what_begins_with_one(text: str, is_found: bool) -> None:
    """Digits, capitals and signs stand for themselves; a form that begins another one is enough."""
    assert (re.match(any_form(("00-00", "00 000", "00-00-00", "A0")), text) is not None) is is_found


@pytest.mark.parametrize("text", ["my phoneNumber: ", "Call (Mobile) ", "le T\xc9L\xc9PHONE "])
def test_all_words_of_a_text_include_those_before_a_number(text: str) -> None:
    """A text without a word has no number after that word."""
    assert set(words_before(text)) <= words_of(text)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("room 12 and 3", "room [n] and [n]"),
        ("hall 12", "hall 12"),
        ("hall 123", "hall [n]"),
        ("z\xe9 12", "z\xe9 [n]"),
    ],
)
def test_a_rule_of_words_has_another_pattern_without_them(text: str, redacted: str) -> None:
    """A text in other letters may have words that are no words of a list."""
    rules = Rules((Rule("n", r"\d+", words=frozenset({"room"}), unnamed=r"\d{3}"),))
    assert rules.applied(text, text)[0] == redacted


def test_a_gate_only_saves_time() -> None:
    """The pattern is searched only when the gate has a match."""
    rules = Rules((Rule("n", r"\d+", gate="!"),))
    assert [rules.applied(text, text)[0] for text in ("12", "12!")] == ["12", "[n]!"]
