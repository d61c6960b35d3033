"""Presets of assist: valid answers or an error, on every dialect and with every fault of a model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.providers import Upstream
from tests.fakes.providers.server import Act
from tests.fakes.providers.wire import Asked, Refusal, Script
from tests.stack.assists import BRIEF, INSIGHT, market, name_of, plays, post, says
from tests.stack.conftest import Models
from tests.stack.people import Person, log_row
from tests.stack.turns import Database

_DIALECTS = ("openai", "anthropic", "google", "client")
_JSON = json.dumps(INSIGHT)
_WRONG = {"headline": "Prices rise", "findings": "many", "actions": []}
# What the model says at each call, and how many calls it takes.
_FAULTS: dict[str, tuple[tuple[Act, ...], int]] = {
    "valid": ((says(INSIGHT),), 1),
    "prose instead of JSON": ((says("I would say that prices rise."), says(INSIGHT)), 2),
    "half JSON": ((says(_JSON[:60]), says(INSIGHT)), 2),
    "a stream that breaks off": ((says(_JSON[:60], ending="torn"), says(INSIGHT)), 2),
    "fenced JSON": ((says(f"Here you are:\n```json\n{_JSON}\n```\nDone."),), 1),
    "extra keys": ((says(INSIGHT | {"note": "an extra"}),), 1),
    "a draft before the answer": ((says(f'Maybe {{"headline": "No"}}. Better: {_JSON}'),), 1),
    "thoughts": ((says(f"<think>Is it {{this}}?</think>{_JSON}"),), 1),
    "reasoning": ((says(INSIGHT, reasoning="Let me think."),), 1),
    "cut by length": ((says(_JSON[:60], ending="length"), says(INSIGHT)), 2),
    "wrong types": ((says(_WRONG), says(INSIGHT)), 2),
    "a refused schema": ((lambda _: Refusal(400, "request", "no such field"), says(INSIGHT)), 2),
}


@pytest.mark.parametrize("provider", _DIALECTS)
@pytest.mark.parametrize("fault", _FAULTS)
def test_an_answer_is_valid_in_spite_of_a_fault(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, db: Database, provider: str, fault: str
) -> None:
    """The answer has exactly the fields of the schema; each try is on the receipt and in the row, with its tokens."""
    acts, calls = _FAULTS[fault]
    model = plays(upstream, able("fixed", provider), *acts)
    response = post(assist_url, alice, BRIEF, market() | {"model": model})
    assert response.status_code == 200, response.text
    answer = response.json()
    receipt = answer.pop("receipt")
    assert answer == INSIGHT
    assert response.headers["X-Cache"] == "MISS"
    assert len(upstream.calls_of(name_of(model))) == len(receipt["attempts"]) == calls
    charged = [each for each in receipt["attempts"] if each["usage"]]
    assert receipt["usage"]["output_tokens"] == sum(each["usage"]["output_tokens"] for each in charged)
    assert receipt["cost_usd"] == pytest.approx(sum(each["cost_usd"] for each in charged))
    assert receipt["cost_usd"] > 0
    row = log_row(db, receipt["turn_id"])
    assert (row["endpoint"], row["status"], row["preset_version"]) == ("assist.market-brief", "completed", "1")
    assert (float(row["cost_usd"]), len(row["attempts"])) == (receipt["cost_usd"], calls)


@pytest.mark.parametrize("provider", _DIALECTS)
@pytest.mark.parametrize(
    ("acts", "code"),
    [
        ((says("No."),), "output_invalid"),
        ((says(_WRONG),), "output_invalid"),
        ((says(_JSON[:60], ending="length"),), "answer_cut"),
        ((says("", ending="filtered"),), "output_invalid"),
    ],
    ids=["prose", "wrong types", "cut twice", "blocked"],
)
def test_what_cannot_be_made_valid_is_an_error(
    alice: Person,
    assist_url: str,
    able: Models,
    upstream: Upstream,
    db: Database,
    provider: str,
    acts: tuple[Any, ...],
    code: str,
) -> None:
    """After one repair, or one try with more tokens, it is 502; the tries are booked, and nothing is kept."""
    model = plays(upstream, able("fixed", provider), *acts)
    body = market() | {"model": model}
    first = post(assist_url, alice, BRIEF, body)
    assert (first.status_code, first.json()["error"]["code"]) == (502, code)
    row = db.execute("select * from public.chat_logs where user_id = %s", [alice.id]).fetchall()[-1]
    assert (row["status"], row["error_code"]) == ("failed", code)
    assert len(row["attempts"]) == len(upstream.calls_of(name_of(model)))
    assert post(assist_url, alice, BRIEF, body, Cache_Control="only-if-cached").status_code == 504


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google", "client"])
def test_a_model_without_schemas_gets_them_as_a_tool(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, provider: str
) -> None:
    """A model with tools must call one that takes the answer; one with neither gets the schema as text."""

    def act(asked: Asked) -> Script:
        return Script(calls=((asked.tools[0], INSIGHT),)) if asked.tools else says(INSIGHT)

    with_tools = plays(upstream, able("fixed", provider, supports_json=False), act)
    answer = post(assist_url, alice, BRIEF, market() | {"model": with_tools}).json()
    assert answer.pop("receipt")["attempts"][0]["ok"]
    assert answer == INSIGHT
    asked = upstream.calls_of(name_of(with_tools))[0].asked
    assert asked is not None
    assert (asked.wants_schema, asked.tools) == (False, ("market_brief",))
    with_neither = plays(upstream, able("fixed", provider, supports_json=False, supports_tools=False), act)
    answer = post(assist_url, alice, BRIEF, market() | {"model": with_neither}).json()
    assert answer["headline"] == INSIGHT["headline"]
    assert "additionalProperties" in str(upstream.calls_of(name_of(with_neither))[0].body)
