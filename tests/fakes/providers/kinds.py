"""What each model name means: `kind`, `kind~anything` to tell tests apart, `once-kind~anything` at the first call only.

Says and stops: echo (the question, word by word) · fixed · think · tools · slow (until released) · hostile · halves ·
json · json-bad · json-bad-once · empty · length · filtered · promptblock · greedy (claims a billion tokens) ·
obedient (is the kind that the question's last word names, else echo).
Counts: usage-none · usage-wrong · usage-running.
Breaks, after two words or, with -first, before any content: cut · early · stall · malformed · overload; and endless,
flood (endless, as fast as the reader takes it).
Refuses: status-N · status-N-after-SECONDS · badkey · credit · html · html-403 · html-502.
"""

from __future__ import annotations

import re
import threading
from typing import Final

from tests.fakes.providers.wire import THOUGHT, Asked, Ending, Page, Refusal, Script, Tokens

GOLDEN: Final = {"input_tokens": 60, "output_tokens": 12, "cached_tokens": 20, "reasoning_tokens": 4}
HOSTILE: Final = (
    "a\n\ndata: [DONE]\n\n",
    "event: error\ndata: {}\n\n",
    "b\u2028c\u2029d\x85e",
    "f\rg\r\n",
    "\U0001f9d1\u200d\U0001f680",
    " nul \x00 ",
    "lone \ud800 end",
)
HOSTILE_SANITISED: Final = "".join(HOSTILE).replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
"""The text that clients receive: NUL and half a character can be neither stored nor encoded."""
_TWO = ("one ", "two ")
HALVES: Final = ("go \ud83d", "\ude80", " up \ud83d")
"""A rocket that was cut in two, and half of another."""
HALVES_SANITISED: Final = "go \U0001f680 up \ufffd"
_THREE = ("one ", "two ", "three")
_JSON = ('{"answer": ', '"forty-two", ', '"score": 3}')
_NO_JSON = ("I would ", "rather not.")
_BREAKS: dict[str, Ending] = {
    "cut": "torn",
    "early": "early",
    "stall": "silent",
    "malformed": "broken",
    "overload": "overloaded",
}
_ALIASES = {"silent": "stall-first", "announced": "overload"}
_SCRIPTS = {
    "fixed": Script(_THREE),
    "think": Script(_THREE, reasoning=THOUGHT),
    "slow": Script(_THREE, is_held=True),
    "endless": Script(ending="endless"),
    "flood": Script(ending="flood"),
    "filtered": Script(_TWO, "filtered"),
    "promptblock": Script(ending="blocked"),
    "length": Script(_TWO, "length"),
    "empty": Script(),
    "usage-none": Script(_THREE, tokens=None),
    "usage-wrong": Script(_THREE, tokens=Tokens(-5, None, 10**9, None)),
    "usage-running": Script(_THREE, is_counting_along=True),
    "greedy": Script(_THREE, tokens=Tokens(10**9, 20, 10**9, 0)),
    "hostile": Script(HOSTILE),
    "halves": Script(HALVES, reasoning=HALVES[0] + HALVES[1]),
    "json": Script(_JSON),
    "json-bad": Script(_NO_JSON),
    **{kind: Script(_TWO, ending) for kind, ending in _BREAKS.items()},
    **{f"{kind}-first": Script((), ending) for kind, ending in _BREAKS.items()},
}
_REFUSALS: dict[str, Refusal | Page] = {
    "badkey": Refusal(401, "key"),
    "credit": Refusal(402, "credit"),
    "html": Page(200),
    "html-403": Page(403),
    "html-502": Page(502),
}
_STATUS = re.compile(r"status-(\d{3})(?:-after-(\d+(?:\.\d+)?))?")
KINDS: Final = ("echo", "obedient", "tools", "json-bad-once", *_SCRIPTS, *_REFUSALS, *_ALIASES)

_matcha_names = {9000 + number: kind for number, kind in enumerate(KINDS)}
_matcha_lock = threading.Lock()


def matcha_id(name: str) -> int:
    """MatchAI's number for a model name; the same name has the same number, a new name gets the next one."""
    with _matcha_lock:
        for number, known in _matcha_names.items():
            if known == name:
                return number
        number = 9000 + len(_matcha_names)
        _matcha_names[number] = name
        return number


def matcha_name(number: int) -> str:
    """The model name of a number; an unregistered number is its own name."""
    return _matcha_names.get(number, str(number))


def scripted(asked: Asked, nth_call: int) -> Script | Refusal | Page:
    """What the model does at the nth call of its full name."""
    kind = asked.model.partition("~")[0]
    if kind.startswith("once-"):
        kind = kind.removeprefix("once-") if nth_call == 1 else "echo"
    if kind == "obedient":
        kind = asked.text.split()[-1] if asked.text.split() else "echo"
    kind = _ALIASES.get(kind, kind)
    if status := _STATUS.fullmatch(kind):
        return Refusal(int(status[1]), retry_after_seconds=status[2])
    if kind in _REFUSALS:
        return _REFUSALS[kind]
    if kind == "json-bad-once":
        kind = "json" if asked.has_answered else "json-bad"
    if kind in _SCRIPTS:
        return _SCRIPTS[kind]
    return _tools(asked) if kind == "tools" else _echo(asked)


def _tools(asked: Asked) -> Script:
    if asked.tool_results or not asked.tools:
        return Script(_echo(asked).pieces)
    arguments = {"query": asked.text, "note": 'zwei \u2014 "drei"'}
    return Script(("Let me ", "check."), calls=tuple((name, arguments) for name in asked.tools))


def _echo(asked: Asked) -> Script:
    content = f"The tool said: {' | '.join(asked.tool_results)}" if asked.tool_results else asked.text
    pieces = tuple(f"{word} " for word in content.split()) or ("nothing ",)
    return Script(pieces, tokens=Tokens(output=len(pieces), reasoning=0))
