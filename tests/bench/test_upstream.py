"""The scripted upstream: a model's name is its script."""

from __future__ import annotations

import json

import pytest

from bench.upstream import MARK, Script, frames_of, script_of, whole_answer


def test_a_script_and_its_model_name_are_the_same_thing() -> None:
    """The name of a script's model gives the script back."""
    script = Script(50, 64, 5)
    assert script_of(script.model) == script


@pytest.mark.parametrize("model", ["gpt-4o", "bench-first1-tokens2", "bench-first1-tokens2-every3-more", ""])
def test_other_names_have_no_script(model: str) -> None:
    """A model that is not a script is refused by name."""
    with pytest.raises(ValueError, match="not the name of a script"):
        script_of(model)


def test_each_token_has_one_mark() -> None:
    """Marks count tokens: the head and the end of a stream have none."""
    frames = frames_of(Script(0, 3, 1), has_usage=True)
    assert (frames.head.count(MARK), frames.token.count(MARK), frames.end.count(MARK)) == (0, 1, 0)


@pytest.mark.parametrize("has_usage", [True, False])
def test_a_stream_reports_usage_when_asked(has_usage: bool) -> None:
    """Usage comes before the end, and only with stream_options."""
    end = frames_of(Script(0, 3, 1), has_usage=has_usage).end
    assert (b'"completion_tokens":3' in end) == has_usage
    assert end.index(b"[DONE]") > end.index(b'"finish_reason":"stop"')


def test_a_whole_answer_has_all_tokens() -> None:
    """Its text has one mark for each token, and its usage counts them."""
    head, _, body = whole_answer(Script(0, 5, 0)).partition(b"\r\n\r\n")
    answer = json.loads(body)
    assert f"content-length: {len(body)}".encode() in head
    assert answer["choices"][0]["message"]["content"].count(MARK.decode()) == 5
    assert answer["usage"]["completion_tokens"] == 5
