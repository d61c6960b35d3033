"""The content of log rows."""

from __future__ import annotations

import pytest

from shared import privacy
from shared.privacy import WITHHELD, loggable, loggable_json


def test_log_content_none_logs_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """LOG_CONTENT=none stores no text, and a failing redaction withholds it."""
    assert loggable("hello", "none") is None
    assert loggable("hello", "redacted") == "hello"
    monkeypatch.setattr(privacy, "redact", lambda _: 1 / 0)
    assert loggable("hello", "redacted") == WITHHELD


def test_json_is_redacted_in_depth() -> None:
    """Strings at every level of a value are redacted."""
    assert loggable_json({"a": ["ada@example.com", 1, None], "b": {"c": "x"}}) == {
        "a": ["[email]", 1, None],
        "b": {"c": "x"},
    }


def test_field_names_and_numbers_are_redacted_too() -> None:
    """An e-mail address as field name and a card as number are found; ordinary ones stay."""
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
def test_a_field_with_the_name_of_a_secret_is_redacted(name: str, text: str, left: str) -> None:
    """In parsed JSON, name and value are separate but belong together."""
    assert loggable_json({name: text}) == {name: left}


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ({"phoneNumber": "98765 43210"}, {"phoneNumber": "[phone]"}),
        ({"phone": 9876543210}, {"phone": "[phone]"}),
        ({"mobile_numbers": ["9876543210", 12]}, {"mobile_numbers": ["[phone]", 12]}),
        ({"ssn": 536228726}, {"ssn": "[national_id]"}),
        ({"order_number": "0123456789"}, {"order_number": "0123456789"}),
        ({"created": 1700000000, "count": 42}, {"created": 1700000000, "count": 42}),
        ({"password": 12345678}, {"password": "[secret]"}),
    ],
)
def test_the_name_of_a_field_is_context_of_its_value(value: object, left: object) -> None:
    """A number that is nothing by itself is personal data in a field of that name."""
    assert loggable_json(value) == left
