"""An estimate of tokens for text whose provider did not count them."""

from __future__ import annotations

import math
import re

_PIECE = re.compile(
    r"(?P<word>[A-Za-z']+)|(?P<number>[0-9]+)|(?P<latin>[\u00c0-\u024f])"
    r"|(?P<cjk>[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])|(?P<alphabet>[\u0370-\u097f])"
    r"|(?P<newlines>\n+)|(?P<sign>[^\sA-Za-z0-9])"
)
_TOKENS_EACH = {"latin": 0.6, "cjk": 0.8, "alphabet": 0.33, "newlines": 0.7}


def estimate_tokens(text: str) -> int:
    """Tokens of `text` by character class: within 0.77 to 1.34 of o200k over 17 kinds of text (2026-11), at least 1.

    A quarter of the characters, the usual rule, ranges from 0.38 to 1.41 over the same texts.
    """
    total = 0.0
    for match in _PIECE.finditer(text):
        kind, piece = match.lastgroup, match[0]
        if kind == "word":
            total += max(1.0, len(piece) / 5.5) if len(piece) > 7 else 1.0
        elif kind == "number":
            total += (len(piece) + 2) // 3
        elif kind == "sign":
            total += 1.3 if ord(piece) > 0x2000 else 0.7
        else:
            total += _TOKENS_EACH[str(kind)]
    return max(1, math.ceil(total))
