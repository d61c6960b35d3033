"""The MCP server without a network: messages as values, and what the tools say of themselves."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from functions.assist.mcp.ask import ASK
from functions.assist.mcp.messages import HANDSHAKE, STATELESS, Call, RpcError, error_json, read_call, result_json
from functions.assist.mcp.tool import Caller, McpTool, Output, failure_of, result_of
from functions.assist.mcp.tools import offered_tools
from functions.assist.presets import OFFERS
from shared.errors import BudgetExceeded
from shared.rights import SCOPES


def _raw(**fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"} | fields).encode()


def test_every_tool_has_a_name_that_clients_take_and_valid_schemas() -> None:
    """Names fit the protocol's form, schemas are objects, annotations say whether a tool only reads."""
    tools = offered_tools()
    assert {"ask", "search_my_chats", "my_usage"} <= tools.keys()
    assert sum(name.startswith("preset_") for name in tools) == len(OFFERS)
    for name, tool in tools.items():
        assert re.fullmatch(r"[a-z0-9_]{1,64}", name)
        assert tool.scope in SCOPES
        for schema in (tool.listed["inputSchema"], tool.listed["outputSchema"]):
            Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
        assert tool.listed["inputSchema"]["additionalProperties"] is False
        assert "dry_run" not in tool.listed["inputSchema"]["properties"]
        assert tool.listed["annotations"]["readOnlyHint"] is (tool.scope in {"history", "usage"} or "data" in name)


def test_a_message_keeps_its_id_and_revision() -> None:
    """An id is a text or an integer, 0 and an empty text too; a message without one is a notification."""
    for given in ("", "a", 0, 7):
        call = read_call(_raw(id=given), {})
        assert (call.id, type(call.id), call.revision) == (given, type(given), HANDSHAKE[-1])
        assert result_json(call, {"x": 1}) == {"jsonrpc": "2.0", "id": given, "result": {"x": 1}}
    assert read_call(b'{"jsonrpc": "2.0", "method": "ping"}', {}).id is None


@pytest.mark.parametrize("given", [2**63, -(2**63), 10**30, 1.5, True, None, []])
def test_an_id_that_no_response_can_repeat_is_refused(given: object) -> None:
    """A number beyond 64 bits is an error of the request, as other values that are no id."""
    with pytest.raises(RpcError) as refused:
        read_call(_raw(id=given), {})
    assert (refused.value.code, refused.value.status) == (-32600, 400)


@pytest.mark.parametrize("before", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_outside_of_the_calendar_is_refused(before: str) -> None:
    """The database does not take it; the error names the argument."""
    with pytest.raises(RpcError, match=r"before: .*years 1 to 9999"):
        offered_tools()["search_my_chats"].read({"query": "a", "before": before})


def test_a_time_is_sent_in_utc() -> None:
    """The database takes no offset of sixteen hours or more."""
    read = offered_tools()["search_my_chats"].read({"query": "a", "before": "2026-01-02T00:00:00+23:00"})
    assert read.before.isoformat() == "2026-01-01T01:00:00+00:00"


@pytest.mark.parametrize(("code", "modern", "older"), [(-32601, 404, 200), (-32602, 400, 200)])
def test_the_status_of_an_error_depends_on_the_revision(code: int, modern: int, older: int) -> None:
    """Clients with a handshake read bodies of status 200 only, and take 404 for the end of a session."""
    calls = {revision: Call("x", {}, 1, revision) for revision in (STATELESS, *HANDSHAKE)}
    found = {revision: error_json(RpcError(code, "No."), call)[0] for revision, call in calls.items()}
    assert found == {STATELESS: modern} | dict.fromkeys(HANDSHAKE, older)
    status, body = error_json(RpcError(-32700, "No.", status=400), None)
    assert (status, body["id"]) == (400, None)


class _Nothing(BaseModel):
    """No arguments."""


async def _run(_caller: Caller, _asked: _Nothing) -> Output:
    return Output({})


def test_arguments_that_a_tool_does_not_have_are_refused_by_name() -> None:
    """The error names the argument, shortened, and the arguments that there are, but no value."""
    tool = McpTool("x", "X", "Does X.", "chat", _Nothing, _Nothing.model_json_schema, _run)
    with pytest.raises(RpcError) as refused:
        tool.read({"y": "secret"})
    expected = "y: There is no such argument. x takes: nothing."
    assert (refused.value.code, refused.value.message) == (-32602, expected)
    with pytest.raises(RpcError, match="ask takes: prompt, model, conversation, max_tokens"):
        ASK.read({"question": "Why?"})
    with pytest.raises(RpcError) as long:
        tool.read({"z" * 5000: 1})
    assert len(long.value.message) < 200


def test_a_result_has_text_and_structure_and_a_failure_has_its_code() -> None:
    """Text is the JSON of the value unless the tool has its own; a failure has no structured content."""
    result = result_of(Output({"a": "ü"}, receipt={"turn_id": "t"}))
    assert (result["content"][0]["text"], result["isError"]) == ('{"a": "ü"}', False)
    assert result["_meta"] == {"parley/receipt": {"turn_id": "t"}}
    failure = failure_of(BudgetExceeded("No money.", metadata={"scope": "key"}), "r")
    assert failure["content"][0]["text"].startswith("budget_exceeded: No money.")
    assert failure["isError"]
    assert "structuredContent" not in failure
    assert failure["_meta"]["parley/error"]["metadata"] == {"scope": "key"}
