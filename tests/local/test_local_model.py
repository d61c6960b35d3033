"""The local model as a child process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from local.environment import ROOT


@pytest.fixture(scope="module")
def model() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The child and its address."""
    command = [sys.executable, "-m", "local.model"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["url"]
        process.kill()


def test_the_model_answers(model: tuple[subprocess.Popen[str], str]) -> None:
    """An OpenAI-style request returns text and a token count."""
    _, url = model
    body = {
        "model": "smollm2-135m-instruct",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": 24,
    }
    answer = httpx.post(f"{url}/chat/completions", json=body, timeout=30).json()
    assert answer["choices"][0]["message"]["content"].split()
    assert answer["usage"]["completion_tokens"] > 0


def test_it_ends_when_its_standard_input_closes(model: tuple[subprocess.Popen[str], str]) -> None:
    """A parent that ends in any way also ends the model."""
    process, _ = model
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 0
