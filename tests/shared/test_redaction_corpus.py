"""Redaction of the corpus: each secret goes, each innocent text stays."""

from __future__ import annotations

import re

import pytest

from shared.redaction import redact
from tests.shared.redaction_corpus import INNOCENTS, SECRETS, expanded


def _marked(line: str) -> tuple[str, str]:
    """The text without its marks, and the secret between them."""
    text = expanded(line).replace("\\n", "\n")
    secret = re.findall("«(.*?)»", text, re.DOTALL)[0]
    return re.sub("[«»]", "", text), secret


@pytest.mark.parametrize(("label", "line"), SECRETS, ids=[line for _, line in SECRETS])
def test_a_secret_is_replaced_by_its_kind(label: str, line: str) -> None:
    """The label stands where the secret was, and no part of the secret is left."""
    text, secret = _marked(line)
    redacted = redact(text)
    assert f"[{label}]" in redacted
    assert secret not in redacted


@pytest.mark.parametrize("line", INNOCENTS)
def test_an_innocent_text_stays(line: str) -> None:
    """Code, prose, versions, identifiers, dates, amounts and addresses of pages are not changed."""
    assert redact(line) == line


def test_the_corpus_is_wide() -> None:
    """At least 150 secrets and 150 innocent texts, each once."""
    assert len(SECRETS) == len(set(SECRETS)) >= 150
    assert len(INNOCENTS) == len(set(INNOCENTS)) >= 150
