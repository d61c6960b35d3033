"""The OpenAI-compatible client, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from shared.errors import (
    ContextLengthExceeded,
    ModelUnavailable,
    NodeFailed,
    NotConfigured,
    ProviderAuthFailed,
    ProviderError,
    ProviderOverloaded,
    ProviderRefused,
    ProviderUnreachable,
)
from shared.events import Finish, ModelEvent, Text, Usage
from shared.http import close_sessions
from shared.messages import Message, ModelRequest, Node, Tool
from shared.providers import ListedModel, list_node, provider_named
from shared.providers.chat_completions import request_body
from tests.fakes.openai import OpenAiHost, chunk, sse, text_chunk

CALL = ModelRequest("m", (Message("user", "hi"),), 10)


def _node_call(host: OpenAiHost) -> ModelRequest:
    return ModelRequest("m", CALL.messages, 10, node=Node(7, host.url))


async def _events(call: ModelRequest = CALL, name: str = "openai") -> list[ModelEvent]:
    provider = await provider_named(name)
    return [event async for event in provider.stream(call)]


async def _models_at(url: str) -> list[ListedModel]:
    return await list_node(Node(7, url))


@pytest.mark.anyio
async def test_a_stream_becomes_events(host: OpenAiHost) -> None:
    """The body is that of the request; the events do not depend on how reads are cut."""
    host.pieces = [bytes([byte]) for byte in text_chunk("Grüße\n😀")]
    assert await _events() == [Text("Grüße\n😀"), Usage(10, 5), Finish("stop")]
    (received,) = host.received
    assert received.line == "POST /v1/chat/completions HTTP/1.1"
    assert received.json() == request_body(CALL, "max_completion_tokens")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, ProviderRefused, "provider_refused"),
        (401, ProviderAuthFailed, "provider_auth_failed"),
        (402, ProviderAuthFailed, "provider_auth_failed"),
        (403, ModelUnavailable, "model_unavailable"),
        (404, ModelUnavailable, "model_unavailable"),
        (408, ProviderOverloaded, "provider_overloaded"),
        (409, ProviderOverloaded, "provider_overloaded"),
        (422, ProviderRefused, "provider_refused"),
        (425, ProviderOverloaded, "provider_overloaded"),
        (429, ProviderOverloaded, "provider_overloaded"),
        (500, ProviderError, "provider_error"),
        (502, ProviderError, "provider_error"),
        (503, ProviderOverloaded, "provider_overloaded"),
        (529, ProviderOverloaded, "provider_overloaded"),
        (201, ProviderRefused, "provider_refused"),
        (302, ProviderRefused, "provider_refused"),
    ],
)
async def test_statuses_become_errors_without_the_hosts_message(
    host: OpenAiHost, status: int, kind: type[ProviderError], code: str
) -> None:
    """The class has the meaning; the host's message is not passed on; redirects are not followed."""
    host.status, host.pieces = status, [b"secret words"]
    host.headers = {"Retry-After": "7", "Location": f"{host.url}/elsewhere"}
    with pytest.raises(kind) as caught:
        await _events()
    assert "secret" not in caught.value.message
    assert (caught.value.code, caught.value.upstream_status, caught.value.retry_after_seconds) == (code, status, 7)
    assert len(host.received) == 1


@pytest.mark.anyio
async def test_a_rejected_key_opens_the_circuit_for_minutes(host: OpenAiHost) -> None:
    """A retry with the same key cannot succeed."""
    host.status = 401
    with pytest.raises(ProviderAuthFailed) as caught:
        await _events()
    assert caught.value.open_seconds == 300


@pytest.mark.anyio
async def test_a_broken_connection_is_an_error_after_the_text(host: OpenAiHost) -> None:
    """The text before it has been passed on."""
    host.pieces, host.ending = [sse(chunk({"content": "Hel"}))], "cut"
    events = (await provider_named("openai")).stream(CALL)
    assert await anext(events) == Text("Hel")
    with pytest.raises(ProviderUnreachable):
        await anext(events)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "raw",
    [
        sse(chunk({"content": "Hel"})),
        sse(chunk({"content": "Hel"})) + b"data: {",
    ],
    ids=["end", "half a chunk"],
)
async def test_an_end_without_a_reason_is_a_truncated_answer(host: OpenAiHost, raw: bytes) -> None:
    """A proxy that closes cleanly after a cut does not complete the answer."""
    host.pieces = [raw]
    assert await _events() == [Text("Hel"), Finish("truncated")]


@pytest.mark.anyio
async def test_nothing_is_read_after_the_end_mark(host: OpenAiHost) -> None:
    """A host that keeps the connection open after [DONE] does not delay the turn."""
    host.pieces, host.ending = [text_chunk("Hi")], "hold"
    assert (await _events())[-1] == Finish("stop")
    await host.until_hung_up()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "raw",
    [
        b"data: {broken\n\n",
        b"data: 5\n\n",
        b"data: []\n\n",
        b'data: {"choices": "x"}\n\n',
        b'data: {"choices": {"a": 1}}\n\n',
        b'data: {"choices": [5]}\n\n',
        b'data: {"choices": [{"delta": "x"}]}\n\n',
        b'data: {"choices": [{"delta": {"tool_calls": [5]}}]}\n\n',
        sse(*[chunk({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "x" * 100_000}}]})] * 11),
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"data: \xff\xfe\n\n",
        b"data: " + b"x" * 5_000_000,
    ],
    ids=lambda raw: repr(raw[:40]),
)
async def test_a_malformed_stream_is_an_error_of_the_provider(host: OpenAiHost, raw: bytes) -> None:
    """It is the provider's failure, never a crash."""
    host.pieces = [raw]
    call = replace(CALL, tools=(Tool("f", "does f", {"type": "object"}),))
    with pytest.raises(ProviderError) as caught:
        await _events(call)
    assert type(caught.value) is ProviderError


@pytest.mark.anyio
async def test_a_page_with_status_200_is_truncated(host: OpenAiHost) -> None:
    """It has no events and no end."""
    host.pieces = [b"<html>\n\nhello</html>"]
    assert await _events() == [Finish("truncated")]


@pytest.mark.anyio
async def test_an_error_inside_a_stream_is_an_overload(host: OpenAiHost) -> None:
    """Its message is not passed on."""
    host.pieces = [sse(chunk({"content": "Hel"}), {"error": {"message": "secret words"}})]
    with pytest.raises(ProviderOverloaded) as caught:
        await _events()
    assert "secret" not in caught.value.message


@pytest.mark.anyio
async def test_closing_the_events_closes_the_connection(host: OpenAiHost) -> None:
    """The closed connection stops the model."""
    host.pieces, host.ending = [sse(chunk({"content": "on and "}))], "hold"
    events = (await provider_named("openai")).stream(CALL)
    assert await anext(events) == Text("on and ")
    await events.aclose()
    await host.until_hung_up()


@pytest.mark.anyio
async def test_a_deadline_during_silence_closes_the_connection(host: OpenAiHost) -> None:
    """A cancelled reader leaves no connection open."""
    host.pieces, host.ending = [sse(chunk({"content": "on and "}))], "hold"
    events = (await provider_named("openai")).stream(CALL)
    await anext(events)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(events), 0.05)
    await host.until_hung_up()


@pytest.mark.anyio
async def test_a_host_gets_its_own_key_only(host: OpenAiHost) -> None:
    """A node without a key gets none of ours."""
    usual = {"host", "accept", "accept-encoding", "user-agent", "content-length", "content-type"}
    host.pieces = [text_chunk("Hi")]
    await _events()
    await _events(_node_call(host), "client")
    ours, nodes = host.received
    assert ours.headers["authorization"] == "Bearer sk-ours"
    assert set(ours.headers) - usual == {"authorization"}
    assert set(nodes.headers) - usual == set()
    assert nodes.headers["accept-encoding"] == "identity"


@pytest.mark.anyio
async def test_a_missing_key_is_named(host: OpenAiHost, environ: Callable[..., None]) -> None:
    """NotConfigured names the variable; nothing is sent."""
    environ(OPENAI_API_KEY="")
    with pytest.raises(NotConfigured, match="OPENAI_API_KEY"):
        await _events()
    assert host.received == []


@pytest.mark.anyio
async def test_every_failure_of_a_node_is_the_same_error(host: OpenAiHost, environ: Callable[..., None]) -> None:
    """Its owner cannot explore our network by our errors."""
    messages: set[str] = set()
    for status in (301, 401, 404, 429, 500):
        host.status = status
        with pytest.raises(ProviderError) as caught:
            await _events(_node_call(host), "client")
        messages.add(caught.value.message)
    host.status, host.pieces = 200, [b"data: nonsense\n\n"]
    with pytest.raises(ProviderError) as caught:
        await _events(_node_call(host), "client")
    messages.add(caught.value.message)
    for url in ("http://127.0.0.1:9/v1", "http://169.254.169.254/v1", "ftp://node.example", "", "http://node.invalid"):
        with pytest.raises(NodeFailed) as unreachable:
            await _models_at(url)
        messages.add(unreachable.value.message)
    environ(ALLOW_PRIVATE_NODES="")
    await close_sessions()
    with pytest.raises(NodeFailed) as unreachable:
        await _models_at("https://127.0.0.1:8443/v1")
    messages.add(unreachable.value.message)
    assert len(messages) == 1


@pytest.mark.anyio
async def test_a_conversation_that_is_too_long_for_a_node_is_named(host: OpenAiHost) -> None:
    """The client can shorten it; the error has no details of the node."""
    host.status, host.pieces = 400, [b'{"error": {"code": "context_length_exceeded", "message": "node-7: too long"}}']
    with pytest.raises(ContextLengthExceeded) as caught:
        await _events(_node_call(host), "client")
    assert "node-7" not in caught.value.message


@pytest.mark.anyio
@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "[::1]", "\uff11\uff12\uff17.\uff10.\uff10.\uff11"])
async def test_a_node_on_a_forbidden_address_is_never_connected_to(
    host: OpenAiHost, environ: Callable[..., None], address: str
) -> None:
    """Without ALLOW_PRIVATE_NODES there is no connection to an internal address, by name or by number."""
    environ(ALLOW_PRIVATE_NODES="")
    with pytest.raises(NodeFailed):
        await _models_at(f"https://{address}:8443/v1")
    with pytest.raises(NodeFailed):
        await _models_at(host.url.replace("127.0.0.1", address))
    assert host.received == []


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
async def test_a_compressed_response_of_a_node_is_rejected(host: OpenAiHost, encoding: str) -> None:
    """No decompression bomb is unpacked."""
    host.headers, host.pieces = {"Content-Encoding": encoding}, [b"\x1f\x8b"]
    with pytest.raises(ProviderError):
        await _events(_node_call(host), "client")


@pytest.mark.anyio
async def test_models_are_listed_from_the_nodes_or_configured_url(host: OpenAiHost) -> None:
    """A node has its own URL, a provider the configured one."""
    host.pieces = [b'{"data": [{"id": "a", "name": "A"}', b', {"id": "b", "max_model_len": 4096}]}']
    expected = [ListedModel("a", "A"), ListedModel("b", None, {"context_window": 4096})]
    assert await _models_at(host.url + "/") == expected
    provider = await provider_named("openai")
    await provider.check()
    assert {each.line for each in host.received} == {"GET /v1/models HTTP/1.1"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"data": 5}',
        b'{"data": ["a"]}',
        b'{"data": [{"name": "a"}]}',
        b"[" * 100_000,
        b"x" * (16 * 1024 * 1024 + 1),
    ],
    ids=lambda raw: repr(raw[:40]),
)
async def test_a_malformed_model_list_is_an_error_of_the_provider(host: OpenAiHost, raw: bytes) -> None:
    """Neither malformed nor endless lists are accepted."""
    host.pieces = [raw] if raw else []
    with pytest.raises(ProviderError):
        await _models_at(host.url)
