"""The scripted model server, driven by the real SDKs and by plain HTTP where there is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import httpx2
import pytest
from google import genai
from google.genai import errors, types

from tests.fakes.providers import GOLDEN, HOSTILE, Upstream, matcha_id
from tests.fakes.providers.kinds import KINDS

pytestmark = pytest.mark.anyio

_SAID = "one two three"
_HOSTILE = "".join(HOSTILE)
_TOOLS = ("search", "weather")
_NOTE = 'zwei — "drei"'
_WITHOUT_END = {"silent", "stall", "stall-first", "endless", "slow", "cut", "cut-first"}
_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"query": {"type": "string"}}}


@pytest.fixture
async def claude(upstream: Upstream, anyio_backend: str) -> AsyncIterator[anthropic.AsyncAnthropic]:  # noqa: ARG001
    """Anthropic's own client."""
    async with anthropic.AsyncAnthropic(api_key="k", base_url=upstream.url("anthropic"), max_retries=0) as client:
        yield client


@pytest.fixture
async def gemini(upstream: Upstream, anyio_backend: str) -> AsyncIterator[Any]:  # noqa: ARG001
    """Google's own client."""
    async with httpx2.AsyncClient() as http:
        options = types.HttpOptions(base_url=upstream.url("google"), httpx_async_client=http)
        options.retry_options = types.HttpRetryOptions(attempts=1)
        async with genai.Client(api_key="k", http_options=options, vertexai=False).aio as client:
            yield client


async def _claude(client: anthropic.AsyncAnthropic, model: str, **asked: Any) -> list[Any]:
    body: dict[str, Any] = {"max_tokens": 100, "messages": [{"role": "user", "content": "hi there"}]}
    stream = await client.messages.create(model=model, stream=True, **(body | asked))
    return [event async for event in stream]


def _claude_text(events: list[Any]) -> str:
    deltas = [e.delta for e in events if e.type == "content_block_delta"]
    return "".join(d.text for d in deltas if d.type == "text_delta")


async def _gemini(client: Any, model: str, contents: Any = "hi there", **config: Any) -> list[Any]:
    stream = await client.models.generate_content_stream(
        model=model, contents=contents, config=types.GenerateContentConfig(**config) if config else None
    )
    return [chunk async for chunk in stream]


def _gemini_parts(chunks: list[Any]) -> list[Any]:
    found = [c.candidates[0].content for c in chunks if c.candidates and c.candidates[0].content]
    return [part for content in found for part in content.parts or ()]


def _gemini_text(chunks: list[Any]) -> str:
    return "".join(part.text or "" for part in _gemini_parts(chunks) if not part.thought)


def _post(upstream: Upstream, dialect: str, model: str, key: str = "k", **asked: Any) -> httpx.Response:
    body = {"model": model, "stream": True, "stream_options": {"include_usage": True}}
    body["messages"] = [{"role": "user", "content": "hi there"}]
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.post(f"{upstream.url(dialect)}/chat/completions", json=body | asked, headers=headers)


def _chunks(response: httpx.Response) -> list[dict[str, Any]]:
    data = [line.removeprefix(b"data: ") for line in response.content.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(each) for each in data if each != b"[DONE]"]


def _deltas(response: httpx.Response) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in _chunks(response) if chunk.get("choices")]


def _text(response: httpx.Response) -> str:
    return "".join(delta.get("content") or "" for delta in _deltas(response))


def _matcha(upstream: Upstream, kind: str, key: str = "k", **asked: Any) -> httpx.Response:
    body = {"mission_id": 1, "llm_id": matcha_id(kind), "input": "Be brief.\n\nhi there"}
    headers = {"MATCHA-API-KEY": key} if key else {}
    return httpx.post(f"{upstream.url('matcha')}/completions", json=body | asked, headers=headers)


_OPENAI_LIKE = pytest.mark.parametrize("dialect", ["openai", "huggingface", "client"])


async def test_claude_thinks_speaks_and_counts(claude: anthropic.AsyncAnthropic) -> None:
    """A thinking block with its signature, then text; the golden usage is spread over start and delta."""
    events = await _claude(claude, "think")
    deltas = [e.delta.type for e in events if e.type == "content_block_delta"]
    start, delta = events[0].message.usage, next(e for e in events if e.type == "message_delta")
    assert deltas == ["thinking_delta", "signature_delta", "text_delta", "text_delta", "text_delta"]
    assert _claude_text(events) == _SAID
    assert delta.delta.stop_reason == "end_turn"
    assert (start.input_tokens + start.cache_read_input_tokens, start.cache_read_input_tokens) == (60, 20)
    assert (delta.usage.output_tokens, delta.usage.output_tokens_details.thinking_tokens) == (12, 4)


async def test_claudes_tool_calls_come_back_only_with_their_thinking(claude: anthropic.AsyncAnthropic) -> None:
    """A turn of ours is taken back as it was; without its thinking, its signature or a result it is 400."""
    tools = [{"name": name, "input_schema": _SCHEMA} for name in _TOOLS]
    question = {"role": "user", "content": "hi there"}
    async with claude.messages.stream(
        model="tools",
        max_tokens=100,
        messages=[{"role": "user", "content": "hi there"}],
        tools=tools,  # type: ignore[arg-type]
    ) as stream:
        message = await stream.get_final_message()
    blocks = [block.model_dump(exclude_none=True, include=None) for block in message.content]
    blocks = [{key: value for key, value in block.items() if key != "parsed_output"} for block in blocks]
    calls = [block for block in blocks if block["type"] == "tool_use"]
    assert message.stop_reason == "tool_use"
    assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use", "tool_use"]
    assert [(call["name"], call["input"]) for call in calls] == [
        (name, {"query": "hi there", "note": _NOTE}) for name in _TOOLS
    ]
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"} for call in calls]

    def conversation(turn: list[Any], told: list[Any]) -> list[Any]:
        return [question, {"role": "assistant", "content": turn}, {"role": "user", "content": told}]

    events = await _claude(claude, "tools", messages=conversation(blocks, results), tools=tools)
    assert _claude_text(events).strip() == "The tool said: sunny | sunny"
    forged = [blocks[0] | {"signature": "x"}, *blocks[1:]]
    for turn, told in ((blocks[1:], results), (forged, results), (blocks, results[:1])):
        with pytest.raises(anthropic.BadRequestError):
            await _claude(claude, "tools", messages=conversation(turn, told), tools=tools)


async def test_claude_refuses_what_its_api_does_not_take(claude: anthropic.AsyncAnthropic) -> None:
    """Sampling parameters are 400."""
    for name in ("temperature", "top_p", "top_k"):
        with pytest.raises(anthropic.BadRequestError, match="not permitted"):
            await _claude(claude, "echo", extra_body={name: 1})


async def test_claudes_errors_have_their_own_types(claude: anthropic.AsyncAnthropic) -> None:
    """A wrong key, a wait, an empty account and an overload inside the stream are told apart by type."""
    with pytest.raises(anthropic.AuthenticationError) as wrong:
        await _claude(claude.with_options(api_key="bad"), "echo")
    with pytest.raises(anthropic.RateLimitError) as limited:
        await _claude(claude, "status-429-after-7")
    with pytest.raises(anthropic.BadRequestError) as broke:
        await _claude(claude, "credit")
    with pytest.raises(anthropic.APIStatusError) as busy:
        await _claude(claude, "overload")
    assert [each.value.type for each in (wrong, limited, broke, busy)] == [
        "authentication_error",
        "rate_limit_error",
        "billing_error",
        "overloaded_error",
    ]
    assert limited.value.response.headers["retry-after"] == "7"
    assert busy.value.status_code == 200


async def test_claude_answers_whole_too(claude: anthropic.AsyncAnthropic) -> None:
    """Without stream the same answer is one message."""
    answer = await claude.messages.create(
        model="think", max_tokens=100, messages=[{"role": "user", "content": "hi there"}]
    )
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.usage.output_tokens == GOLDEN["output_tokens"]


async def test_gemini_thinks_speaks_and_counts(gemini: Any) -> None:
    """Thought parts come first, a signature last, and usage grows with every chunk up to the golden one."""
    chunks = await _gemini(gemini, "think")
    parts, counts = _gemini_parts(chunks), [chunk.usage_metadata for chunk in chunks]
    assert [part.text for part in parts if part.thought] == ["Let me think."]
    assert parts[-1].thought_signature
    assert _gemini_text(chunks) == _SAID
    assert chunks[-1].candidates[0].finish_reason.value == "STOP"
    assert [each.candidates_token_count for each in counts] == [0, 1, 2, 3, 8]
    assert (counts[-1].prompt_token_count, counts[-1].cached_content_token_count) == (60, 20)
    assert counts[-1].thoughts_token_count == 4


async def test_geminis_calls_come_back_only_with_their_signature(gemini: Any) -> None:
    """The first call of a step of the current turn needs the thought signature, or the one that skips the check."""
    declared = [types.FunctionDeclaration(name=name, parameters_json_schema=_SCHEMA) for name in _TOOLS]
    chunks = await _gemini(gemini, "tools", tools=[types.Tool(function_declarations=declared)])
    parts = _gemini_parts(chunks)
    calls = [part.function_call for part in parts if part.function_call]
    assert [(call.name, call.args) for call in calls] == [(n, {"query": "hi there", "note": _NOTE}) for n in _TOOLS]
    assert [bool(part.thought_signature) for part in parts if part.function_call] == [True, False]
    assert {c.candidates[0].finish_reason for c in chunks} == {None, types.FinishReason.STOP}
    results = [types.Part.from_function_response(name=call.name, response={"output": "sunny"}) for call in calls]

    async def goes_on(signature: bytes | None) -> str:
        own = [part.model_copy(deep=True) for part in parts]
        next(part for part in own if part.function_call).thought_signature = signature
        turns = [("user", [types.Part(text="hi there")]), ("model", own), ("user", results)]
        contents = [types.Content(role=role, parts=told) for role, told in turns]
        return _gemini_text(await _gemini(gemini, "tools", contents)).strip()

    signature = next(part.thought_signature for part in parts if part.function_call)
    for accepted in (signature, b"skip_thought_signature_validator"):
        assert await goes_on(accepted) == "The tool said: sunny | sunny"
    for refused in (None, b"forged"):
        with pytest.raises(errors.ClientError, match="thought_signature"):
            await goes_on(refused)


async def test_geminis_errors_are_googles(gemini: Any) -> None:
    """A wrong key is 400 with a reason, a delay stands in the details, and an error may come inside the stream."""
    with pytest.raises(errors.ClientError) as wrong:
        await _gemini(gemini, "badkey")
    with pytest.raises(errors.ClientError) as limited:
        await _gemini(gemini, "status-429-after-7.5")
    with pytest.raises(errors.ServerError) as busy:
        await _gemini(gemini, "overload")
    with pytest.raises(errors.ClientError, match="valid role"):
        await _gemini(gemini, "echo", [types.Content(role="assistant", parts=[types.Part(text="x")])])
    assert (wrong.value.code, wrong.value.details["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    assert limited.value.details["error"]["details"][-1]["retryDelay"] == "7.5s"
    assert (busy.value.code, busy.value.status) == (503, "UNAVAILABLE")


async def test_gemini_blocks_prompts_and_answers(gemini: Any) -> None:
    """A blocked prompt has no candidate, a blocked answer stops for safety, a long one for its length."""
    (blocked,) = await _gemini(gemini, "promptblock")
    reasons = [(await _gemini(gemini, kind))[-1].candidates[0].finish_reason.value for kind in ("filtered", "length")]
    assert blocked.prompt_feedback.block_reason.value == "PROHIBITED_CONTENT"
    assert blocked.candidates is None
    assert reasons == ["SAFETY", "MAX_TOKENS"]


async def test_gemini_answers_whole_too(gemini: Any) -> None:
    """Asked with generateContent, it is the same answer in one piece."""
    answer = await gemini.models.generate_content(model="think", contents="hi there")
    assert answer.text == _SAID
    assert answer.usage_metadata.candidates_token_count == 8


async def test_hostile_text_survives_the_sdks(claude: anthropic.AsyncAnthropic, gemini: Any) -> None:
    """Frames, line ends, a split emoji and NUL within the text arrive as text; a lone surrogate may be replaced."""
    texts = [_claude_text(await _claude(claude, "hostile")), _gemini_text(await _gemini(gemini, "hostile"))]
    for text in texts:
        assert text.replace("�", "\ud800") == _HOSTILE


@_OPENAI_LIKE
def test_openais_likes_think_in_their_own_field_and_count(upstream: Upstream, dialect: str) -> None:
    """Reasoning, text, stop, then one chunk with usage and no choices; the others say usage null."""
    response = _post(upstream, dialect, "think")
    *others, last = _chunks(response)
    field = "reasoning_content" if dialect == "client" else "reasoning"
    assert [d[field] for d in _deltas(response) if field in d] == ["Let me think."]
    assert _text(response) == _SAID
    assert others[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["usage"] for chunk in others} == {None}
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (60, 12)
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 20}
    assert last["usage"]["completion_tokens_details"] == {"reasoning_tokens": 4}
    assert response.content.endswith(b"data: [DONE]\n\n")


def test_usage_is_told_as_asked_and_as_scripted(upstream: Upstream) -> None:
    """Unasked or withheld there is none; running usage stands on every chunk; wrong usage is wrong."""
    unasked = _post(upstream, "openai", "fixed", stream_options=None)
    for response in (unasked, _post(upstream, "openai", "usage-none")):
        assert all("usage" not in chunk for chunk in _chunks(response))
    running = [chunk["usage"]["completion_tokens"] for chunk in _chunks(_post(upstream, "openai", "usage-running"))]
    wrong = _chunks(_post(upstream, "openai", "usage-wrong"))[-1]["usage"]
    assert running == [0, 1, 2, 3, 3, 12]
    assert (wrong["prompt_tokens"], wrong["completion_tokens"]) == (-5, 10**9)


@_OPENAI_LIKE
def test_openais_likes_send_tool_calls_in_pieces_or_whole(upstream: Upstream, dialect: str) -> None:
    """Arguments come in pieces of seven characters; a node sends whole calls, all of them with index 0."""
    tools = [{"type": "function", "function": {"name": name, "parameters": _SCHEMA}} for name in _TOOLS]
    response = _post(upstream, dialect, "tools", tools=tools)
    pieces = [piece for delta in _deltas(response) for piece in delta.get("tool_calls", ())]
    written = "".join(piece["function"]["arguments"] for piece in pieces)
    expected = json.dumps({"query": "hi there", "note": _NOTE}, ensure_ascii=False)
    is_node = dialect == "client"
    assert [piece["function"]["name"] for piece in pieces if "id" in piece] == list(_TOOLS)
    assert written == expected * 2
    assert {piece["index"] for piece in pieces} == ({0} if is_node else {0, 1})
    assert is_node or max(len(piece["function"]["arguments"]) for piece in pieces) == 7
    finish = [c["choices"][0]["finish_reason"] for c in _chunks(response) if c["choices"]][-1]
    assert finish == ("stop" if is_node else "tool_calls")


def test_a_tool_message_needs_its_call(upstream: Upstream) -> None:
    """A result is taken after the call with its id, and refused without."""
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    question, result = {"role": "user", "content": "hi"}, {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert _text(_post(upstream, "openai", "tools", messages=[question, turn, result])) == "The tool said: sunny "
    for messages in ([question, result], [question, turn, question]):
        assert _post(upstream, "openai", "tools", messages=messages).status_code == 400


@pytest.mark.parametrize(
    ("dialect", "kind", "status", "error"),
    [
        ("openai", "badkey", 401, "invalid_api_key"),
        ("client", "badkey", 401, "invalid_api_key"),
        ("huggingface", "badkey", 401, "Invalid username or password."),
        ("openai", "credit", 429, "insufficient_quota"),
        ("huggingface", "credit", 402, "You have exceeded your monthly included credits for Inference Providers."),
        ("openai", "status-429-after-3", 429, "rate_limit_exceeded"),
        ("openai", "status-500", 500, None),
        ("huggingface", "status-404", 404, "secret upstream words"),
    ],
)
def test_refusals_have_the_hosts_own_form(
    upstream: Upstream, dialect: str, kind: str, status: int, error: str | None
) -> None:
    """Errors are objects with a code; Hugging Face's are strings."""
    response = _post(upstream, dialect, kind)
    said = response.json()["error"]
    assert response.status_code == status
    assert (said if dialect == "huggingface" else said["code"]) == error
    assert response.headers.get("retry-after") == ("3" if "after" in kind else None)


def test_keys_are_looked_at(upstream: Upstream) -> None:
    """A bad key is refused everywhere, a missing one everywhere but at a node."""
    statuses = [
        _post(upstream, dialect, "echo", key).status_code
        for dialect in ("openai", "huggingface", "client")
        for key in ("bad", "")
    ]
    assert statuses == [401, 401, 401, 401, 401, 200]
    assert [_matcha(upstream, "echo", key).status_code for key in ("bad", "")] == [401, 401]


def test_breaks_after_two_words_and_before_the_first(upstream: Upstream) -> None:
    """What is cut, ends early, is malformed or overloaded says two words before, or none."""
    for suffix, said in (("", "one two "), ("-first", "")):
        early, overload = (_post(upstream, "openai", f"{kind}{suffix}") for kind in ("early", "overload"))
        assert (_text(early), _text(overload)) == (said, said)
        assert b"[DONE]" not in early.content
        assert all(chunk["choices"][0]["finish_reason"] is None for chunk in _chunks(early))
        assert _chunks(overload)[-1]["error"]["type"] == "server_error"
        assert isinstance(_chunks(_post(upstream, "huggingface", f"overload{suffix}"))[-1]["error"], str)
        assert b"{not json" in _post(upstream, "openai", f"malformed{suffix}").content
        assert _until_torn(upstream, f"cut{suffix}").count(b"data: ") == (3 if said else 1)


def _until_torn(upstream: Upstream, model: str) -> bytes:
    body, got = {"model": model, "stream": True, "messages": []}, b""
    with httpx.stream("POST", f"{upstream.url('client')}/chat/completions", json=body) as response:
        try:
            for piece in response.iter_bytes():
                got += piece
        except httpx.RemoteProtocolError:
            return got
    pytest.fail("the connection was not torn")


def test_an_emoji_is_cut_in_two_and_escapes_stay(upstream: Upstream) -> None:
    """Characters are UTF-8 on the wire, even line separators; NUL and a lone surrogate stay JSON escapes."""
    content = _post(upstream, "openai", "hostile").content
    assert b"\\u0000" in content
    assert b"\\ud800" in content
    assert "\u2028".encode() in content
    assert _text(_post(upstream, "openai", "hostile")) == _HOSTILE


@pytest.mark.parametrize(("dialect", "kind"), [("client", "stall"), ("openai", "stall-first"), ("client", "endless")])
async def test_who_hangs_up_is_noticed_at_once(upstream: Upstream, dialect: str, kind: str) -> None:
    """A reader that goes away while the script is silent or runs on is told to until_hung_up and the semaphore."""
    model = f"{kind}~hangs-up"
    task = asyncio.create_task(asyncio.to_thread(upstream.until_hung_up, model))
    async with httpx.AsyncClient(headers={"Authorization": "Bearer k"}) as client:
        body = {"model": model, "stream": True, "messages": []}
        async with client.stream("POST", f"{upstream.url(dialect)}/chat/completions", json=body) as response:
            assert response.status_code == 200
            assert await asyncio.to_thread(upstream.started.acquire, timeout=10)
    assert await task
    assert upstream.hung_up.acquire(timeout=10)


async def test_a_whole_answer_that_nobody_waits_for_is_noticed_too(upstream: Upstream) -> None:
    """MatchAI streams nothing; its caller is missed all the same."""
    model = "stall~matcha"
    body = {"mission_id": 1, "llm_id": matcha_id(model), "input": "x"}
    async with httpx.AsyncClient(headers={"MATCHA-API-KEY": "k"}) as client:
        task = asyncio.create_task(client.post(f"{upstream.url('matcha')}/completions", json=body))
        assert await asyncio.to_thread(upstream.until_called, model)
        task.cancel()
        assert await asyncio.to_thread(upstream.until_hung_up, model)


async def test_a_slow_answer_speaks_when_released(upstream: Upstream) -> None:
    """Nothing is said before release; an answer asked for later waits for the next one."""
    for nth in (1, 2):
        task = asyncio.create_task(asyncio.to_thread(_post, upstream, "openai", "slow~x"))
        assert await asyncio.to_thread(upstream.until_called, "slow~x", nth)
        assert not task.done()
        upstream.release()
        assert _text(await task) == _SAID


def test_calls_are_recorded_and_counted_by_full_name(upstream: Upstream) -> None:
    """once- behaves at the first call of its full name alone, and every request is kept as it was read."""
    statuses = [_post(upstream, "openai", f"once-status-503~{test}").status_code for test in ("a", "a", "b")]
    first, second = upstream.calls_of("once-status-503~a")
    assert statuses == [503, 200, 503]
    assert (first.dialect, first.path, first.model) == ("openai", "/openai/v1/chat/completions", first.body["model"])
    assert second.headers["authorization"] == "Bearer k"
    assert second.asked is not None
    assert (second.asked.text, second.asked.wants_schema) == ("hi there", False)
    assert upstream.until_called("nobody", timeout=0) is False


async def test_schemas_and_tools_are_read_alike(
    upstream: Upstream, claude: anthropic.AsyncAnthropic, gemini: Any
) -> None:
    """Each dialect's request for JSON is the same neutral value."""
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": _SCHEMA}}
    _post(upstream, "openai", "json~schema", response_format=wanted)
    await _claude(claude, "json~schema", output_config={"format": {"type": "json_schema", "schema": _SCHEMA}})
    await _gemini(gemini, "json~schema", response_mime_type="application/json", response_json_schema=_SCHEMA)
    asked = [received.asked for received in upstream.calls_of("json~schema")]
    assert len(asked) == 3
    assert all(each == asked[0] and each.wants_schema for each in asked if each)


def test_json_is_right_wrong_or_right_at_the_second_try(upstream: Upstream) -> None:
    """The kind json answers in pieces, json-bad never, json-bad-once when the model has answered before."""
    again = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "no"}, {"role": "user", "content": "y"}]
    answers = [_text(_post(upstream, "openai", kind)) for kind in ("json", "json-bad", "json-bad-once")]
    assert json.loads(answers[0]) == {"answer": "forty-two", "score": 3}
    assert answers[1:] == ["I would rather not."] * 2
    assert _text(_post(upstream, "openai", "json-bad-once", messages=again)) == answers[0]


def test_whole_answers_of_openai(upstream: Upstream) -> None:
    """Without stream the same answer is one completion."""
    answer = _post(upstream, "openai", "echo", stream=False).json()
    assert answer["choices"][0]["message"]["content"] == "hi there "
    assert answer["usage"]["completion_tokens"] == 2


def test_matcha_answers_whole(upstream: Upstream) -> None:
    """One text, no usage; a wrong body is 400, a page is a page, half an answer is torn."""
    answer = _matcha(upstream, "echo").json()
    assert answer["output"][0]["content"] == [{"type": "output_text", "text": "hi there "}]
    assert _matcha(upstream, "echo", mission_id="1").status_code == 400
    assert _matcha(upstream, "once-status-503~m").status_code == 503
    assert _matcha(upstream, "once-status-503~m").status_code == 200
    assert _matcha(upstream, "html").headers["content-type"].startswith("text/html")
    assert _matcha(upstream, "html-502").status_code == 502
    with pytest.raises(httpx.RemoteProtocolError):
        _matcha(upstream, "cut")
    assert httpx.get(f"{upstream.url('matcha')}/llms", headers={"MATCHA-API-KEY": "k"}).status_code == 404


@pytest.mark.parametrize("kind", sorted({*KINDS} - _WITHOUT_END))
def test_every_kind_is_answered_in_every_dialect(upstream: Upstream, kind: str) -> None:
    """Nothing that a name can ask for is beyond a dialect, streaming or whole."""
    says, headers = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9}, {"x-api-key": "k"}
    headers |= {"Authorization": "Bearer k", "x-goog-api-key": "k", "MATCHA-API-KEY": "k"}
    contents = {"contents": [{"parts": [{"text": "x"}]}]}
    asked: list[tuple[str, dict[str, Any]]] = [
        (f"{upstream.url('google')}/v1/models/{kind}:{verb}", contents)
        for verb in ("generateContent", "streamGenerateContent")
    ]
    for is_streaming in (True, False):
        body = says | {"model": kind, "stream": is_streaming}
        asked += [(f"{upstream.url(name)}/chat/completions", body) for name in ("openai", "huggingface", "client")]
        asked.append((f"{upstream.url('anthropic')}/v1/messages", body))
    matcha = {"mission_id": 1, "llm_id": matcha_id(kind), "input": "x"}
    asked.append((f"{upstream.url('matcha')}/completions", matcha))
    with httpx.Client(headers=headers) as client:
        statuses = {client.post(url, json=body).status_code for url, body in asked}
    assert 500 not in statuses
    assert 200 in statuses or kind in {"badkey", "credit", "html-502"}


async def test_lists_are_paged_as_the_sdks_expect(claude: anthropic.AsyncAnthropic, gemini: Any) -> None:
    """Both SDKs read all pages; one of Google's models answers nothing."""
    names = [model.id async for model in claude.models.list()]
    listed = [model async for model in await gemini.models.list()]
    assert names == ["claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"]
    assert ["generateContent" in model.supported_actions for model in listed] == [True, True, True, False]


def test_hosts_list_what_each_of_them_tells(upstream: Upstream) -> None:
    """Names from OpenAI, providers from Hugging Face, any names asked for from a node; no key is Google's 400."""
    hosts = {"openai": "gpt-4o", "huggingface": "meta-llama/Llama-3.1-8B-Instruct", "client": "echo"}
    headers = {"Authorization": "Bearer k"}
    found = {name: httpx.get(f"{upstream.url(name)}/models", headers=headers).json()["data"] for name in hosts}
    named = httpx.get(f"{upstream.url('client')}/models", headers={"x-models": "a,b"}).json()["data"]
    assert {name: data[0]["id"] for name, data in found.items()} == hosts
    assert [model["id"] for model in named] == ["a", "b"]
    assert found["client"][0]["max_model_len"] == 8192
    assert {each["status"] for model in found["huggingface"] for each in model["providers"]} == {"live", "staging"}
    assert httpx.get(f"{upstream.url('google')}/v1/models").status_code == 400
