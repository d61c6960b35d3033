"""Check sums of national ids, by python-stdnum.

Only `id_shapes` imports this, when a text has a candidate.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable
from datetime import date

from stdnum.exceptions import ValidationError


@functools.lru_cache(4096)
def is_valid(names: str, number: str) -> bool:
    """Whether one of the kinds of id, such as `br.cpf us.ssn`, has this number."""
    return any(_is_one(name, number) for name in names.split())


def _is_one(name: str, number: str) -> bool:
    own = _OWN.get(name)
    plain = re.sub(r"[ ./()-]", "", number).upper()
    if own:
        return own(plain)
    module = importlib.import_module(f"stdnum.{name}")
    try:
        module.validate(number.upper())
    except ValidationError:
        return False
    return True


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def _is_date(year: int, month: str, day: str) -> bool:
    try:
        date(year, int(month), int(day))
    except ValueError:
        return False
    return True


def _danish(text: str) -> bool:
    """With its check sum, which numbers of people born after 2007 may lack."""
    return (
        bool(re.fullmatch(r"\d{10}", text))
        and _is_date(2000 + int(text[4:6]), text[2:4], text[:2])
        and _weighted(text, (4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
    )


def _latvian(text: str) -> bool:
    if not re.fullmatch(r"\d{11}", text):
        return False
    return (1101 - _weighted(text, (1, 6, 3, 7, 9, 10, 5, 8, 4, 2))) % 11 % 10 == int(text[10])


def _korean(text: str) -> bool:
    """By its date: numbers since 2020 have no check sum."""
    return bool(re.fullmatch(r"\d{6}[1-8]\d{6}", text)) and _is_date(2000 + int(text[:2]) % 100, text[2:4], text[4:6])


def _snils(text: str) -> bool:
    if not re.fullmatch(r"\d{11}", text):
        return False
    return _weighted(text[:9], tuple(range(9, 0, -1))) % 101 % 100 == int(text[9:])


def _insurance_number(text: str) -> bool:
    return bool(re.fullmatch(r"(?!BG|GB|NK|KN|TN|NT|ZZ)(?:QQ|[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z])\d{6}[A-D]?", text))


def _singaporean(text: str) -> bool:
    if not re.fullmatch(r"[STFGM]\d{7}[A-Z]", text):
        return False
    total = _weighted(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"S": 0, "F": 0, "T": 4, "G": 4, "M": 3}[text[0]]
    letters = "JZIHGFEDCBA" if text[0] in "ST" else "XWUTRQPNMLK" if text[0] in "FG" else "KLJNPQRTUWX"
    at = total % 11 if text[0] != "M" else 10 - total % 11
    return letters[at] == text[8]


def _hong_kong(text: str) -> bool:
    match = re.fullmatch(r"([A-Z]{1,2})(\d{6})([0-9A])", text)
    if not match:
        return False
    values = [36] * (2 - len(match[1])) + [ord(char) - 55 for char in match[1]] + [int(digit) for digit in match[2]]
    total = sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True))
    return (total + int(match[3], 16)) % 11 == 0


def _taiwanese(text: str) -> bool:
    if not re.fullmatch(r"[A-Z][1289A-D]\d{8}", text) or not text[1].isdigit():
        return False
    code = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(text[0]) + 10
    total = code // 10 + code % 10 * 9 + _weighted(text[1:9], (8, 7, 6, 5, 4, 3, 2, 1)) + int(text[9])
    return total % 10 == 0


def _medicare(text: str) -> bool:
    if not re.fullmatch(r"[2-6]\d{9,10}", text):
        return False
    return _weighted(text, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(text[8])


def _my_number(text: str) -> bool:
    if not re.fullmatch(r"\d{12}", text):
        return False
    rest = _weighted(text[10::-1], (2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6)) % 11
    return int(text[11]) == (0 if rest <= 1 else 11 - rest)


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: bool(compiled.fullmatch(text))


# Kinds that the library lacks, or whose form alone decides after their name.
_OWN: dict[str, Callable[[str], bool]] = {
    "dk.cpr": _danish,
    "lv.pk": _latvian,
    "kr.rrn": _korean,
    "ru.snils": _snils,
    "gb.nino": _insurance_number,
    "sg.nric": _singaporean,
    "hk.hkid": _hong_kong,
    "tw.id": _taiwanese,
    "au.medicare": _medicare,
    "jp.my_number": _my_number,
    "vn.cccd": _matches(r"0\d{11}|\d{9}"),
    "passport": _matches(r"[A-Z]{0,3}(?=(?:[A-Z]*\d){5})[A-Z0-9]{6,10}"),
    "licence": _matches(r"(?=(?:[A-Z]*\d){5})[A-Z0-9]{6,20}"),
    "any": _matches(r"(?=(?:[A-Z]*\d){5})[A-Z0-9]{6,20}"),
}
