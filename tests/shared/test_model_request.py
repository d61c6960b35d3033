"""The request of a model call, as a provider gets it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.events import Finish, Text
from shared.model_request import Options
from tests.fakes.openai import OpenAiHost, chunk, sse, text_chunk
from tests.shared.model_sessions import ROUTE, TOOL, events_of, session_over

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_backoff")]


@pytest.mark.parametrize("capabilities", [{}, {"supports_tools": False}])
async def test_tools_are_offered_only_to_models_that_can_use_them(
    host: OpenAiHost, capabilities: dict[str, bool]
) -> None:
    """A call that was not offered is a stranger's text and goes no further."""
    call = {"id": "a", "function": {"name": "find", "arguments": "{}"}}
    host.pieces = [sse(chunk({"content": "Hm"}), chunk({"tool_calls": [call]}, "tool_calls"))]
    session = session_over(replace(ROUTE, capabilities=capabilities), options=Options(tools=(TOOL,)))
    events, _ = await events_of(session)
    assert events[1:] == [Text("Hm"), Finish("stop")]
    assert "tools" not in host.received[0].json()


async def test_sampling_is_left_out_where_it_is_refused(host: OpenAiHost) -> None:
    """Some models answer a temperature with 400."""
    host.pieces = [text_chunk("Hello")]
    route = replace(ROUTE, capabilities={"supports_temperature": False})
    await events_of(session_over(route, options=Options(temperature=0.5)))
    assert "temperature" not in host.received[0].json()


@pytest.mark.parametrize("can", [True, False])
async def test_a_schema_goes_to_models_that_keep_to_one_and_into_words_for_others(host: OpenAiHost, can: bool) -> None:
    """A model without schema support gets the schema as text."""
    host.pieces = [text_chunk("{}")]
    schema = {"type": "object", "title": "Verdict"}
    route = replace(ROUTE, capabilities={"supports_json": can})
    await events_of(session_over(route, options=Options(output_schema=schema)))
    body = host.received[0].json()
    assert ("response_format" in body) is can
    assert ("Verdict" in body["messages"][0]["content"]) is not can
