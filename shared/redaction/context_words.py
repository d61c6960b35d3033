"""The words before a number, by which it belongs to a phone, an order or a national id."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Final

_WORD = re.compile(r"[^\W\d_]+")
# A bracket ends the label of what was replaced; the digits of "ISBN-10" belong to a word.
_BREAK = re.compile(r"[\n;\]]|\d(?<![A-Za-z]-\d)(?<![A-Za-z]-\d\d)")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # of a name such as phoneNumber
_MAX_WORDS = 4


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PHONE_WORDS: Final = _words(
    "phone telephone tel tele telefon telefono tel\xe9fono t\xe9l\xe9phone telephonenumber phonenumber mobile "
    "mob mobil mobiltelefon mobilnummer mobilenumber handy handynummer telefonnummer rufnummer cell cellphone "
    "cellulare celular m\xf3vil movil portable fax telefax whatsapp viber sms telefone telemovel telem\xf3vel "
    "puhelin telefoon telefoonnummer gsm puhelinnumero \u0442\u0435\u043b\u0435\u0444\u043e\u043d "
    "\u0442\u0435\u043b \u043c\u043e\u0431 \u043d\u043e\u043c\u0435\u0440 \u0647\u0627\u062a\u0641 "
    "\u062c\u0648\u0627\u0644 \u05d8\u05dc\u05e4\u05d5\u05df \u03c4\u03b7\u03bb\u03ad\u03c6\u03c9\u03bd\u03bf "
    "\u03c4\u03b7\u03bb hotline sdt ph "
    "tlf komorka kom\xf3rka"
)
"""After one of these, seven digits or more are a phone number."""
CALL_WORDS: Final = _words(
    "call ring dial text reach contact callback message signal telegram imessage anrufen anruf ruf erreichbar appelle "
    "appelez joindre llama llame ll\xe1mame llamar ligue chiama chiamami bel zadzwo\u0144 hubungi telpon hp "
    "\u043f\u043e\u0437\u0432\u043e\u043d\u0438 ping"
)
"""After one of these, what has the form of a country's phone number is one."""
NUMBER_WORDS: Final = _words("number nummer num\xe9ro n\xfamero numero numer nomor")
"""The same, for groups of digits or after "my"."""
NUMBERED_WORDS: Final = _words(
    "order invoice ticket isbn issn ean gtin upc sku parcel part serial tracking case reference ref "
    "transaction version section release build rfc bug issue article item batch lot commit row rows seq epoch "
    "pid timestamp catalogue bestellung bestellnummer rechnung rechnungsnummer commande pedido lccn doi "
    "pmid arxiv port line lines volume volumes revenue firmware oid chapter clause paragraph model zip zips "
    "postcode page pages record user_id auftrag kundennummer sendung artikel artikelnummer coordinates lat "
    "lon closes levels score scores seed"
)
"""After one of these stands the number of a thing."""
VERSION_WORDS: Final = _words(
    "ver sec art version versions"
    " release build firmware driver section clause chapter oid assembly update sdk plugin agent chrome "
    "safari firefox edg opr api runtime upgrade upgraded package patch"
)
"""After one of these, four numbers with dots are a version."""
ASIAN_PHONE_WORDS: Final = (
    *("\u7535\u8bdd", "\u96fb\u8a71", "\u624b\u673a", "\u624b\u6a5f", "\u643a\u5e2f", "\u8054\u7cfb", "\u806f\u7d61"),
    *(
        "\u092b\u0947\u0932\u0940",
        "\u092b\u093c\u094b\u0928",
        "\u092b\u094b\u0928",
        "\u092e\u094b\u092c\u093e\u0907\u0932",
    ),
    *("\uc804\ud654", "\ud734\ub300\ud3f0", "\ud578\ub4dc\ud3f0", "\uc5f0\ub77d\ucc98", "\u0e42\u0e17\u0e23"),
)
"""Languages without spaces: these count among the last characters before a number."""


def follows_a_word(before: str) -> bool:
    """Whether a word and at most a few signs stand before a number; cheap, as most numbers follow others."""
    return before.rstrip(" :#=\"'(.-\t\\")[-1:].isalpha()


@functools.lru_cache(1024)
def words_before(before: str) -> tuple[str, ...]:
    """The last words before a number, in lower case, without those of another number or line."""
    tail = _BREAK.split(before)[-1]
    words: list[str] = []
    for word in _WORD.findall(tail)[-_MAX_WORDS:]:
        words += _parts(word)
    return tuple(words)


def words_of(text: str) -> frozenset[str]:
    """All words of a text, as `words_before` gives them."""
    return frozenset(part for word in set(_WORD.findall(text)) for part in _parts(word))


def _parts(word: str) -> list[str]:
    """The word in lower case, and its parts if it is one such as phoneNumber."""
    parts = _PART.findall(word) if word.isascii() and not word.islower() else ()
    if len(parts) > 1 and min(map(len, parts)) > 1:  # not iPhone
        return [*(part.lower() for part in parts), word.lower()]
    return [word.lower()]


def phrases(words: tuple[str, ...]) -> Iterator[str]:
    """Each run of up to three of the words, the longest first."""
    for size in (3, 2, 1):
        for at in range(len(words) - size, -1, -1):
            yield " ".join(words[at : at + size])
