"""The body and headers of an answer: of one preset, or of a bundle's parts together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from functions.assist.answer import Answer
from functions.assist.preset import Offer, Preset
from functions.assist.request import Asked, presets_of
from shared.error_response import error_body
from shared.errors import ParleyError
from shared.parameters import ignored_header

Outcome = Answer | ParleyError
Outcomes = Mapping[str, Outcome]


def body_of(offer: Offer, outcomes: Outcomes, request_id: str) -> bytes:
    """The JSON object: the fields of the output, and the receipt. Raises the error when every part failed."""
    answers = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Answer)}
    if not answers:
        raise next(outcome for outcome in outcomes.values() if isinstance(outcome, ParleyError))
    members = [members_of(preset, outcomes[preset.name]) for preset in presets_of(offer)]
    if isinstance(offer, Preset):
        extra = {"receipt": answers[offer.name].receipt}
    else:
        extra = {"errors": errors_of(offer, outcomes, request_id)} if len(answers) < len(outcomes) else {}
        extra["receipts"] = {name: answer.receipt for name, answer in answers.items()}
    return b"{" + b",".join([*members, orjson.dumps(extra)[1:-1]]) + b"}"


def members_of(preset: Preset, outcome: Outcome) -> bytes:
    """The members of an answer's JSON object; null for each field of a part that failed."""
    if isinstance(outcome, Answer):
        return outcome.output[1:-1]
    return orjson.dumps(dict.fromkeys(preset.output.model_fields))[1:-1]


def errors_of(offer: Offer, outcomes: Outcomes, request_id: str) -> dict[str, Any]:
    """The errors of failed parts by the names of their fields."""
    return {
        field: error_body(outcome, request_id)["error"]
        for preset in presets_of(offer)
        if isinstance(outcome := outcomes[preset.name], ParleyError)
        for field in preset.output.model_fields
    }


def headers_of(asked: Asked, outcomes: Outcomes) -> dict[str, str]:
    """The headers of an answer. X-Cache is MISS when a model was called, STALE when a stored part is old, else HIT."""
    answers = [outcome for outcome in outcomes.values() if isinstance(outcome, Answer)]
    headers = {name: value for answer in answers for name, value in answer.headers.items()}
    states = {answer.cache for answer in answers}
    headers["X-Cache"] = "MISS" if not states or "MISS" in states else "STALE" if "STALE" in states else "HIT"
    ages = [answer.age_seconds for answer in answers if answer.age_seconds is not None]
    if ages and headers["X-Cache"] != "MISS":
        headers["Age"] = str(max(ages))
    headers["Cache-Control"] = "private, no-cache"
    return headers | ignored_header(asked.ignored)
