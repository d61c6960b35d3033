"""Redaction: what leaves a turn for a log row or a spool record passes through here first.

E-mail, cards (Luhn), IBANs (mod 97), phone numbers, IP addresses, national ids, keys and tokens become `[email]`,
`[card]` and so on; prices, tickers, dates and model names stay. Messages in a conversation are not redacted:
they belong to the people in it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

WITHHELD = "[content withheld]"


def _passes_luhn(text: str) -> bool:
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    doubled = sum(d if i % 2 == 0 else (d * 2 - 9 if d > 4 else d * 2) for i, d in enumerate(digits))
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and doubled % 10 == 0


def _passes_mod97(text: str) -> bool:
    plain = re.sub(r"\s", "", text).upper()
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _is_phone(text: str) -> bool:
    return 8 <= sum(c.isdigit() for c in text) <= 15 and not re.fullmatch(r"\d{4}-\d{2}-\d{2}[ T]?\d*", text)


def _is_public_host(text: str) -> bool:
    return not text.startswith(("127.", "0."))


class _Rule(NamedTuple):
    label: str
    pattern: re.Pattern[str]
    needs: str = ""  # a cheap substring without which the pattern cannot match
    is_real: Callable[[str], bool] = lambda _: True
    part: re.Pattern[str] | None = None  # how a real one starts that stands among other groups of the match


_KEY = (
    r"\b(?:sk-ant-[\w-]{20,}|sk-(?:proj-)?[\w-]{20,}|AIza[\w-]{35,}|AQ\.[\w-]{30,}|hf_[A-Za-z0-9]{30,}"
    r"|gh[pousr]_[A-Za-z0-9]{36,}|xox[abprs]-[\w-]{10,}|AKIA[A-Z0-9]{16}|ya29\.[\w-]{20,}|sb_secret_[\w-]{20,}"
    r"|sbp_[a-f0-9]{40}|glpat-[\w-]{20,}|(?:rk|sk|whsec)_(?:live_|test_)?[A-Za-z0-9]{20,})"
)
_VALUE_AFTER_A_NAME = (
    r"(?i)(?<![A-Za-z])(?:authorization['\"]?\s*[:=]\s*['\"]?(?:bearer|basic)\s+|(?:x-goog-api-key|x-api-key"
    r"|matcha-api-key|api[_-]?key|access[_-]?token|refresh[_-]?token|client[_-]?secret|secret|password|passwd|pwd)"
    r"['\"]?\s*[:=]\s*['\"]?)(?P<value>[^\s'\",;&}\[]{4,})"
)
_PHONE = (
    r"(?<![\w./:-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){5,12}|\(\d{2,4}\)[ .-]?\d(?:[ .-]?\d){5,9}"
    r"|0\d{1,4}[ .-]\d(?:[ .-]?\d){4,9}|\d{3}[ .-]\d{3}[ .-]\d{4})(?![\w/:-])"
)
_RULES = (
    _Rule(
        "private_key",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        "-----BEGIN",
    ),
    _Rule("jwt", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), "eyJ"),
    _Rule("key", re.compile(_KEY)),
    _Rule("secret", re.compile(_VALUE_AFTER_A_NAME)),
    _Rule("credentials", re.compile(r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)"), "://"),
    _Rule("email", re.compile(r"[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){1,6}[A-Za-z]{2,24}\b"), "@"),
    _Rule(
        "iban",
        re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"),
        is_real=_passes_mod97,
        part=re.compile(r"[A-Z]{2}\d{2}"),
    ),
    _Rule(
        "card",
        re.compile(r"(?<![\w.-])[2-6]\d(?:[ -]?\d){11,60}(?![\w-])"),
        is_real=_passes_luhn,
        part=re.compile(r"[2-6]\d{3}(?:\d{9,15})?(?!\d)"),
    ),
    _Rule("national_id", re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"), "-"),
    _Rule(
        "ip",
        re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.])"),
        ".",
        _is_public_host,
    ),
    _Rule("phone", re.compile(_PHONE), is_real=_is_phone),
)


def redact(text: str) -> str:
    """`text` with what identifies a person or opens a door replaced by its kind; about 0.2 ms per KB."""
    for rule in _RULES:
        if rule.needs in text:
            text = rule.pattern.sub(lambda match, rule=rule: _replacement(rule, match), text)  # type: ignore[misc]
    return text


def _replacement(rule: _Rule, match: re.Match[str]) -> str:
    value: str = match.groupdict().get("value") or match[0]
    if rule.is_real(value):
        return match[0].replace(value, f"[{rule.label}]")
    return _redact_parts(rule, match[0]) if rule.part else match[0]


def _redact_parts(rule: _Rule, text: str) -> str:
    """A card before its expiry date, or after an amount: the real one among the groups that matched together."""
    starts = [group.start() for group in re.finditer(r"[^ -]+", text)]
    ends = [group.end() for group in re.finditer(r"[^ -]+", text)]
    for first, start in enumerate(starts):
        if rule.part and rule.part.match(text, start):
            for end in reversed(ends[first : first + 9]):  # an IBAN has at most nine groups
                if rule.is_real(text[start:end]):
                    return f"{text[:start]}[{rule.label}]{_redact_parts(rule, text[end:])}"
    return text


def loggable(text: str, log_content: str) -> str | None:
    """What of `text` may stand in a log row; a redactor that fails costs the content, never lets it through."""
    if log_content == "none":
        return None
    try:
        return redact(text)
    except Exception:  # noqa: BLE001 - whatever went wrong, raw text must not be written
        return WITHHELD


def loggable_json(value: Any) -> Any:
    """JSON with every string in it redacted, names of fields included; a number that reads like a card goes too."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): loggable_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [loggable_json(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and redact(str(value)) != str(value):
        return redact(str(value))
    return value


def loggable_value(value: Any, log_content: str) -> Any:
    """What of JSON with words may stand in a log row or the spool: redacted, or None where `loggable` keeps nothing."""
    if log_content == "none":
        return None
    try:
        return loggable_json(value)
    except Exception:  # noqa: BLE001 - whatever went wrong, raw text must not be written
        return None


def storable(value: Any) -> Any:
    """JSON as PostgreSQL takes it: NUL and lone surrogates become U+FFFD; halves that came apart are joined again."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, Mapping):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def person_hash(user_id: str, pepper: str) -> str | None:
    """What stands for a person where their id must not: an HMAC by a secret pepper; None without either."""
    if not pepper or not user_id:
        return None
    return "v1:" + hmac.new(pepper.encode(), user_id.encode(), hashlib.sha256).hexdigest()
