"""Phone numbers: with a plus, a zero or brackets; in the grouping of a country; or after a word such as phone.

`shared.redaction.phone_numbers` loads the numbering plans; the first number in the grouping of a country imports it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import Final

from shared.redaction.context_words import (
    ASIAN_PHONE_WORDS,
    CALL_WORDS,
    NUMBER_WORDS,
    NUMBERED_WORDS,
    PHONE_WORDS,
    follows_a_word,
    words_before,
)
from shared.redaction.rule import PatternSource, Rule, any_form, compiled

_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)\d\d"
_DATE = (
    rf"(?:{_DAY}([ .-]){_MONTH}\1|{_MONTH}([ .-]){_DAY}\2|{_MONTH}[.-]){_YEAR}(?!\d)"
    rf"|{_YEAR}([ .-])?{_MONTH}\3?{_DAY}(?!\d)|{_DAY}([.-]){_MONTH}\4\d\d(?![\d.-])|\({_YEAR}\)"
)
_YEARS = r"(?:(?:19|20)\d\d[ -]?)+"
# From a billion on, groups of three are no amount: phone numbers of Spain, Poland and Czechia look like this.
_AMOUNT = (
    r"\+(?:\d+\.\d+|\d{1,3}(?: \d{3}){1,2}(?:\.\d+)?|\d{1,3}(?:\.\d{3}){1,2}"
    r"|\d{1,3}(?: \d{3})* 000(?: \d{3})*)(?![.\d])"
    r"|.*(?<![.\d])\d+\.\d{1,2}(?![.\d]).*"  # a price among the digits
)
# The groups of digits, and the regions that write their numbers so without a zero or a country code.
_STRONG: Final = {
    "00000 00000": ("IN",),
    "000 0000 0000": ("CN",),
    "00 00000 0000": ("BR",),
    "000 000 00 00": ("RU", "TR", "KZ"),
    "000 00 00 00": ("ES",),
    "00 000 00 00": ("CH", "UA", "SN", "CI"),
    "000 00 000": ("NO",),
    "0 000 000 0000": ("US",),
    "0 00 00 00 00": ("FR",),
}
# Groupings that amounts and lists of numbers share: only after a word such as call.
_WEAK: Final = _STRONG | {
    "000 000 0000": ("US", "IN", "MX", "IT", "CO", "RU"),
    "000 000 000": ("ES", "PL", "PT", "CZ", "SK", "AU", "GR", "PE", "CL"),
    "0000 0000": ("SG", "HK", "NO", "CR", "PA", "GT"),
    "00 00 00 00": ("DK", "NO", "FR", "BJ"),
    "00 000 000": ("DK", "NO", "TN", "KW", "HU"),
    "00 0000 0000": ("BR", "MX", "JP"),
    "0 0000 0000": ("CL", "AU"),
    "00 000 0000": ("ZA", "IL", "AE", "SA", "PL", "TH", "KE", "HU"),
    "0000 000 000": ("IN", "NG", "EG", "PH"),
    "000 0000000": ("US", "IN", "PK", "PH"),
    "000 000 00": ("DK", "NO"),
    "000 000": ("IS",),
    "000 0000": ("IS",),
    "0000000000": ("IN", "US", "RU", "TR", "MX", "PH", "NG", "CO"),
    "00000000000": ("CN", "BR", "US", "RU"),
    "00000000": ("SG", "HK", "NO", "DK"),
    "000000000": ("ES", "PL", "PT", "CZ", "AU", "IL", "CL"),
}
_FORM_OF: Final = str.maketrans("123456789-", "0" * 9 + " ", "()")
_PHONE = (
    r"[+(0-9](?<![A-Za-z0-9_./+-].)(?<!\d:.)(?:(?<=\+)[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ ./-]?\d){5,12}"
    r"|(?<=\()\+\d{1,3}\)[ -]?\d(?:[ -]?\d){6,11}"
    r"|(?<=\()0\)\d{2,4}[ -]?\d(?:[ -]?\d){5,8}|(?<=\()\d{2,5}\)[ .-]?\d(?:[ .-]?\d){4,9}"
    r"|(?<=0)0[1-9]\d{0,2}[ .-]?(?:\(0\)[ .-]?)?\d(?:[ ./-]?\d){6,11}"
    r"|(?<=0)[1-9](?:\d{0,4}(?: |[.-])\d(?:[ .-]?\d){4,9}|\d{1,4} ?[/-] ?\d(?:[ .-]?\d){4,9}|\d{8,10})"
    r"|(?<=1)([.-])[2-9]\d\d\1\d{3}\1\d{4}|(?<=[2-9])\d\d([.-])\d{3}\2\d{4}"
    r"|(?<=0)0 [1-9]\d{0,2}(?: ?\d){7,12}|(?<=1) ?\([2-9]\d\d\) ?\d{3}[ -]\d{4}"
    r"|(?<=0)11 [1-9](?: ?\d){7,13})(?![A-Za-z0-9_]|[./:-]\d)"
)
_PHONE_BEGINS = r"[+(0](?<![A-Za-z0-9_./+-].)(?<!\d:.)|\((?<=1\()|[.-]\d{3}[.-]\d{4}"
_AFTER_A_WORD = (
    r"[(\d](?<![A-Za-z0-9_.,/$#+-].)(?<!\d[ ,:].)(?:(?<=\()\d)?(?:[ .()/-]{0,2}+\d){6,14}(?![A-Za-z0-9_]|[./:-]\d)"
)


def _in_groups(forms: Iterable[str]) -> PatternSource:
    """A pattern of what begins like one of the forms, with all groups that follow."""
    return lambda: (
        r"[1-9](?<![A-Za-z0-9_.,/:#$\u20ac\u00a3*=&?%@\\+-].)(?<!\d[ ,].)"
        rf"(?={any_form(form[1:] for form in forms)})\d{{0,10}}+(?:[ -]\d{{2,7}}+){{0,4}}+(?![A-Za-z0-9_]|[./:,-]\d)"
    )


def _is_phone(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    if compiled(_AMOUNT).fullmatch(text) or len(digits) > 17 or set(digits) <= {"0", "1"}:
        return False
    if text.startswith("+1"):
        return len(digits) == 11 and digits[1] > "1"
    return len(digits) >= (10 if text == f"+{digits}" else 8)


def _length(text: str, before: str) -> int:
    """The length of the phone number, with all groups or without the last ones, which may be another number."""
    if compiled(_DATE).match(text) or (text[0] != "+" and not NUMBERED_WORDS.isdisjoint(words_before(before))):
        return 0
    ends = (match.end() for match in reversed(list(re.finditer(r"\d+(?= |$)", text))))
    return next((end for end in ends if _is_phone(text[:end])), 0)


def _named_length(text: str, before: str) -> int:
    if not follows_a_word(before) or before.endswith("["):
        return 0
    is_named = not PHONE_WORDS.isdisjoint(words_before(before))
    if not is_named and not before.isascii():
        is_named = any(word in before[-12:] for word in ASIAN_PHONE_WORDS)
    is_year = compiled(_YEARS).fullmatch(text)
    return len(text) if is_named and not is_year and not compiled(_DATE).match(text) else 0


def _grouped_length(text: str, before: str) -> int:
    """The length of a number in the grouping of a country."""
    form = text.translate(_FORM_OF)
    if form not in _WEAK or compiled(_DATE).match(text):
        return 0
    words = words_before(before)
    is_called = not CALL_WORDS.isdisjoint(words) or ("my" in words and not NUMBER_WORDS.isdisjoint(words))
    is_called = is_called or (" " in form and not NUMBER_WORDS.isdisjoint(words))
    regions = _WEAK[form] if is_called else _STRONG.get(form)
    if not regions or not NUMBERED_WORDS.isdisjoint(words):
        return 0
    return len(text) if _is_valid(regions, text) else 0


def _is_valid(regions: tuple[str, ...], number: str) -> bool:
    checked: bool = importlib.import_module("shared.redaction.phone_numbers").is_valid(regions, number)
    return checked


PHONE_RULES: Final = (
    Rule("phone", _PHONE, length=_length, gate=_PHONE_BEGINS),
    Rule("phone", _AFTER_A_WORD, length=_named_length, words=PHONE_WORDS),
    Rule(
        "phone",
        _in_groups(_WEAK),
        length=_grouped_length,
        words=CALL_WORDS | NUMBER_WORDS | {"my"},
        unnamed=_in_groups(_STRONG),
    ),
)
