"""Redaction: what must not stand in a log row, and what must."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import privacy
from shared.privacy import WITHHELD, loggable, loggable_json, redact, storable

PLANTED = [
    ("ada@example.com", "email"),
    ("4111 1111 1111 1111", "card"),
    ("5500-0000-0000-0004", "card"),
    ("DE89 3704 0044 0532 0130 00", "iban"),
    ("+49 170 1234567", "phone"),
    ("(555) 123-4567", "phone"),
    ("203.0.113.9", "ip"),
    ("078-05-1120", "national_id"),
    ("sk-proj-" + "a1" * 20, "key"),
    ("hf_" + "A1b2" * 9, "key"),
    ("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_", "jwt"),
    ("sb_secret_" + "N7UND0UgjKTVK" * 2, "key"),
]
HARMLESS = [
    "4,111.50",
    "$4111.1111",
    "2026-11-21",
    "2026-11-21 14:30:00",
    "14:30",
    "ESZ6",
    "gpt-4o",
    "claude-3-7-sonnet-20250219",
    "gemini-2.5-flash-lite",
    "127.0.0.1",
    "version 3.11.7",
    "0.00000040",
    "1/32",
    "1234567890123456",
]


@pytest.mark.parametrize(("text", "label"), PLANTED)
def test_what_identifies_is_replaced_by_its_kind(text: str, label: str) -> None:
    """Each kind of personal datum or key disappears, its surroundings stay."""
    assert redact(f"before {text} after") == f"before [{label}] after"


@pytest.mark.parametrize("text", HARMLESS)
def test_prices_tickers_dates_and_model_names_survive(text: str) -> None:
    """What people ask a model about is not taken for what identifies them."""
    assert redact(f"buy at {text} now") == f"buy at {text} now"


@pytest.mark.parametrize("text", ["password: hunter22", 'api_key="abcdefgh"', "Authorization: Bearer abcdefgh"])
def test_a_secret_after_its_name_loses_its_value(text: str) -> None:
    """The name stays, the value goes."""
    assert "[secret]" in redact(text)
    assert not any(value in redact(text) for value in ("hunter22", "abcdefgh"))


@given(st.text(), st.sampled_from([text for text, _ in PLANTED]), st.text())
def test_planted_data_between_spaces_never_gets_through(before: str, planted: str, after: str) -> None:
    """Whatever stands around it, a datum set off by spaces is gone."""
    assert planted not in redact(f"{before} {planted} {after}")


def test_content_that_is_not_to_be_logged_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """With LOG_CONTENT=none there is no text, and a redactor that fails withholds it."""
    assert loggable("hello", "none") is None
    assert loggable("hello", "redacted") == "hello"
    monkeypatch.setattr(privacy, "_RULES", (None,))
    assert loggable("hello", "redacted") == WITHHELD


def test_json_is_redacted_in_depth() -> None:
    """Strings anywhere in a value are redacted."""
    assert loggable_json({"a": ["ada@example.com", 1, None], "b": {"c": "x"}}) == {
        "a": ["[email]", 1, None],
        "b": {"c": "x"},
    }


def test_what_looks_like_a_value_may_be_one_too() -> None:
    """An address as a field's name and a card as a number are found; ordinary names and numbers stay as they are."""
    value = {"ada@example.com": 1, "card": 4111111111111111, "n": [12, 1.5, True, None, 1795219200]}
    assert loggable_json(value) == {"[email]": 1, "card": "[card]", "n": [12, 1.5, True, None, 1795219200]}


def test_what_postgres_cannot_store_is_replaced() -> None:
    """NUL and lone surrogates become replacement characters, everything else stays."""
    assert storable({"a\x00": ["\ud800x", 1.5, None, "ä🧑‍🚀"]}) == {"a\ufffd": ["\ufffdx", 1.5, None, "ä🧑‍🚀"]}


def test_halves_of_a_character_that_came_apart_are_joined() -> None:
    """A host that cuts an emoji between two chunks leaves two surrogates; what is stored is the emoji."""
    assert storable("a" + "\ud83d" + "\ude00" + "b") == "a😀b"


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc", "So"])))
def test_whatever_is_stored_has_a_utf8_form(text: str) -> None:
    """Nothing that passed can fail to be encoded or hold NUL, and text without either is not touched."""
    stored = storable(text)
    assert "\x00" not in stored.encode().decode()
    assert stored == text or any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in text)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("4111 1111 1111 1111 12/27 123", "[card] 12/27 123"),
        ("4111 1111 1111 1111 123", "[card] 123"),
        ("25 4111 1111 1111 1111", "25 [card]"),
        ("2500 5500-0000-0000-0004 99", "2500 [card] 99"),
        ("4111111111111111 2027", "[card] 2027"),
        ("4111 1111 1111 1111 5500 0000 0000 0004", "[card] [card]"),
        ("3782 822463 10005 1126", "[card] 1126"),
        ("ES91 2100 0418 4502 0005 1332 CODE", "[iban] CODE"),
        ("DE89370400440532013000", "[iban]"),
    ],
)
def test_a_card_or_iban_is_found_among_other_groups(text: str, redacted: str) -> None:
    """An expiry date behind it, or a number before it, does not hide it."""
    assert redact(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("postgres://parley:hunter2@db.example/x", "postgres://[credentials]@db.example/x"),
        ("x-goog-api-key: AbCdEfGh", "x-goog-api-key: [secret]"),
        ("{'password': 'hunter22'}", "{'password': '[secret]'}"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----.", "[private_key]."),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "[private_key]"),
        ("sk-ant-api03-" + "x" * 30, "[key]"),
        ("AIza" + "x" * 35, "[key]"),
        ("AKIAABCDEFGHIJKLMNOP", "[key]"),
        ("ghp_" + "a" * 36, "[key]"),
        ("FR14 2004 1010 0505 0001 3M02 606", "[iban]"),
        ("ada+lists@mail.example.co.uk,bob@b.de", "[email],[email]"),
        ("call 0170 1234567 or 555-123-4567", "call [phone] or [phone]"),
        ("10.0.0.1, 203.0.113.9", "[ip], [ip]"),
        ("two\nada@example.com\nlines", "two\n[email]\nlines"),
    ],
)
def test_other_kinds_are_replaced_too(text: str, redacted: str) -> None:
    """Keys, credentials and whatever stands after a telling name go; the rest of the text stays as it was."""
    assert redact(text) == redacted


@given(st.text())
def test_redacting_twice_is_redacting_once(text: str) -> None:
    """What a first redaction left is not touched by a second."""
    assert redact(redact(text)) == redact(text)
