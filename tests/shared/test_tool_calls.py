"""Tool calls as models write them."""

from __future__ import annotations

import json

import pytest

from shared.messages import ToolCall
from shared.providers.tool_calls import tool_call


def test_what_a_model_wrote_becomes_values() -> None:
    """An object is taken, nothing written is an empty one."""
    assert tool_call("a", "f", '{"x": [1, 2.5, null]}') == ToolCall("a", "f", {"x": [1, 2.5, None]})
    assert tool_call("a", "f", "") == ToolCall("a", "f", {})


@pytest.mark.parametrize(
    "written",
    [
        "[1]",
        "5",
        "{",
        '{"x": NaN}',
        '{"x": -Infinity}',
        '{"x": 1e999}',
        '{"x":' * 65 + "1" + "}" * 65,
        "[" * 100_000,
        '{"x":' * 100_000,
        '{"x": [' + "{}," * 100_000 + "1]}",
    ],
    ids=lambda written: str(written)[:12],
)
def test_what_cannot_be_stored_is_a_broken_call(written: str) -> None:
    """JSON knows no NaN, the database no endless depth; the model is told and mends it."""
    assert tool_call("a", "f", written) == ToolCall("a", "f", {}, broken=written)


def test_what_is_told_again_can_be_encoded() -> None:
    """A lone surrogate that another value of the same name hides is still in the text."""
    call = tool_call("a", "f", '{"x": "\ud800", "x": 1}')
    assert (call.arguments, call.text.encode()) == ({"x": 1}, b'{"x": 1}')


def test_arguments_can_be_told_again() -> None:
    """Half characters and NUL become what every API and the database take, in arguments and in broken ones."""
    call = tool_call("a", "f", '{"x": "\\ud800y\\u0000"}')
    assert call.arguments == {"x": "\ufffdy\ufffd"}
    assert json.loads(call.text) == call.arguments
    assert tool_call("a", "f", "\ud800{").broken == "\ufffd{"


@pytest.mark.parametrize("written", ['{"x": 0.10000000000000000555}', '{"x":1e2}', '{ "x" : 12345678901234567890.0 }'])
def test_arguments_stay_as_they_were_written(written: str) -> None:
    """No digit is lost on the way to whoever runs the tool."""
    assert tool_call("a", "f", written).text == written


def test_arguments_that_nobody_wrote_are_an_object() -> None:
    """Nothing at all, and values that came as such."""
    assert tool_call("a", "f", "").text == "{}"
    assert ToolCall("a", "f", {"x": "ü"}).text == '{"x": "ü"}'


@pytest.mark.parametrize("name", ["rm -rf", "", "x" * 100, "\ud800"])
def test_a_name_is_one_that_apis_take(name: str) -> None:
    """Whatever it was: it will stand in the conversation of the next call."""
    made = tool_call("a", name, "{}").name
    assert 0 < len(made) <= 64
    assert made.replace("_", "").replace("-", "").isalnum() or set(made) == {"_"}


@pytest.mark.parametrize("call_id", ["", "functions.f:0", "x" * 65])
def test_an_odd_id_is_replaced_by_one_of_its_own(call_id: str) -> None:
    """No two calls share an id that nobody gave."""
    ids = {tool_call(call_id, "f", "{}").id for _ in range(3)}
    assert len(ids) == 3
    assert all(each.startswith("call_") for each in ids)
