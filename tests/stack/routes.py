"""Aliases with arms, and models with a price, for tests of routing."""

from __future__ import annotations

import json

from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.turns import Database


def add_arms(db: Database, alias: str, *arms: tuple[str, float, int]) -> str:
    """The alias, after these arms of a model's key, weight and fallback order were added to it."""
    for key, weight, order in arms:
        db.execute(
            "insert into public.llm_routes (alias, model_key, weight, fallback_order) values (%s, %s, %s, %s)",
            [alias, key, weight, order],
        )
    return alias


def priced_model(model: Models, price: float | None) -> str:
    """The identifier of a new model of OpenAI that costs this many USD a million tokens; None is an unknown price."""
    pricing = None if price is None else json.dumps({"input": price, "output": price})
    return model(named("echo", "openai"), pricing=pricing, provider="openai")
