"""E-mail addresses, IBANs, payment cards and IP addresses: patterns, and the check sums of cards and IBANs."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

from shared.redaction.context_words import VERSION_WORDS, words_before
from shared.redaction.rule import Rule, compiled

_ISSUED = r"4\d{12}(?:\d{3}){0,2}|3[47]\d{13}|3[0689]\d{12,17}|35\d{14,17}|2[2-7]\d{14}|[56]\d{12,18}"
_IBAN_LENGTHS = {
    land: int(length)
    for land, length in re.findall(
        r"(..)(..)",
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18"
        "FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27"
        "MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27"
        "SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30",
    )
}
_DOMAIN = r"(?:[\w-]{1,63}\.){1,6}(?:xn--[a-z\d-]{2,30}|[^\W\d_]{2,24})"
_IBAN = (
    r"\d\d(?<=(?<![^\W_])[A-Za-z]{2}\d\d)(?:(?: {0,2}[A-Za-z0-9]{4}){2,7}(?: {0,2}[A-Za-z0-9]{1,3})?"
    r"|(?:-[A-Za-z0-9]{4}){2,7}(?:-[A-Za-z0-9]{1,3})?)(?![^\W_])"
)
_CARD = (
    r"[2-6](?<![A-Za-z0-9].)(?<!\d\..)\d{3}(?:\d{9,15}|(?:[ \t]{1,3}\d{4}){3}(?:[ \t]{1,3}\d{1,3}(?!\d))?"
    r"|([-./_])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3}(?!\d))?|( {1,3}|[.-])\d{6}\2\d{4,5}"
    r"|(?<!\d\n....)(?:\s{1,3}\d{4}){3}(?!\s?\n\d{4}\b))(?![A-Za-z0-9])"  # four lines alone: a longer column is a table
)
_IPV6 = (
    r"[0-9A-Fa-f:](?=[0-9A-Fa-f]{0,3}:)(?:(?<![\w:.].)|(?<=[^\W\d_]:.))"
    r"[0-9A-Fa-f]{0,3}:[0-9A-Fa-f:]{2,38}(?:\.\d{1,3}){0,3}(?![\w:]|\.\d)"
)
_IPV4 = r"\d(?<![A-Za-z0-9_.].)(?<![Vv]ersion .)\d{0,2}(?:\.\d{1,3}){3}(?![A-Za-z0-9_]|\.\d)"
_DOTTED = (
    "com|net|org|edu|gov|io|dev|ai|app|co|info|biz|me|eu|de|fr|uk|es|it|nl|pl|se|no|dk|fi|ch|at|be|pt|ru|in|br|us|ca|au"
    "|jp|cn"
)


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    doubled = sum(int(d) if i % 2 == 0 else int(d) * 2 % 10 + int(d) // 5 for i, d in enumerate(reversed(digits)))
    return bool(compiled(_ISSUED).fullmatch(digits)) and len(set(digits)) > 1 and doubled % 10 == 0


def _card_length(text: str, _before: str) -> int:
    """The length of the card, with or without the last group, which may be its security code."""
    shorter = re.sub(r"\D+\d+$", "", text)
    return next((len(each) for each in (text, shorter) if _is_card(each)), 0)


def _iban_end(text: str) -> tuple[int, bool]:
    """Where the account number of a country ends, 0 for none; and whether its check sum is right."""
    ends = [match.end() for match in re.finditer(r"[A-Za-z0-9]", text)]
    wanted = _IBAN_LENGTHS.get(text[:2].upper(), len(ends) + 1)
    if wanted > len(ends) or text[ends[wanted - 1] :][:1].isalnum():
        return 0, False
    plain = "".join(text[end - 1] for end in ends[:wanted])
    return ends[wanted - 1], int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _iban_length(text: str, _before: str) -> int:
    """The length; below 0 for a wrong check sum, as none of the parts is a card or a phone number."""
    end, is_right = _iban_end(text)
    return end if is_right else -end if text[:2].isupper() else 0


def _ipv6_length(text: str, _before: str) -> int:
    """The length of an address with three groups or more: `::1` identifies no host, and `10::20` is a slice."""
    text = text[:-1] if text.endswith(":") and not text.endswith("::") else text
    try:
        IPv6Address(text)
    except ValueError:
        return 0
    return len(text) if len(re.findall(r"[^:.]+", text)) > 2 else 0


def _ipv4_length(text: str, before: str) -> int:
    """The length of an address of a host: no loopback, no mask, no version of a program."""
    parts = text.split(".")
    if text.startswith(("127.", "0.", "255.")) or text.endswith(".0.0.0") or any(int(part) > 255 for part in parts):
        return 0
    is_padded = any(len(part) > 1 and part[0] == "0" for part in parts)
    is_version = not VERSION_WORDS.isdisjoint(words_before(before)[-2:]) or before.endswith(("\u00a7", "\u00a7 ", "=="))
    return 0 if is_padded or is_version else len(text)


def _email_length(text: str, _before: str) -> int:
    """The length of a person's address: no name of an image for a dense screen, no login of a Git host."""
    name, _, domain = text.rpartition("@")
    return 0 if re.fullmatch(r"\d(?:\.\d)?x\.\w+", domain) or name == "git" else len(text)


EMAILS: Final = (
    Rule("email", rf"(?<![\w.+%'-])[.'-]*+(?P<value>[\w.+%'-]++@{_DOMAIN})", ("@",), _email_length),
    *(
        Rule("email", rf"(?i)(?<![\w.+'-])(?:[\w.+'-]|%(?!40))++{re.escape(sign)}{_DOMAIN}", (sign,))
        for sign in ("%40", r"\u0040", "&#64;", "&commat;", "&#x40;")
    ),
    Rule("email", rf"(?<![\w.+%'-])\"[^\"\s@]{{1,64}}\"@{_DOMAIN}", ('"@',)),
    Rule("email", r"(?<![\w.+%'-])[\w.+%'-]{1,64}+@\[(?:\d{1,3}\.){3}\d{1,3}\]", ("@[",)),
    Rule(
        "email",
        r"(?i)(?<![\w.+-])[\w.+-]{1,64}+ {0,2}(?:[\[({<] ?(?:at|@|\u00e4t|arroba) ?[\])}>]|\[?@\]?) {0,2}"
        rf"(?:[\w-]{{1,63}} {{0,2}}(?:[\[({{<] ?(?:dot|punkt|punto|point|\.) ?[\])}}>]| dot |\.) {{0,2}})"
        rf"{{1,4}}(?:{_DOTTED})\b",
        ("[at]", "(at)", "{at}", "<at>", " at ]", " at )", "[@]", "(@)", " @ ", "\u00e4t]", "\u00e4t)", "arroba"),
    ),
    Rule(
        "email",
        rf"(?i)(?<![\w.+-])(?:[\w+-]{{1,30}} dot ){{0,3}}"
        rf"[\w.+-]{{1,64}}+ (?:at|arroba) (?:[\w-]{{1,63}}(?: dot | punto | punkt ))"
        rf"{{1,4}}(?:{_DOTTED})\b",
        (" dot ", " punto ", " punkt "),
    ),
)
ACCOUNTS: Final = (
    Rule("iban", _IBAN, length=_iban_length, back=2, gate=r"[A-Za-z]\d\d(?:-| {0,2})[A-Za-z0-9]{4}"),
    Rule("card", _CARD, length=_card_length),
)
ADDRESSES: Final = (
    Rule("ip", _IPV6, (":",), _ipv6_length, gate=r":(?::|(?:[0-9A-Fa-f]{1,4}:){5})"),
    Rule("ip", _IPV4, (".",), _ipv4_length, gate=r"\.\d{1,3}\.\d{1,3}\.\d"),
)
