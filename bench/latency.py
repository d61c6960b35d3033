"""The latency that chat adds to the model server: token check, two database round trips and the stream."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import httpx

from functions.chat.agents import AGENTS
from local.users import access_token

_ROUNDS = 60
_WARM_UP = 10
_QUESTION = "Say hello."
_TOKENS = 8


def measure(stack: Mapping[str, str]) -> None:
    """Prints medians and their difference; alternates direct calls and turns, so that both see the same load."""
    token = access_token(stack["SUPABASE_URL"], stack["SUPABASE_SERVICE_KEY"], "bench@parley.local")
    direct_ms, chat_ms = [], []
    with httpx.Client(timeout=30) as client:
        for number in range(_ROUNDS + _WARM_UP):
            direct, chat = _direct(client, stack), _turn(client, stack, token)
            if number >= _WARM_UP:
                direct_ms.append(direct)
                chat_ms.append(chat)
    added = statistics.median(chat_ms) - statistics.median(direct_ms)
    print(f"latency, one caller, {_ROUNDS} rounds, whole streamed answer of at most {_TOKENS} tokens")
    print(f"  model server itself   p50 {statistics.median(direct_ms):7.1f} ms   p95 {_p95(direct_ms):7.1f} ms")
    print(f"  through chat          p50 {statistics.median(chat_ms):7.1f} ms   p95 {_p95(chat_ms):7.1f} ms")
    print(f"  added                 p50 {added:7.1f} ms   (aim: under 25)")


def _direct(client: httpx.Client, stack: Mapping[str, str]) -> float:
    messages = [{"role": "system", "content": AGENTS["general"].prompt}, {"role": "user", "content": _QUESTION}]
    body = {
        "model": "smollm2-135m-instruct",
        "messages": messages,
        "max_tokens": _TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return _timed(client, f"{stack['MODEL_URL']}/chat/completions", body, {})


def _turn(client: httpx.Client, stack: Mapping[str, str], token: str) -> float:
    body = {"message": _QUESTION, "max_tokens": _TOKENS, "temperature": 0}
    return _timed(client, stack["CHAT_URL"], body, {"Authorization": f"Bearer {token}"})


def _timed(client: httpx.Client, url: str, body: Mapping[str, object], headers: Mapping[str, str]) -> float:
    started = time.perf_counter()
    response = client.post(url, json=body, headers=headers)
    ended = time.perf_counter()
    if response.status_code != 200 or "[DONE]" not in response.text:
        raise SystemExit(f"{url} answered {response.status_code}: {response.text[:200]}")
    return (ended - started) * 1000


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]
