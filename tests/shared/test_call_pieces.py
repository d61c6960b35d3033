"""Tool calls from the pieces in which hosts send them."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events import CallPiece
from shared.providers.call_pieces import CallPieces


def _piece(index: Any = None, call_id: Any = None, name: Any = None, arguments: Any = None) -> dict[str, Any]:
    return {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}


def _assembled(*pieces: Any) -> list[tuple[str, dict[str, Any]]]:
    calls = CallPieces()
    for each in pieces:
        calls.add(each)
    return [(call.name, dict(call.arguments)) for call in calls.calls()]


TWO = [("f", {"x": 1}), ("g", {"y": 2})]


@pytest.mark.parametrize(
    "pieces",
    [
        [_piece(0, "a", "f"), _piece(1, "b", "g"), _piece(0, None, None, '{"x": 1}'), _piece(1, "", "", '{"y": 2}')],
        [
            _piece(None, "a", "f"),
            _piece(None, "b", "g"),
            _piece(None, "a", "", '{"x": 1}'),
            _piece(None, "b", "", '{"y": 2}'),
        ],
        [_piece(0, "a", "f"), _piece(0, "b", "g"), _piece(0, "a", "", '{"x": 1}'), _piece(0, "b", "", '{"y": 2}')],
        [_piece(0, "a", "f", '{"x": 1}'), _piece(1, "a", "g", '{"y": 2}')],
        [_piece(0, "", "f", '{"x": 1}'), _piece(0, "", "g", '{"y": 2}')],
        [_piece("0", "a", "f", '{"x"'), _piece("1", "b", "g", '{"y": 2}'), _piece("0", None, None, ": 1}")],
        [
            _piece(0, "a", "f", '{"x"'),
            _piece(0, "a", "f", ": 1}"),
            _piece(1, "b", "g", '{"y"'),
            _piece(1, "b", "g", ": 2}"),
        ],
        [_piece(0, None, "f", {"x": 1}), _piece(1, None, "g", {"y": 2})],
        [_piece(0, "a", "f", '{"x": 1}'), _piece(0, "a", "f", ""), _piece(1, "b", "g", '{"y": 2}'), None],
    ],
    ids=["index", "id", "id at index 0", "one id", "names", "text index", "repeated", "no ids", "closing piece"],
)
def test_pieces_find_their_call(pieces: list[Any]) -> None:
    """By index and by id, whichever the host sends, also when the pieces of several calls alternate."""
    assert _assembled(*pieces) == TWO


@pytest.mark.parametrize(
    "pieces",
    [
        [_piece(0, "a"), _piece(0, None, "f", '{"x"'), _piece(0, None, None, ": 1}")],
        [_piece(0, "a", ""), _piece(0, "a", None, '{"x": 1}'), _piece(0, "a", "f")],
        [_piece(0, None, "f"), _piece(0, "a", None, '{"x": 1}')],
    ],
)
def test_a_name_or_an_id_may_come_late(pieces: list[Any]) -> None:
    """It belongs to the call that is already there."""
    assert _assembled(*pieces) == TWO[:1]


def _shown(*pieces: Any) -> list[CallPiece]:
    calls = CallPieces()
    return [shown for each in pieces if (shown := calls.add(each)) is not None]


def test_what_a_piece_adds_is_shown_with_the_id_and_the_name_of_its_call() -> None:
    """A call is shown from its name on, with all its arguments so far; an odd id is replaced once."""
    assert _shown(_piece(0, "a", "f"), _piece(0, None, None, '{"x"'), _piece(0, "a", "f", ""), _piece(0, "a")) == [
        CallPiece("a", "f", ""),
        CallPiece("a", "f", '{"x"'),
    ]
    late = _shown(_piece(0, "a", ""), _piece(0, "a", None, '{"x"'), _piece(0, "a", "f", ": 1}"))
    assert late == [CallPiece("a", "f", '{"x": 1}')]
    first, second = _shown(_piece(0, "f.g:0", "f g", "{"), _piece(0, None, None, "}"))
    assert (first.id, first.name, second.text) == (second.id, "f_g", "}")
    assert first.id.startswith("call_")


def test_two_calls_with_one_id_get_ids_of_their_own() -> None:
    """A client puts pieces together by their id."""
    pieces = CallPieces()
    shown = [pieces.add(_piece(0, "a", "f", "{}")), pieces.add(_piece(1, "a", "g", "{}"))]
    assert [call.id for call in pieces.calls()] == [each.id for each in shown if each]
    assert len({call.id for call in pieces.calls()}) == 2


def test_the_same_function_may_be_called_twice_without_ids() -> None:
    """A name after whole arguments begins the next call."""
    assert _assembled(_piece(0, None, "f", '{"x": 1}'), _piece(0, None, "f", '{"x": 2}')) == [
        ("f", {"x": 1}),
        ("f", {"x": 2}),
    ]


def test_what_never_had_a_name_is_no_call() -> None:
    """Neither an empty piece nor arguments alone."""
    assert _assembled(_piece(0, "a", "", '{"x": 1}'), {"index": 1, "function": None}, {}) == []
