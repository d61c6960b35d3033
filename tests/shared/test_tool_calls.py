"""Tool calls as models write them."""

from __future__ import annotations

import json

import pytest

from shared.messages import ToolCall
from shared.providers.tool_calls import tool_call


def test_arguments_become_values() -> None:
    """An object is parsed; missing arguments are an empty object."""
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
def test_arguments_that_cannot_be_stored_are_broken(written: str) -> None:
    """NaN and extreme depth make a call `broken`; the model gets an error and can correct it."""
    assert tool_call("a", "f", written) == ToolCall("a", "f", {}, broken=written)


def test_arguments_that_are_sent_back_can_be_encoded() -> None:
    """A lone surrogate that a duplicate key hides is replaced in the text, too."""
    call = tool_call("a", "f", '{"x": "\ud800", "x": 1}')
    assert (call.arguments, call.text.encode()) == ({"x": 1}, b'{"x": 1}')


def test_arguments_are_sanitised() -> None:
    """Lone surrogates and NUL are replaced, in valid and in broken arguments."""
    call = tool_call("a", "f", '{"x": "\\ud800y\\u0000"}')
    assert call.arguments == {"x": "\ufffdy\ufffd"}
    assert json.loads(call.text) == call.arguments
    assert tool_call("a", "f", "\ud800{").broken == "\ufffd{"


@pytest.mark.parametrize("written", ['{"x": 0.10000000000000000555}', '{"x":1e2}', '{ "x" : 12345678901234567890.0 }'])
def test_arguments_keep_their_text(written: str) -> None:
    """Numbers keep all their digits in the text of the arguments."""
    assert tool_call("a", "f", written).text == written


def test_missing_arguments_are_an_object() -> None:
    """Arguments without text, and arguments as values, are objects."""
    assert tool_call("a", "f", "").text == "{}"
    assert ToolCall("a", "f", {"x": "ü"}).text == '{"x": "ü"}'


@pytest.mark.parametrize("name", ["rm -rf", "", "x" * 100, "\ud800"])
def test_a_name_has_only_characters_that_apis_accept(name: str) -> None:
    """Other characters are replaced, because the next request contains the name."""
    made = tool_call("a", name, "{}").name
    assert 0 < len(made) <= 64
    assert made.replace("_", "").replace("-", "").isalnum() or set(made) == {"_"}


@pytest.mark.parametrize("call_id", ["", "functions.f:0", "x" * 65])
def test_an_unusual_id_is_replaced_by_a_new_one(call_id: str) -> None:
    """Two calls without ids get different ids."""
    ids = {tool_call(call_id, "f", "{}").id for _ in range(3)}
    assert len(ids) == 3
    assert all(each.startswith("call_") for each in ids)
