"""The record of a result: verbatim for the conversation, redacted for the log."""

from __future__ import annotations

import hmac
import itertools
import json
from collections.abc import Callable
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import spool
from shared.ledger import as_record
from shared.privacy import WITHHELD
from tests.shared.ledger_values import ENTRY, HARMLESS, PERSON, PLANTED, TURN


def test_a_record_holds_the_answer_verbatim_for_its_people_and_redacted_for_the_log(
    environ: Callable[..., None],
) -> None:
    """`content` is verbatim, `response` is redacted."""
    environ()
    record = as_record(ENTRY)
    assert record["content"] == "Write to ada@example.com"
    assert record["response"] == "Write to [email]"
    assert record["usage"] == {
        "input_tokens": 10,
        "output_tokens": 5,
        "cached_tokens": 2,
        "reasoning_tokens": 1,
        "source": "provider",
        "cache_write_tokens": 0,
    }
    assert record["attempts"][0]["provider_key"] == "openai"
    assert (record["worker_id"], record["identifier"], record["status"]) == ("worker-1", "openai:gpt-4o", "completed")
    assert json.loads(json.dumps(record)) == record


def test_a_turn_that_is_not_stored_leaves_no_words(environ: Callable[..., None]) -> None:
    """Neither the conversation nor the log gets its text."""
    environ()
    record = as_record(replace(ENTRY, turn=replace(TURN, is_stored=False)))
    assert (record["content"], record["response"], record["has_content"]) == ("", None, True)
    assert spool.record_of(record, PERSON.id)["entry"]["content"] == ""


def test_without_log_content_the_log_gets_no_words(environ: Callable[..., None]) -> None:
    """The conversation still gets the message."""
    environ(LOG_CONTENT="none")
    record = as_record(ENTRY)
    assert (record["content"], record["response"], record["has_content"]) == ("Write to ada@example.com", None, True)
    spooled = spool.record_of(record, PERSON.id)["entry"]
    assert (spooled["content"], spooled["response"], spooled["has_content"]) == (WITHHELD, None, True)
    silent = spool.record_of(as_record(replace(ENTRY, content="")), PERSON.id)["entry"]
    assert (silent["content"], silent["has_content"]) == ("", False)


def test_a_record_tells_what_agents_and_tools_did(environ: Callable[..., None]) -> None:
    """By the names that chat_finish knows; what is worded is redacted, except what the conversation gets."""
    environ()
    mail = "ada@example.com"
    entry = replace(
        ENTRY,
        turn=replace(TURN, history_left_out=7),
        tools_used=({"name": "analyze_data", "ms": 12, "ok": False, "error": mail},),
        domain="trading",
        skill="expert",
        escalation={"to": "technical", "reason": f"ask {mail}"},
        handoffs=1,
        context_tokens=321,
        parts=({"type": "text", "text": mail},),
    )
    wanted = {
        "tools_used": [{"name": "analyze_data", "ms": 12, "ok": False, "error": "[email]"}],
        "domain_classification": "trading",
        "user_skill_assessment": "expert",
        "escalation_suggested": True,
        "escalation_metadata": {"to": "technical", "reason": "ask [email]"},
        "agent_handoffs": 1,
        "context_size_tokens": 321,
        "history_left_out": 7,
        "parts": [{"type": "text", "text": mail}],
    }
    record = as_record(entry)
    assert {name: record[name] for name in wanted} == wanted
    assert mail not in json.dumps(spool.record_of(record, PERSON.id))
    assert spool.record_of(record, PERSON.id)["entry"]["parts"] == [{"type": "text", "text": "[email]"}]
    bare = as_record(ENTRY)
    assert {name: bare[name] for name in wanted if not bare[name]} == {
        "tools_used": [],
        "domain_classification": None,
        "user_skill_assessment": None,
        "escalation_suggested": False,
        "escalation_metadata": None,
        "agent_handoffs": 0,
        "context_size_tokens": None,
        "history_left_out": 0,
        "parts": None,
    }


@pytest.mark.parametrize("is_stored", [True, False])
def test_no_words_of_a_handover_stay_where_none_may(environ: Callable[..., None], is_stored: bool) -> None:
    """For an unstored turn, or with LOG_CONTENT=none, the row has the hand-off but not its reason."""
    environ(LOG_CONTENT="redacted" if not is_stored else "none")
    parts = ({"type": "text", "text": "planted"},)
    turn = replace(TURN, is_stored=is_stored)
    record = as_record(replace(ENTRY, turn=turn, escalation={"reason": "planted"}, parts=parts))
    assert (record["escalation_suggested"], record["escalation_metadata"]) == (True, None)
    assert (record["parts"] is not None) is is_stored
    assert "planted" not in json.dumps(spool.record_of(record, PERSON.id))


@given(
    words=st.lists(st.sampled_from([*PLANTED, *HARMLESS]), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 200), max_size=5),
    is_stored=st.booleans(),
    log_content=st.sampled_from(["redacted", "none"]),
)
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_nothing_planted_is_in_a_record_and_what_is_harmless_stays(
    environ: Callable[..., None], words: list[str], cuts: list[int], is_stored: bool, log_content: str
) -> None:
    """Records and log lines have no personal datum, however the answer was split; other text is kept."""
    environ(LOG_CONTENT=log_content)
    text = f"Well, {' and '.join(words)} it is."
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in itertools.pairwise(edges)]
    entry = replace(ENTRY, content="".join(pieces), turn=replace(TURN, is_stored=is_stored))
    record = json.dumps(spool.record_of(as_record(entry), PERSON.id))
    assert not any(planted in record for planted in PLANTED)
    if is_stored and log_content == "redacted":
        assert all(word in record for word in words if word in HARMLESS)
    else:
        assert "Well" not in record


def test_a_persons_hash_needs_the_pepper(environ: Callable[..., None]) -> None:
    """The same person has the same hash under one pepper, another under another, and none without."""
    entry = replace(ENTRY, turn=replace(TURN, user_id=PERSON.id))
    environ(HASH_PEPPER="pepper")
    known = as_record(entry)["user_id_hash"]
    assert known == "v1:" + hmac.digest(b"pepper", PERSON.id.encode(), "sha256").hex()
    assert as_record(ENTRY)["user_id_hash"] is None
    environ(HASH_PEPPER="salt")
    assert as_record(entry)["user_id_hash"] not in {None, known}
    environ(HASH_PEPPER="")
    assert as_record(entry)["user_id_hash"] is None
