"""Streams of assist: partial objects, and the text of one JSON object."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from functions.assist.answer import Answer
from functions.assist.bodies import Outcome
from functions.assist.json_text import JsonText
from functions.assist.preset import Preset
from functions.assist.presets import OFFERS, PRESETS
from functions.assist.request import Asked, input_of
from functions.assist.runner import Part
from functions.assist.streams import EventFrames, TextFrames
from shared.auth import Person
from shared.errors import OutputInvalid
from shared.events import NextStep, Reasoning, Text

BRIEF = PRESETS["market-brief"]
OUTPUT = {
    "headline": 'Prices "rise" {a}',
    "findings": [{"statement": "a\\b", "evidence": "]}", "confidence": 0.5}],
    "actions": ["Buy"],
}
TEXT = json.dumps(OUTPUT)


def part_of(preset: Preset, **fields: Any) -> Part:
    """A part of a request."""
    body = preset.input.model_validate({"market": "tea", "title": "x", "content": "x"} | fields)
    person = Person("00000000-0000-4000-8000-000000000001", "token", is_anonymous=False, is_admin=False)
    asked = Asked(person, "r", 0.0, body, None, None, "default", True, "events", ())
    return Part(preset, asked, input_of(preset, body))


def _answer(output: dict[str, Any]) -> Answer:
    return Answer(json.dumps(output).encode(), {"turn_id": "t"}, "MISS")


def _frames(data: bytes) -> list[dict[str, Any]]:
    return [
        json.loads(each.removeprefix("data: ")) for each in data.decode().split("\n\n") if each.startswith("data: {")
    ]


def test_partial_objects_grow_with_each_piece() -> None:
    """Every piece that changes the object is a frame with the whole object so far; reasoning is none."""
    frames, part = EventFrames(BRIEF), part_of(BRIEF)
    assert frames.take(part, Reasoning("Let me think.")) == b""
    sent = [frame for letter in TEXT for frame in _frames(frames.take(part, Text(letter)))]
    objects = [frame["object"] for frame in sent]
    assert len(objects) > 20
    assert [len(json.dumps(each)) for each in objects] == sorted(len(json.dumps(each)) for each in objects)
    assert objects[-1] == OUTPUT


def test_a_further_try_begins_the_object_again() -> None:
    """After NextStep the partial object is that of the new text."""
    frames, part = EventFrames(BRIEF), part_of(BRIEF)
    frames.take(part, Text('{"headline": "Wrong", "note": 1'))
    frames.take(part, NextStep())
    (frame,) = _frames(frames.take(part, Text('Well: {"headline": "Right"}\n```')))
    assert frame["object"] == {"headline": "Right"}


def test_a_bundles_objects_have_all_parts_so_far() -> None:
    """The partial objects of parts are one object; the last frames have the whole, errors and receipts."""
    bundle = OFFERS["suggest"]
    frames = EventFrames(bundle)
    labels, subtasks = part_of(PRESETS["suggest-labels"]), part_of(PRESETS["subtasks"])
    frames.take(labels, Text('{"labels": ["a"'))
    (frame,) = _frames(frames.take(subtasks, Text('{"subtasks": ["b"]}')))
    assert frame["object"] == {"labels": ["a"], "subtasks": ["b"]}
    failed = OutputInvalid("No.")
    outcomes: dict[str, Outcome] = {
        "subtasks": _answer({"subtasks": ["b"]}),
        "suggest-labels": _answer({"labels": ["a"]}),
        "estimate-time": failed,
        "suggest-priority": failed,
    }
    whole, receipts = _frames(frames.end(outcomes, "r"))
    assert whole["object"] == {"subtasks": ["b"], "estimated_minutes": None, "priority": None, "labels": ["a"]}
    assert whole["errors"]["priority"]["code"] == "output_invalid"
    assert set(receipts["receipts"]) == {"subtasks", "suggest-labels"}


@pytest.mark.parametrize("seed", range(20))
def test_the_text_of_an_object_has_nothing_around_it(seed: int) -> None:
    """However it is cut, the text is the first object, from its first to its last brace."""
    source = random.Random(seed)  # noqa: S311 - a test's pieces
    text = f"Here: ```json\n{TEXT}\n``` and {{more}}"
    scanner, kept, place = JsonText(), "", 0
    while place < len(text):
        length = source.randint(1, 9)
        kept += scanner.take(text[place : place + length])
        place += length
    assert kept == TEXT


def test_a_text_that_was_wrong_has_no_end() -> None:
    """What was sent cannot be replaced; a first try that sent nothing can."""
    part = part_of(BRIEF)
    wrong = TextFrames(BRIEF)
    wrong.take(part, Text('{"headline": 3}'))
    wrong.take(part, NextStep())
    assert wrong.take(part, Text(TEXT)) == b""
    assert wrong.end({"market-brief": _answer(OUTPUT)}, "r") is None
    prose = TextFrames(BRIEF)
    prose.take(part, Text("I would rather not."))
    prose.take(part, NextStep())
    assert prose.take(part, Text(TEXT)) == TEXT.encode()
    assert prose.end({"market-brief": _answer(OUTPUT)}, "r") == b""
    stored = TextFrames(BRIEF)
    assert stored.end({"market-brief": _answer(OUTPUT)}, "r") == _answer(OUTPUT).output


def test_the_key_of_an_input_ignores_options() -> None:
    """The model is no part of the input's hash; language, version and schema are."""
    plain = part_of(BRIEF).input.input_hash
    assert part_of(BRIEF, model="another").input.input_hash == plain
    assert part_of(BRIEF, context={}).input.input_hash == plain
    assert part_of(BRIEF, locale="de").input.input_hash != plain
    assert part_of(replace(BRIEF, version="2")).input.input_hash != plain
    assert part_of(replace(BRIEF, output=PRESETS["subtasks"].output)).input.input_hash != plain
