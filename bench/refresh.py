"""A refresh of four providers with five hundred models each, beside the time of the providers themselves."""

from __future__ import annotations

import time
from collections.abc import Mapping

import httpx

from bench.function import running
from tests.fakes.providers import Shelf, entry, serving_upstream
from tests.providers import variables

_MODELS = 500
_STEMS = {"google": "gemini-b", "anthropic": "claude-b", "openai": "gpt-b", "huggingface": "bench/model-b"}


def measure(stack: Mapping[str, str]) -> None:
    """Prints the first run, which adds two thousand models, and the second, which finds no changes."""
    with serving_upstream() as upstream:
        keys = variables(upstream) | {"MATCHA_API_KEY": ""}
        for name, stem in _STEMS.items():
            upstream.shelves[name] = Shelf([entry(name, f"{stem}{number}") for number in range(_MODELS)])
        with running("refresh", {**stack, **keys}) as (url, _):
            print(f"refresh, step models, four providers with {_MODELS} models each")
            for run in ("first run", "second run"):
                started = time.perf_counter()
                headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
                answer = httpx.post(url, json={"steps": ["models"]}, headers=headers, timeout=60)
                took = time.perf_counter() - started
                if answer.status_code not in {200, 207}:
                    raise SystemExit(f"refresh answered {answer.status_code}: {answer.text[:200]}")
                outcome = answer.json()
                sources = outcome["steps"]["models"]["sources"]
                providers = max(source["ms"] for name, source in sources.items() if name in _STEMS) / 1000
                sync = outcome["syncResults"]
                print(
                    f"  {run:10s}  {took:5.2f} s, of it the providers {providers:5.2f} s   "
                    f"{sync['added']} added, {sync['updated']} updated   (aim: under 5 s beside the providers)"
                )
