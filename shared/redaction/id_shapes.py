"""National ids: by their form and their check sum alone, or after the name of the id.

A candidate's form is its text with 0 for each digit and A for each capital letter, so that one lookup finds its
countries. `shared.redaction.national_ids` loads python-stdnum; the first candidate imports it.
"""

from __future__ import annotations

import importlib
import re
import string
from typing import Final

from shared.redaction.context_words import NUMBERED_WORDS, follows_a_word, phrases, words_before
from shared.redaction.rule import Rule, any_form

# Forms that are rare enough to count without a name, and the countries that use them.
_FORMS: Final = {
    "000.000.000-00": "br.cpf",
    "000-000-000 00": "ru.snils",
    "00.00.00-000.00": "be.nn",
    "000000-0000": "se.personnummer dk.cpr fi.hetu",
    "000000+0000": "se.personnummer",
    "000000-000A": "fi.hetu",
    "000000A000A": "fi.hetu",
    "000000A0000": "fi.hetu",
    "00000000-0000": "se.personnummer",
    "000000-00000": "lv.pk",
    "000.0000.0000.00": "ch.ssn",
    "000000/0000": "cz.rc",
    "0000 000000": "at.vnr",
    "00.000.000-0": "cl.rut",
    "00.000.000-A": "cl.rut",
    "0.000.000-0": "cl.rut",
    "00-00000000-0": "ar.cuit",
    "000-0000000-0": "do.cedula",
    "00000-0000000-0": "pk.cnic",
    "000000-0000000": "kr.rrn",
    "000000-00-0000": "my.nric",
    "0-0000-00000-00-0": "th.pin",
    "000-00-0000": "us.itin",
    "0000 0000 0000": "in_.aadhaar",
    "0000-0000-0000": "in_.aadhaar",
    "000000000000000": "fr.nir",
    "000000000000000000": "cn.ric",
    "00000000000000000A": "cn.ric",
    "00000000000": "no.fodselsnummer tr.tckimlik ee.ik",
    "000000 00000": "no.fodselsnummer",
    "0000000000000": "za.idnr ch.ssn",
    "000000 0000 000": "za.idnr",
    "00000000A": "es.dni",
    "00000000-A": "es.dni",
    "A0000000A": "es.nie sg.nric",
    "A-0000000-A": "es.nie",
    "0000000AA": "ie.pps",
    "AAAAAA00A00A000A": "it.codicefiscale",
    "AAAA000000AAAAAA00": "mx.curp",
    "AAAA000000AAAAAAA0": "mx.curp",
    "AAAAA0000A": "in_.pan",
    "AA 00 00 00 A": "gb.nino",
    "AA000000A": "gb.nino",
    "A000000(0)": "hk.hkid",
    "A000000(A)": "hk.hkid",
    "A000000000": "tw.id",
}
# Names of ids in the words before a number, and the countries whose check sums count then.
_NAMES: Final = {
    **dict.fromkeys(("aadhaar", "aadhar", "\u0906\u0927\u093e\u0930", "uidai"), "in_.aadhaar"),
    **dict.fromkeys(("pan", "pan card"), "in_.pan"),
    "nhs": "gb.nhs",
    **dict.fromkeys(("national insurance", "nino", "ni number", "ni no"), "gb.nino"),
    **dict.fromkeys(("sin", "social insurance", "nas"), "ca.sin"),
    **dict.fromkeys(("ssn", "social security", "social is"), "us.ssn us.itin"),
    "itin": "us.itin",
    **dict.fromkeys(
        ("steuer id", "steuerid", "steueridentifikationsnummer", "steuernummer", "idnr", "tax id", "tin"),
        "de.idnr us.ssn us.itin",
    ),
    **dict.fromkeys(("bsn", "burgerservicenummer", "sofinummer"), "nl.bsn"),
    "pesel": "pl.pesel",
    "nip": "pl.nip",
    "cpf": "br.cpf",
    **dict.fromkeys(("rut", "rol unico"), "cl.rut"),
    **dict.fromkeys(("cuil", "cuit"), "ar.cuit"),
    **dict.fromkeys(("dni", "nif", "nie"), "es.dni es.nie pt.nif ar.dni"),
    "contribuinte": "pt.nif",
    **dict.fromkeys(("cart\u00e3o de cidad\u00e3o", "cart\u00e3o cidad\u00e3o"), "pt.cc"),
    **dict.fromkeys(("codice fiscale",), "it.codicefiscale"),
    **dict.fromkeys(("nir", "s\u00e9curit\u00e9 sociale", "securite sociale", "s\u00e9cu"), "fr.nir"),
    **dict.fromkeys(("pps", "ppsn"), "ie.pps"),
    "cnp": "ro.cnp",
    **dict.fromkeys(("egn", "\u0435\u0433\u043d"), "bg.egn"),
    **dict.fromkeys(("amka", "\u03b1\u03bc\u03ba\u03b1"), "gr.amka"),
    "oib": "hr.oib",
    **dict.fromkeys(("emso", "em\u0161o", "jmbg", "\u0458\u043c\u0431\u0433"), "si.emso"),
    **dict.fromkeys(("asmens kodas", "isikukood"), "lt.asmens ee.ik"),
    **dict.fromkeys(("rodn\u00e9 \u010d\u00edslo", "rodne cislo"), "cz.rc"),
    **dict.fromkeys(("svnr", "sozialversicherungsnummer", "sv nummer"), "at.vnr"),
    **dict.fromkeys(("ahv", "avs", "ahv nummer"), "ch.ssn"),
    **dict.fromkeys(("personnummer", "personal number"), "se.personnummer no.fodselsnummer"),
    **dict.fromkeys(("f\u00f8dselsnummer", "fodselsnummer"), "no.fodselsnummer"),
    "cpr": "dk.cpr",
    **dict.fromkeys(("henkil\u00f6tunnus", "hetu"), "fi.hetu"),
    "kennitala": "is_.kennitala",
    **dict.fromkeys(("rijksregisternummer", "num\u00e9ro national"), "be.nn"),
    "personas kods": "lv.pk",
    **dict.fromkeys(("tc kimlik", "kimlik", "tckn"), "tr.tckimlik"),
    **dict.fromkeys(("snils", "\u0441\u043d\u0438\u043b\u0441"), "ru.snils"),
    **dict.fromkeys(("inn", "\u0438\u043d\u043d"), "ru.inn"),
    **dict.fromkeys(("rnokpp", "\u0440\u043d\u043e\u043a\u043f\u043f"), "ua.rntrc"),
    **dict.fromkeys(
        ("teudat zehut", "mispar zehut", "\u05ea\u05e2\u05d5\u05d3\u05ea \u05d6\u05d4\u05d5\u05ea"), "il.idnr"
    ),
    **dict.fromkeys(("south african id", "sa id"), "za.idnr"),
    **dict.fromkeys(("tfn", "tax file"), "au.tfn"),
    "medicare": "au.medicare",
    "ird": "nz.ird",
    "curp": "mx.curp",
    "rfc": "mx.rfc",
    **dict.fromkeys(("c\u00e9dula", "cedula"), "ec.ci do.cedula co.nit"),
    **dict.fromkeys(("nik", "ktp"), "id.nik"),
    **dict.fromkeys(("nric", "fin", "mykad"), "sg.nric my.nric"),
    "cnic": "pk.cnic",
    "hkid": "hk.hkid",
    "rrn": "kr.rrn",
    "my number": "jp.my_number",
    "thai id": "th.pin",
    **dict.fromkeys(("cccd", "cmnd"), "vn.cccd"),
    **dict.fromkeys(
        ("passport", "reisepass", "reisepassnummer", "passeport", "pasaporte", "passaporte", "passnummer"), "passport"
    ),
    **dict.fromkeys(
        (
            "driver license",
            "drivers license",
            "driver licence",
            "driving licence",
            "driving license",
            "s license",
            "s licence",
            "f\u00fchrerschein",
        ),
        "licence",
    ),
    **dict.fromkeys(
        ("national id", "identity card", "identity number", "id card", "ausweis", "ausweisnummer", "personalausweis"),
        "any",
    ),
}
_NAME_WORDS: Final = frozenset(word for name in _NAMES for word in name.split())
_ASIAN_NAMES: Final = {
    "\u8eab\u4efd\u8bc1": "cn.ric",
    "\u8eab\u4efd\u8b49": "hk.hkid",
    "\u8eab\u5206\u8b49": "tw.id",
    "\uc8fc\ubbfc\ub4f1\ub85d\ubc88\ud638": "kr.rrn",
    "\u30de\u30a4\u30ca\u30f3\u30d0\u30fc": "jp.my_number",
    "\u0e1a\u0e31\u0e15\u0e23\u0e1b\u0e23\u0e30\u0e0a\u0e32\u0e0a\u0e19": "th.pin",
    "\u62a4\u7167": "passport",
}
_FORM_OF: Final = str.maketrans(string.digits + string.ascii_uppercase, "0" * 10 + "A" * 26)
# One token with a digit near its start, and further groups that begin with digits.
_FIRST: Final = r"[A-Z0-9](?<![A-Za-z0-9_.,/:#$\u20ac\u00a3+*=&?%@\\-].)"
_REST: Final = (
    r"(?=[\dA-Z./ +-]{6})(?:(?<!\d[ ,].)|(?=[\dA-Z]{0,8}[A-Z./-]|\d{8}))"
    r"(?:(?<=[A-Z])(?:[A-Z] (?=\d\d[ \d])|-|[A-Z]{1,5})?\d|(?<=\d))"
    r"[A-Za-z0-9./+-]{0,22}+(?:\([0-9A]\))?(?: \d[\dA-Z.-]{0,11}+){0,3}(?: [A-D]\b)?(?![A-Za-z0-9_])"
)


def _formed(first: str, kind: str) -> str:
    return rf"(?<={kind})(?={any_form(form[1:] for form in _FORMS if form[0] == first)})"


def _formed_candidate() -> str:
    return rf"{_FIRST}(?:{_formed('0', '[0-9]')}|{_formed('A', '[A-Z]')}){_REST}"


_CANDIDATE: Final = _FIRST + _REST


def is_valid(names: str, number: str) -> bool:
    """Whether one of the kinds of id, such as `br.cpf us.ssn`, has this number."""
    checked: bool = importlib.import_module("shared.redaction.national_ids").is_valid(names, number)
    return checked


def _length(text: str, before: str) -> int:
    """The length of the id, with all groups or without the last ones, which may be other numbers."""
    form = text.translate(_FORM_OF)
    named = _named(before) if form.count("0") > 4 and follows_a_word(before) else ""
    follows_a_number = before[-2:-1].isdigit()
    end = len(text)
    while end > 0:
        part = form[:end].rstrip("./-+")
        if part in _FORMS or named:
            is_list = (follows_a_number or end < len(text)) and not part.strip("0 ")
            countries = "" if is_list else _countries(part, text, before)
            if (countries and is_valid(countries, text[: len(part)])) or (named and is_valid(named, text[: len(part)])):
                return len(part)
        end = text.rfind(" ", 0, end)
    return 0


def _long_length(text: str, _before: str) -> int:
    return len(text) if is_valid("fr.nir", text) else 0


def _named(before: str) -> str:
    words = words_before(before)
    if not _NAME_WORDS.isdisjoint(words):
        found = next((_NAMES[phrase] for phrase in phrases(words) if phrase in _NAMES), "")
        if found:
            return found
    if before.isascii():
        return ""
    return next((kind for name, kind in _ASIAN_NAMES.items() if name in before[-16:]), "")


def _countries(form: str, text: str, before: str) -> str:
    """The countries of a form; none where a year, a time or the number of a thing has that form too."""
    is_year = form == "0000 0000 0000" and re.fullmatch(r"(?:(?:19|20)\d\d ?){3}", text)
    is_time = form == "0" * 13 and text.startswith(("15", "16", "17", "18", "19"))  # milliseconds since 1970
    is_file = form == "00000000-0000" and not re.match(r"19\d|200", text)  # named after a day and a time
    is_thing = is_year or is_time or is_file or not NUMBERED_WORDS.isdisjoint(words_before(before))
    return "" if is_thing else _FORMS.get(form, "")


ID_RULES: Final = (
    Rule(
        "national_id",
        r"-(?<=(?<![\w-])[0-8]\d\d-)(?<!000-)(?<!666-)(?!00)\d\d-(?!0000)\d{4}(?!\w|-\w)",
        ("-",),
        back=3,
    ),
    Rule(
        "national_id",
        r"[12](?<![\w.,-].)(?<!\d .) \d\d (?:0[1-9]|1[0-2]) (?:\d\d|2[AB]) \d{3} \d{3}(?: ?/? ?\d\d)?(?![\w-])",
        length=_long_length,
    ),
    Rule("national_id", _CANDIDATE, length=_length, words=_NAME_WORDS, unnamed=_formed_candidate),
)
