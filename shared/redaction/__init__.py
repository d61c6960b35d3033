"""Redaction: replaces personal data and credentials in a text by their kind.

E-mail, cards (Luhn), IBANs (mod 97), phone numbers, IP addresses, national ids, keys and tokens become `[email]`,
`[card]` and so on; prices, tickers, dates, code and model names stay. Patterns search a normalised copy of the text
with plain spaces, digits and dashes. The copy has the length of the text, so positions are the same in both.

Time is linear in the length. Where possible a pattern begins with a character class and looks behind afterwards, as
`re` then skips ahead. Only matches of bounded length are rejected after the match; unbounded repeats are possessive.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

from shared.redaction.id_shapes import ID_RULES
from shared.redaction.named_secrets import NAMED_SECRETS, PRIVATE_KEYS, SECRET_NAME, TOKEN
from shared.redaction.personal_data import ACCOUNTS, ADDRESSES, EMAILS
from shared.redaction.phone_shapes import PHONE_RULES
from shared.redaction.rule import Rule, Rules, compiled
from shared.redaction.secret_shapes import SECRET_SHAPES

VERSION: Final = 1
"""The version of the rules, in manifests of training data: raise it when a rule replaces more or less."""

_UNUSUAL = (
    r"[\d\xa0\xad\u180e\u2000-\u200f\u2010-\u2015\u202f\u205f\u2060-\u2064\u2212\u3000\ufe58\ufe63\ufeff\uff01-\uff5e]"
    r"(?<![0-9])"
)
_SIGNS = "[\xad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
_INVISIBLE = _SIGNS
_INSIDE = rf"(?<=\d){_SIGNS}++(?=\d)|(?<=[^\W\d_]){_SIGNS}++(?=[^\W\d_])"  # of a number or a word
_NO_LETTER = r"[\W\d_]+"
_MAX_NAME_LENGTH = 40
_MAX_FIELD_LENGTH = 64
# Later rules see none of these digits: an id of 128 bits, a digest, a picture.
_OPAQUE: Final = (
    Rule("", r"-(?<=[0-9a-fA-F]{8}-)(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![\w-])", ("-4", "-5", "-7")),
    Rule("", r"(?<=;base64,)[\w+/=]{16,}+", (";base64,",)),
)
_PRIVATE_KEYS: Final = Rules(PRIVATE_KEYS)
_LETTER: Final = r"[^\s\"'`<>(){}\[\]|,;]"
_KEYS: Final = Rules(SECRET_SHAPES, within=rf"(?<!{_LETTER}){_LETTER}{{15,}}+")
_WORDS: Final = Rules((*NAMED_SECRETS, *EMAILS))
_NUMBERS: Final = Rules((*_OPAQUE, *ACCOUNTS, *ADDRESSES, *ID_RULES, *PHONE_RULES))
# What each datum with digits has: five digits close together, two groups of four, or the form of an address or a PAN.
_OVER_LINES: Final = r"\d{4}\s{1,3}\d{4}"
_NUMBER: Final = (
    r"[\d:P](?:(?<=\d)(?:(?:[^\d\n]{0,3}\d){4}|\d{3}\s{1,3}\d{4}|\.\d{1,3}\.\d)"
    r"|(?<=:)[0-9A-Fa-f:]{2}|(?<=P)[A-Z]\d{4}[A-Z])"
)


def redact(text: str) -> str:
    """The text with personal data and credentials replaced by their kind; 0.2 to 0.4 ms per KB."""
    if text.isascii() or not compiled(_INVISIBLE).search(text):
        return _apply(text)
    for hidden in (_INSIDE, _INVISIBLE):
        visible = compiled(hidden).sub("", text)
        found = _apply(visible)
        text = text if found == visible else found
    return text


def redact_field(name: str, text: str) -> str:
    """The redacted value of a field, with its name as context; `[secret]` if the field has the name of a secret."""
    if not name or not text:
        return redact(text)
    if compiled(SECRET_NAME).fullmatch(name) or (name.lower().endswith("token") and compiled(TOKEN).fullmatch(text)):
        return "[secret]"
    if len(text) > _MAX_FIELD_LENGTH or not any(map(str.isdecimal, text)):
        return redact(text)
    prefix = compiled(_NO_LETTER).sub(" ", name)[-_MAX_NAME_LENGTH:] + " "
    redacted = redact(prefix + text)
    return redacted.removeprefix(prefix) if redacted.startswith(prefix) else redact(text)


def _apply(text: str) -> str:
    shadow = _shadow(text)
    for rules in (_PRIVATE_KEYS, _KEYS, _WORDS):
        text, shadow = rules.applied(text, shadow)
    pieces, at = [], 0
    for start, end in _numbered(shadow):
        pieces += [text[at:start], _NUMBERS.applied(text[start:end], shadow[start:end])[0]]
        at = end
    return "".join([*pieces, text[at:]])


def _numbered(shadow: str) -> Iterator[tuple[int, int]]:
    """The start and end of each run of lines with numbers, and a line before and after it."""
    search = compiled(_NUMBER).search
    first = last = resume = -1
    while match := search(shadow, max(0, resume)):
        is_near = match.start() <= last  # then the line before it is in the run already
        start = first if is_near else shadow.rfind("\n", 0, max(0, shadow.rfind("\n", 0, match.start()))) + 1
        end = _line_end(shadow, match.end())
        if start > last >= 0:
            yield first, last
        first = start if start > last else first
        last = _line_end(shadow, end + 1)
        group = compiled(_OVER_LINES).search(shadow, max(match.start() + 1, end - 6), end + 7)
        resume = group.start() if group else end
    if last >= 0:
        yield first, last


def _line_end(shadow: str, at: int) -> int:
    end = shadow.find("\n", at)
    return len(shadow) if end < 0 else end


def _shadow(text: str) -> str:
    return text if text.isascii() else compiled(_UNUSUAL).sub(lambda match: _usual(match[0]), text)


def _usual(char: str) -> str:
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    if "\uff01" <= char <= "\uff5e":  # the full-width forms of ASCII
        return chr(ord(char) - 0xFEE0)
    return "-" if unicodedata.category(char) in {"Pd", "Sm"} or char == "\xad" else " "
