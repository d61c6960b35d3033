"""The scripted Gemini, with Google's SDK."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import errors, types

from tests.fakes.clients import (
    ask_gemini,
    gemini_parts,
    gemini_text,
)

pytestmark = pytest.mark.anyio
_ANSWER = "one two three"
_TOOLS = ("search", "weather")
_NOTE = 'zwei — "drei"'
_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"query": {"type": "string"}}}


async def test_gemini_sends_thoughts_text_and_usage(gemini: Any) -> None:
    """Thought parts come first, a signature last; usage grows with every chunk."""
    received = await ask_gemini(gemini, "think")
    parts, counts = gemini_parts(received), [chunk.usage_metadata for chunk in received]
    assert [part.text for part in parts if part.thought] == ["Let me think."]
    assert parts[-1].thought_signature
    assert gemini_text(received) == _ANSWER
    assert received[-1].candidates[0].finish_reason.value == "STOP"
    assert [each.candidates_token_count for each in counts] == [0, 1, 2, 3, 8]
    assert (counts[-1].prompt_token_count, counts[-1].cached_content_token_count) == (60, 20)
    assert counts[-1].thoughts_token_count == 4


async def test_gemini_requires_signatures_with_tool_calls(gemini: Any) -> None:
    """The first call of a round needs its thought signature, or the one that skips the check."""
    declared = [types.FunctionDeclaration(name=name, parameters_json_schema=_SCHEMA) for name in _TOOLS]
    received = await ask_gemini(gemini, "tools", tools=[types.Tool(function_declarations=declared)])
    parts = gemini_parts(received)
    calls = [part.function_call for part in parts if part.function_call]
    assert [(call.name, call.args) for call in calls] == [(n, {"query": "hi there", "note": _NOTE}) for n in _TOOLS]
    assert [bool(part.thought_signature) for part in parts if part.function_call] == [True, False]
    assert {c.candidates[0].finish_reason for c in received} == {None, types.FinishReason.STOP}
    results = [types.Part.from_function_response(name=call.name, response={"output": "sunny"}) for call in calls]

    async def goes_on(signature: bytes | None) -> str:
        own = [part.model_copy(deep=True) for part in parts]
        next(part for part in own if part.function_call).thought_signature = signature
        turns = [("user", [types.Part(text="hi there")]), ("model", own), ("user", results)]
        contents = [types.Content(role=role, parts=content) for role, content in turns]
        return gemini_text(await ask_gemini(gemini, "tools", contents)).strip()

    signature = next(part.thought_signature for part in parts if part.function_call)
    for accepted in (signature, b"skip_thought_signature_validator"):
        assert await goes_on(accepted) == "The tool said: sunny | sunny"
    for refused in (None, b"forged"):
        with pytest.raises(errors.ClientError, match="thought_signature"):
            await goes_on(refused)


async def test_gemini_errors_have_googles_shape(gemini: Any) -> None:
    """A wrong key is a 400 with a reason, a delay is in the details, and an error may be inside the stream."""
    with pytest.raises(errors.ClientError) as wrong:
        await ask_gemini(gemini, "badkey")
    with pytest.raises(errors.ClientError) as limited:
        await ask_gemini(gemini, "status-429-after-7.5")
    with pytest.raises(errors.ServerError) as busy:
        await ask_gemini(gemini, "overload")
    with pytest.raises(errors.ClientError, match="valid role"):
        await ask_gemini(gemini, "echo", [types.Content(role="assistant", parts=[types.Part(text="x")])])
    assert (wrong.value.code, wrong.value.details["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    assert limited.value.details["error"]["details"][-1]["retryDelay"] == "7.5s"
    assert (busy.value.code, busy.value.status) == (503, "UNAVAILABLE")


async def test_gemini_blocks_prompts_and_answers(gemini: Any) -> None:
    """A blocked prompt has no candidate; a blocked answer stops for safety, a long one for its length."""
    (blocked,) = await ask_gemini(gemini, "promptblock")
    reasons = [
        (await ask_gemini(gemini, kind))[-1].candidates[0].finish_reason.value for kind in ("filtered", "length")
    ]
    assert blocked.prompt_feedback.block_reason.value == "PROHIBITED_CONTENT"
    assert blocked.candidates is None
    assert reasons == ["SAFETY", "MAX_TOKENS"]


async def test_gemini_answers_without_a_stream(gemini: Any) -> None:
    """The same answer comes from generateContent."""
    answer = await gemini.models.generate_content(model="think", contents="hi there")
    assert answer.text == _ANSWER
    assert answer.usage_metadata.candidates_token_count == 8
