"""Identifiers that clients send."""

from __future__ import annotations

import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.identifiers import is_canonical_uuid, is_idempotency_key, provider_key, request_id_of


@given(st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=64))
def test_a_well_formed_request_id_is_kept(given_id: str) -> None:
    """Log lines and rows have the client's id."""
    assert request_id_of(given_id) == given_id


@pytest.mark.parametrize("given_id", [None, "", "a" * 65, "a b", "a\n", "é", "a/b", "<script>", "\uff11"])
def test_any_other_request_id_is_replaced(given_id: str | None) -> None:
    """A malformed id is not echoed; the new id is a uuid."""
    made = request_id_of(given_id)
    assert str(uuid.UUID(made)) == made
    assert made != request_id_of(given_id)


@pytest.mark.parametrize(
    ("text", "is_key"),
    [
        ("a", True),
        ("a b", True),
        ("x" * 255, True),
        ("~!@#", True),
        ("", False),
        ("x" * 256, False),
        (" a", False),
        ("a ", False),
        ("a\n", False),
        ("a\tb", False),
        ("ä", False),
        ("\x7f", False),
    ],
)
def test_idempotency_keys(text: str, is_key: bool) -> None:
    """1 to 255 printable ASCII characters, without blanks around them."""
    assert is_idempotency_key(text) is is_key


@given(st.uuids())
def test_a_uuid_as_the_database_prints_it_is_canonical(value: uuid.UUID) -> None:
    """Lowercase with hyphens is canonical; other spellings of the same uuid are not."""
    assert is_canonical_uuid(str(value))
    assert not is_canonical_uuid(value.hex)
    assert not is_canonical_uuid("{" + str(value) + "}")
    assert not is_canonical_uuid(str(value) + "\n")
    assert not is_canonical_uuid(value)


def test_an_uppercase_uuid_is_not_canonical() -> None:
    """One user has one spelling."""
    assert not is_canonical_uuid("AAAAAAAA-0000-4000-8000-000000000000")


@pytest.mark.parametrize(("provider", "node_id", "key"), [("openai", None, "openai"), ("client", 7, "client:7")])
def test_each_provider_and_node_has_a_circuit(provider: str, node_id: int | None, key: str) -> None:
    """A failing node does not affect other nodes."""
    assert provider_key(provider, node_id) == key
