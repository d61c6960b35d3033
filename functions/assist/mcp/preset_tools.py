"""The presets and bundles as tools, one each: the same cache, limits and prices as their own paths."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from typing import Any

import orjson

from functions.assist import runner
from functions.assist.answer import Answer
from functions.assist.bodies import Outcome, body_of
from functions.assist.mcp.tool import Caller, McpTool, Output
from functions.assist.offers import output_schema
from functions.assist.preset import AssistInput, Bundle, Offer
from functions.assist.request import Asked, presets_of
from functions.assist.runner import Part
from shared.errors import InternalError, ParleyError
from shared.log import log


def tool_of(offer: Offer) -> McpTool[AssistInput]:
    """The tool of a preset; its name has `preset_` before it, so that it cannot be that of another tool."""
    return McpTool(
        f"preset_{offer.name.replace('-', '_')}",
        offer.name.replace("-", " ").capitalize(),
        f"{offer.summary} A stored answer costs nothing.",
        "chat",
        offer.input,
        functools.partial(_schema, offer),
        functools.partial(_answer, offer),
        hidden=frozenset({"dry_run"}),
    )


def _schema(offer: Offer) -> Mapping[str, Any]:
    """The schema of the output, with the errors of the parts of a bundle that failed."""
    schema = dict(output_schema(offer))
    if isinstance(offer, Bundle):
        schema["properties"] = schema["properties"] | {"errors": {"type": "object"}}
    return {name: value for name, value in schema.items() if value != {}}


async def _answer(offer: Offer, caller: Caller, body: AssistInput) -> Output:
    """The answer of a preset. Raises the error when no part has an answer."""
    asked = Asked(
        person=caller.person,
        request_id=caller.request_id,
        arrived=caller.arrived,
        body=body,
        key=None,
        body_hash=None,
        mode="default",
        may_keep=True,
        form="json",
        ignored=(),
    )
    parts = [Part.of(preset, asked) for preset in presets_of(offer)]
    outcomes = dict(zip((part.preset.name for part in parts), await asyncio.gather(*map(_outcome, parts)), strict=True))
    value: dict[str, Any] = orjson.loads(body_of(offer, outcomes, caller.request_id))
    return Output(
        {name: each for name, each in value.items() if name not in {"receipt", "receipts"}}, None, _receipt(value)
    )


def _receipt(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The receipt of a preset, or those of a bundle's parts by their names."""
    receipt: Mapping[str, Any] = value.get("receipt") or value["receipts"]
    return receipt


async def _outcome(part: Part) -> Outcome:
    """The answer or error of one preset; the other parts of a bundle are answered."""
    outcome: Outcome
    try:
        outcome = await runner.answer(part, await runner.find(part))
    except ParleyError as error:
        outcome = error
    except Exception as crash:  # noqa: BLE001 - as above
        log("crash", error=type(crash).__name__)
        outcome = InternalError()
    end = outcome.cache.lower() if isinstance(outcome, Answer) else outcome.code
    log("answer", preset=part.preset.name, outcome=end)
    return outcome
