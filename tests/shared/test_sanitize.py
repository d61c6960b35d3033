"""Sanitised text."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sanitize import sanitize_text, sanitized_json


def test_what_postgres_cannot_store_is_replaced() -> None:
    """NUL and lone surrogates become replacement characters, everything else stays."""
    assert sanitize_text({"a\x00": ["\ud800x", 1.5, None, "ä🧑‍🚀"]}) == {"a\ufffd": ["\ufffdx", 1.5, None, "ä🧑‍🚀"]}


def test_halves_of_a_character_that_came_apart_are_joined() -> None:
    """A host that cuts an emoji between two chunks leaves two surrogates; what is stored is the emoji."""
    assert sanitize_text("a" + "\ud83d" + "\ude00" + "b") == "a😀b"


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc", "So"])))
def test_whatever_is_stored_has_a_utf8_form(text: str) -> None:
    """Sanitised text can be encoded and has no NUL; valid text is unchanged."""
    stored = sanitize_text(text)
    assert "\x00" not in stored.encode().decode()
    assert stored == text or any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in text)


_STRINGS = st.text() | st.text(st.characters(categories=["Cs", "Cc", "So"])) | st.sampled_from(["\\u0000", "\\ud83d"])


@given(
    st.recursive(_STRINGS | st.none() | st.integers(), lambda each: st.lists(each) | st.dictionaries(_STRINGS, each))
)
def test_the_json_text_of_a_value_is_sanitised(value: object) -> None:
    """The text holds what a walk over the value gives."""
    assert json.loads(sanitized_json(value)) == sanitize_text(value)


def test_json_text_takes_every_mapping_and_no_nan() -> None:
    """A read-only mapping is an object; NaN is no JSON."""
    assert sanitized_json({"a": MappingProxyType({"b": (1, "ä")})}) == r'{"a":{"b":[1,"\u00e4"]}}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        sanitized_json({"a": float("nan")})
