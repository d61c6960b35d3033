"""Errors of chat completions in OpenAI's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from functions.chat.openai_errors import openai_words, reworded
from shared.error_response import error_body, error_response
from shared.errors import (
    BudgetExceeded,
    ContextExceeded,
    ModelNotFound,
    ParleyError,
    ProviderOverloaded,
    QuotaExceeded,
    TooManyTurns,
    Unprocessable,
)
from shared.providers.provider_errors import error_for_status
from shared.providers.refusals import Refusal


def _refused(code: str | None = None, reason: str | None = None) -> ParleyError:
    return error_for_status("openai", 400, refusal=Refusal((code,) if code else (), reason or ""))


@pytest.mark.parametrize(
    ("error", "status", "code", "kind"),
    [
        (ContextExceeded("no"), 400, "context_length_exceeded", "invalid_request_error"),
        (_refused("context_length_exceeded"), 400, "context_length_exceeded", "invalid_request_error"),
        (_refused("invalid_schema"), 400, "invalid_schema", "invalid_request_error"),
        (error_for_status("openai", 422), 400, "provider_refused", "invalid_request_error"),
        (BudgetExceeded("no"), 429, "insufficient_quota", "insufficient_quota"),
        (QuotaExceeded("no"), 429, "rate_limit_exceeded", "rate_limit_error"),
        (TooManyTurns("no"), 429, "rate_limit_exceeded", "rate_limit_error"),
        (Unprocessable("no"), 400, "validation_failed", "invalid_request_error"),
        (ModelNotFound("no"), 404, "model_not_found", "invalid_request_error"),
        (ProviderOverloaded("no"), 503, "provider_overloaded", "server_error"),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_statuses_and_codes_are_those_that_sdks_know(error: ParleyError, status: int, code: str, kind: str) -> None:
    """A changed code leaves ours in the metadata, and the log row has ours."""
    own = error.code
    with pytest.raises(type(error)), openai_words():
        raise error
    body = error_body(error, "r")["error"]
    assert (error.status, body["code"], body["type"]) == (status, code, kind)
    assert body["metadata"].get("code") == (None if code == own else own)
    assert error.code == own


@pytest.mark.parametrize(
    "make",
    [
        lambda: ContextExceeded("The message is longer than this model can read.", metadata={"context_window": 8192}),
        lambda: _refused(reason="prompt is too long: 210000 tokens > 200000 maximum"),
        lambda: _refused(reason="The input token count (1200000) exceeds the maximum number of tokens allowed"),
        lambda: _refused(reason="the request exceeds the available context size, try increasing it"),
        lambda: _refused(reason="This model's maximum context length is 4096 tokens."),
    ],
)
def test_an_overflow_has_the_words_that_litellm_and_langchain_read(make: Callable[[], ParleyError]) -> None:
    """The sentence is for litellm, the code for langchain, which reads it in the message."""
    answer = error_response(reworded(make()), "r")
    body: dict[str, Any] = json.loads(bytes(answer.body))["error"]
    assert answer.status_code == 400
    assert body["message"].startswith("This model's maximum context length is ")
    assert "exceeds the context window (context_length_exceeded)" in body["message"]
    assert (body["code"], body["param"]) == ("context_length_exceeded", "messages")
