"""Privacy: what may stand in a log row, and what must not."""

from __future__ import annotations

import pytest

from shared import privacy
from shared.privacy import WITHHELD, loggable, loggable_json


def test_content_that_is_not_to_be_logged_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """With LOG_CONTENT=none there is no text, and a redactor that fails withholds it."""
    assert loggable("hello", "none") is None
    assert loggable("hello", "redacted") == "hello"
    monkeypatch.setattr(privacy, "redact", lambda _: 1 / 0)
    assert loggable("hello", "redacted") == WITHHELD


def test_json_is_redacted_in_depth() -> None:
    """Strings anywhere in a value are redacted."""
    assert loggable_json({"a": ["ada@example.com", 1, None], "b": {"c": "x"}}) == {
        "a": ["[email]", 1, None],
        "b": {"c": "x"},
    }


def test_what_looks_like_a_value_may_be_one_too() -> None:
    """An address as a field's name and a card as a number are found; ordinary names and numbers stay as they are."""
    numbers = [12, 1.5, True, None, 1795219200, 0.12345678, 1e300, float("inf")]
    value = {"ada@example.com": 1, "card": 4111111111111111, "float": 4111111111111111.0, "n": numbers}
    assert loggable_json(value) == {"[email]": 1, "card": "[card]", "float": "[card]", "n": numbers}


@pytest.mark.parametrize(
    ("name", "text", "left"),
    [
        ("password", "a b", "[secret]"),
        ("userPassword", "x", "[secret]"),
        ("Authorization", "Basic eDp5", "[secret]"),
        ("auth_token", "abcdefghijklmnop12", "[secret]"),
        ("token", "ETH", "ETH"),
        ("password", "", ""),
        ("note", "call 0171 1234567", "call [phone]"),
    ],
)
def test_a_field_named_after_a_secret_says_nothing(name: str, text: str, left: str) -> None:
    """In JSON that was read, name and value stand apart and still belong together."""
    assert loggable_json({name: text}) == {name: left}
