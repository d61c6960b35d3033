"""JSON of hosts, as the standard library reads and writes it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.lenient_json import read_json, write_json


def _values(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[object]:
    return st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | numbers | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
        max_leaves=8,
    )


@given(_values(st.floats(allow_nan=False)), st.booleans())
def test_every_value_is_read_as_by_the_standard_library(value: object, is_ascii: bool) -> None:
    """Whether or not its text has escapes."""
    text = json.dumps(value, ensure_ascii=is_ascii)
    assert read_json(text) == json.loads(text) == value


def test_what_only_the_standard_library_reads_is_read() -> None:
    """Half a character, infinity, and no number."""
    assert read_json(r'{"a": ["\ud83d", Infinity]}') == {"a": ["\ud83d", math.inf]}
    assert math.isnan(read_json("NaN"))


@pytest.mark.parametrize("text", ["", "{", "nul", "[1,]", '"\x01"', "\ufeff{}"])
def test_text_that_is_not_json_raises(text: str) -> None:
    """A ValueError, which every caller expects."""
    with pytest.raises(ValueError, match="char"):
        read_json(text)


@given(_values(st.floats(allow_nan=False, allow_infinity=False)))
def test_every_value_is_written_so_that_it_is_read_again(value: object) -> None:
    """Half a character and an integer of more than 64 bits, too."""
    for each in (value, [value, "\ud83d"], {"a": value, "b": 2**70}):
        assert json.loads(write_json(each)) == each


@pytest.mark.parametrize("beside", ["", "\ud83d", 2**70], ids=["alone", "surrogate", "big"])
def test_what_is_no_number_is_written_as_null(beside: object) -> None:
    """JSON has no infinity, whichever library writes the value."""
    values = [math.nan, {"a": (math.inf, -math.inf)}, 1.5, beside]
    assert json.loads(write_json(values), parse_constant=pytest.fail) == [None, {"a": [None, None]}, 1.5, beside]
