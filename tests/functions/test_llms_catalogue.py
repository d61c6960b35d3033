"""The model list's shapes, and the list that is shipped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.catalogue import as_openai_model, catalogue_of, shipped_models

ROOT = Path(__file__).resolve().parents[2]
BUNDLED: list[dict[str, Any]] = json.loads((ROOT / "shared" / "bundled.json").read_text())


def test_the_shipped_list_is_the_active_seed() -> None:
    """shared/bundled.json has the active models of the seed."""
    seed = (ROOT / "supabase" / "migrations" / "20261201000700_seed_catalogue_and_limits.sql").read_text()
    rows = re.findall(
        r"\('([\w-]+)', '([^']+)', '(\w+)', '([^']+)', (\d+),\s*'({[^}]*})',\s*'({.*?})', true, (\w+), [\w']+, (\d+)",
        seed,
    )
    assert len(rows) == len(BUNDLED)
    for (key, name, provider, upstream, matcha, capabilities, pricing, is_default, order), row in zip(
        rows, BUNDLED, strict=True
    ):
        assert (row["model_key"], row["model_name"], row["provider"]) == (key, name, provider)
        assert row["identifier"] == f"{provider}:{upstream}"
        assert (row["matcha_llm_id"], row["display_order"]) == (int(matcha), int(order))
        assert (row["capabilities"], row["pricing"]) == (json.loads(capabilities), json.loads(pricing))
        assert row["is_default"] is (is_default == "true")


def test_prices_in_openais_shape_are_exact_strings_per_token() -> None:
    """USD per million become exact USD per token; an unknown price is null."""
    assert as_openai_model(BUNDLED[0])["pricing"] == {
        "prompt": "0.0000001",
        "completion": "0.0000004",
        "input_cache_read": "0.00000001",
    }
    assert as_openai_model(BUNDLED[0] | {"pricing": None})["pricing"] is None


@pytest.fixture(autouse=True)
def _configured(environ: Callable[..., None]) -> None:
    """A deployment with the keys of both shipped providers."""
    environ(GOOGLE_API_KEY="k", OPENAI_API_KEY="k")


def test_the_tag_follows_the_content() -> None:
    """The ETag changes with the list and with `stale`."""
    one, other = catalogue_of(BUNDLED), catalogue_of(BUNDLED[:1])
    assert one.etag == catalogue_of([dict(reversed(row.items())) for row in BUNDLED]).etag
    assert re.fullmatch(r'"[0-9a-f]{32}"', one.etag)
    assert len({one.etag, other.etag, catalogue_of(BUNDLED, is_stale=True).etag}) == 3
    assert json.loads(one.body)["defaultModel"] == "gemini-2-5-flash-lite"
    assert json.loads(catalogue_of(BUNDLED, is_stale=True).body)["stale"] is True


def test_the_shipped_list_shows_what_can_be_called(environ: Callable[..., None]) -> None:
    """It leaves out providers without a key unless none would remain, and always has a default."""
    assert shipped_models() == BUNDLED
    environ(GOOGLE_API_KEY="")
    (only,) = shipped_models()
    assert (only["provider"], only["is_default"]) == ("openai", True)
    environ(OPENAI_API_KEY="")
    assert shipped_models() == BUNDLED
    environ(MATCHA_API_KEY="k", MATCHA_BASE_URL="https://x", MATCHA_MISSION_ID="3")
    assert [model["identifier"] for model in shipped_models()] == ["matcha:35", "matcha:40"]
    assert [model["is_default"] for model in shipped_models()] == [True, False]


@pytest.mark.parametrize(
    ("usd_per_million", "usd_per_token"),
    [
        (3, "0.000003"),
        (0.1, "0.0000001"),
        (2.5, "0.0000025"),
        (0.000001, "0.000000000001"),
        (0, "0"),
        (1_000_000, "1"),
        (75.123456789, "0.000075123456789"),
    ],
)
def test_a_price_is_written_out(usd_per_million: float, usd_per_token: str) -> None:
    """A price has no exponent, no trailing zeros and all its digits."""
    model = as_openai_model(BUNDLED[0] | {"pricing": {"input": usd_per_million, "tiers": []}})
    assert model["pricing"] == {"prompt": usd_per_token}


def test_a_model_in_openais_shape() -> None:
    """Its id is the identifier; unknown values are null."""
    row = BUNDLED[0] | {"created_at": "2026-11-21T00:00:00.123456+00:00"}
    assert as_openai_model(row) | {"pricing": None} == {
        "id": "google:gemini-2.5-flash-lite",
        "object": "model",
        "created": 1795219200,
        "owned_by": "google",
        "name": "Gemini 2.5 Flash-Lite",
        "context_length": 1048576,
        "pricing": None,
        "supported_parameters": ["max_tokens", "temperature", "tools", "tool_choice", "response_format"],
    }
    bare = as_openai_model(row | {"capabilities": {}, "pricing": None, "created_at": None})
    assert (bare["context_length"], bare["pricing"], bare["created"]) == (None, None, 0)
    assert bare["supported_parameters"] == ["max_tokens", "temperature"]


def test_the_list_says_when_it_was_last_synced_and_which_model_is_the_default() -> None:
    """The field `lastSynced` is the latest time; models do not have times of their own."""
    rows = [BUNDLED[0] | {"last_synced_at": f"2026-11-2{day}", "created_at": "2026"} for day in (0, 2, 1)]
    received = json.loads(catalogue_of(rows).body)
    assert (received["lastSynced"], received["count"], "stale" in received) == ("2026-11-22", 3, False)
    assert not {"last_synced_at", "created_at"} & set(received["models"][0])
    empty: dict[str, Any] = {"models": [], "defaultModel": None, "count": 0, "lastSynced": None}
    assert json.loads(catalogue_of([]).body) == empty
