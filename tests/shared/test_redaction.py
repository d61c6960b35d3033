"""Redaction: personal data and credentials are replaced, other text stays."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from string import ascii_letters

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.redaction import redact
from shared.redaction.context_words import NUMBERED_WORDS, VERSION_WORDS, words_before

ROOT = Path(__file__).resolve().parents[2]
PLANTED = [
    ("ada@example.com", "email"),
    ("4111 1111 1111 1111", "card"),
    ("5500-0000-0000-0004", "card"),
    ("DE89 3704 0044 0532 0130 00", "iban"),
    ("+49 170 1234567", "phone"),
    ("(555) 123-4567", "phone"),
    ("203.0.113.9", "ip"),
    ("078-05-1120", "national_id"),
    ("sk-proj-" + "a1" * 20, "key"),
    ("hf_" + "A1b2" * 9, "key"),
    ("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_", "jwt"),
    ("sb_secret_" + "N7UND0UgjKTVK" * 2, "key"),
    ("+4917112345678", "phone"),
    ("+49 (0)171 1234567", "phone"),
    ("+49\xa0171\xa01234567", "phone"),
    ("+49 171\u2011123\u20114567", "phone"),
    ("+34 612 345 678", "phone"),
    ("01711234567", "phone"),
    ("004917112345678", "phone"),
    ("0171/1234567", "phone"),
    ("01 23 45 67 89", "phone"),
    ("555-123-4567", "phone"),
    ("1-800-555-1234", "phone"),
    ("4111\xa01111\xa01111\xa01111", "card"),
    ("4111.1111.1111.1111", "card"),
    ("4111\n1111\n1111\n1111", "card"),
    ("4111 1111\r\n1111 1111", "card"),
    ("4111  1111  1111  1111", "card"),
    ("\uff14" + "\uff11" * 15, "card"),
    ("3782 822463 10005", "card"),
    ("de89370400440532013000", "iban"),
    ("DE89-3704-0044-0532-0130-00", "iban"),
    ("DE89\xa03704\xa00044\xa00532\xa00130\xa000", "iban"),
    ("2001:db8::1", "ip"),
    ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "ip"),
    ("2001:DB8:1:2:3:4:5:6", "ip"),
    ("::ffff:203.0.113.9", "ip"),
    ("fe80::1ff:fe23:4567:890a", "ip"),
    ("alice%40example.com", "email"),
    (r"alice\u0040example.com", "email"),
    ("alice&#64;example.com", "email"),
    ("\u0438\u0432\u0430\u043d@\u043f\u043e\u0447\u0442\u0430.\u0440\u0444", "email"),
    ("ASIA" + "ABCD" * 4, "key"),
    ("github_pat_" + "11ABCDEFG0_" * 5, "key"),
    ("gsk_" + "abCD12" * 8, "key"),
]
HARMLESS = [
    "4,111.50",
    "$4111.1111",
    "2026-11-21 14:30:00",
    "05.11.2026 14:30",
    "07-04-2026",
    "01 11 2026",
    "05.2026 120340",
    "from 01.01.2026 to 09.11.2026",
    "05-11-2026 12:00:00",
    "14:30",
    "12:34:56",
    "20261121143000",
    "2023 2024 2025 2026",
    "+0.12345678 BTC moved",
    "+1234.5678",
    "+50000000",
    "up +10 000 000 EUR",
    "+10 000 000 000 EUR",
    "volumes 120 340 5600 today",
    "AAPL 190 200 2100",
    "AAPL call 190 200 2100",
    "AAPL +2.35 190.25 1204300",
    "+2 190.25 1204300",
    "closes 101.250.3000",
    "4512\n4513\n4511\n4514\n4517\n4510\n4519",
    "Revenue (2026) 120340500",
    "iPhone 13 14 15 16 17",
    "ESZ6",
    "gpt-4o-2024-08-06",
    "claude-3-7-sonnet-20250219",
    "gemini-2.5-flash-lite",
    "127.0.0.1:8080",
    "version 3.11.7",
    "version 1.2.3.4",
    "0.00000040",
    "1/32",
    "1234567890123456",
    "DE88370400440532013000",  # check sums of no IBAN
    "GB83 WEST 1234 5698 7654 32",
    "00:1a:2b:3c:4d:5e",
    "::1 or ::",
    "10::20",
    "std::vector<int> a; b::c::d",
    "a[::2] + b[10::20]",
    "max_tokens: 4096",
    "token: string",
    "token = os.environ.get_the_name",
    "secretary: Anna",
    '"password": null, "secret": true',
    "bearer of bad news",
    "pkg@1.2.3",
]


@pytest.mark.parametrize(("text", "label"), PLANTED)
def test_personal_data_is_replaced_by_its_kind(text: str, label: str) -> None:
    """Each kind of personal datum or key is replaced; the text around it stays."""
    assert redact(f"before {text} after") == f"before [{label}] after"


@pytest.mark.parametrize("text", HARMLESS)
def test_prices_tickers_dates_and_model_names_stay(text: str) -> None:
    """They are not mistaken for personal data."""
    assert redact(f"buy at {text} now") == f"buy at {text} now"


def _digits(least: int, most: int | None = None) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=least, max_size=most or least)


def _letters(alphabet: str, *sizes: int) -> st.SearchStrategy[str]:
    return st.sampled_from(sizes).flatmap(lambda size: st.text(alphabet, min_size=size, max_size=size))


_THOUSANDS = st.lists(_digits(3), min_size=1, max_size=2).map(" ".join)
_TIMES = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2099, 12, 31))  # noqa: DTZ001 - any clock's
UNTOUCHED = st.one_of(
    st.tuples(_TIMES, st.sampled_from(["%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %m %Y", "%Y-%m-%d", "%d.%m.%y"])).map(
        lambda both: both[0].strftime(both[1])
    ),
    st.tuples(_TIMES, st.sampled_from(["%H:%M:%S", "%d.%m.%Y %H:%M", "%m-%d-%Y %H:%M:%S", "%Y%m%d%H%M%S"])).map(
        lambda both: both[0].strftime(both[1])
    ),
    _TIMES.map(lambda time: f"{time.isoformat()}Z"),
    st.decimals(0, 99999, places=2).map(str),
    st.builds("{}{}.{}".format, st.sampled_from("+-"), _digits(1, 4), _digits(1, 8)),
    st.builds("{}{} {}".format, st.sampled_from(["", "+", "-"]), st.integers(1, 999), _THOUSANDS),
    st.lists(st.integers(100, 999), min_size=2, max_size=5).map(lambda volumes: " ".join(map(str, volumes))),
    st.lists(st.integers(0, 999), min_size=3, max_size=3).map(lambda parts: ".".join(map(str, parts))),
    st.uuids().map(str),
    st.integers(1, 65535).map("localhost:{}".format),
    _letters("0123456789abcdef", 7, 32, 40, 64).map("sha {}".format),
    st.builds(
        "{}_{}".format, st.sampled_from(["req", "msg", "call", "resp"]), _letters(ascii_letters + "0123456789", 24)
    ),
    st.sampled_from(["AAPL", "ESZ6", "BRK.B", "EUR/USD", "gpt-4o-2024-08-06", "claude-opus-4-5-20251101"]),
    st.sampled_from(["a[1::2]", "std::map<int, int>", "x = {'id': 7}", "f(0.5, 1e-9)", "if a == b:", "$4111.1111"]),
)


@given(st.lists(UNTOUCHED, min_size=1, max_size=5))
def test_ordinary_numbers_stay_unchanged(words: list[str]) -> None:
    """Dates, prices, volumes, hashes, ids, times, versions and code stay, whatever their digits."""
    text = ", ".join(words)
    assert redact(f"see {text} and go on") == f"see {text} and go on"


@given(st.lists(UNTOUCHED, max_size=3), st.sampled_from(PLANTED), st.lists(UNTOUCHED, max_size=3))
def test_personal_data_is_found_among_ordinary_numbers(
    before: list[str], plant: tuple[str, str], after: list[str]
) -> None:
    """Only the datum is replaced; its neighbours neither hide it nor are replaced."""
    text, label = plant
    line = ", ".join([*before, "{}", *after])
    assert redact(line.replace("{}", text)) == line.replace("{}", f"[{label}]")


def _names_a_number(text: str) -> bool:
    """Whether the last words name a number that is no datum: `order`, `version`, `§`."""
    return text.rstrip().endswith("\u00a7") or not (NUMBERED_WORDS | VERSION_WORDS).isdisjoint(words_before(text))


@given(
    st.text().filter(lambda text: not _names_a_number(f"{text} ")),
    st.sampled_from([text for text, _ in PLANTED]),
    st.text(),
)
def test_planted_data_between_spaces_is_always_replaced(before: str, planted: str, after: str) -> None:
    """A datum between spaces is replaced in any text whose last words do not name another number."""
    assert planted not in redact(f"{before} {planted} {after}")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("password: hunter22", "password: [secret]"),
        ("password: pass", "password: [secret]"),
        ('api_key="abcdefgh"', 'api_key="[secret]"'),
        ("Authorization: Bearer abcdefgh", "Authorization: Bearer [secret]"),
        ("Bearer abcdefghijklmnopqrstuvwxyz", "Bearer [secret]"),
        ("x-goog-api-key: AbCdEfGh", "x-goog-api-key: [secret]"),
        ("{'password': 'hunter22'}", "{'password': '[secret]'}"),
        ("'password' => 'a b'", "'password' => '[secret]'"),
        ('"password": "correct \\"horse\\", battery"', '"password": "[secret]"'),
        ('{\\"password\\": \\"hunter2xyz\\"}', '{\\"password\\": \\"[secret]\\"}'),
        ('{\\\\\\"pwd\\\\\\":\\\\\\"hunter2xyz\\\\\\"}', '{\\\\\\"pwd\\\\\\":\\\\\\"[secret]\\\\\\"}'),
        ('"userPassword":"hunter2xyz"', '"userPassword":"[secret]"'),
        ('"secretAccessKey": "wJalr/XUtn"', '"secretAccessKey": "[secret]"'),
        ("aws_secret_access_key=wJalr/XUtn+x=", "aws_secret_access_key=[secret]"),
        ("DB_PASSWORD=hunter2;x=1", "DB_PASSWORD=[secret];x=1"),
        ("token: abcdefghijklmnop1234", "token: [secret]"),
        ("token=abcdefghijklmnopqrstuvwxyz", "token=[secret]"),
        ("redis://:hunter2@db.example", "redis://[credentials]@db.example"),
        ("postgres://parley:hunter2@db.example/x", "postgres://[credentials]@db.example/x"),
        ("postgres://parley:hunt@r2@db.example/x", "postgres://[credentials]@db.example/x"),
    ],
)
def test_the_value_after_the_name_of_a_secret_is_replaced(text: str, redacted: str) -> None:
    """The name stays; the whole value is replaced, in prose, code, URLs, and JSON within JSON."""
    assert redact(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("4111 1111 1111 1111 12/27 123", "[card] 12/27 123"),
        ("4111 1111 1111 1111 123", "[card] 123"),
        ("25 4111 1111 1111 1111", "25 [card]"),
        ("2500 5500-0000-0000-0004 99", "2500 [card] 99"),
        ("4111111111111111 2027", "[card] 2027"),
        ("4111 1111 1111 1111 5500 0000 0000 0004", "[card] [card]"),
        ("3782 822463 10005 1126", "[card] 1126"),
        ("ES91 2100 0418 4502 0005 1332 CODE", "[iban] CODE"),
        ("DE89370400440532013000", "[iban]"),
        ("id-4111111111111111", "id-[card]"),
        ("card_4111 1111 1111 1111-", "card_[card]-"),
        ("4111111111111111.0", "[card].0"),
        ("4111 1111 1111 1111\n5500 0000 0000 0004\n", "[card]\n[card]\n"),
        ("AB12 DE89 3704 0044 0532 0130 00 2026", "AB12 [iban] 2026"),
    ],
)
def test_a_card_or_iban_is_found_among_other_groups(text: str, redacted: str) -> None:
    """An expiry date behind it, or a number before it, does not hide it."""
    assert redact(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----.", "[private_key]."),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "[private_key]"),
        ("sk-ant-api03-" + "x" * 30, "[key]"),
        ("AIza" + "x" * 35, "[key]"),
        ("AKIAABCDEFGHIJKLMNOP", "[key]"),
        ("ghp_" + "a" * 36, "[key]"),
        ("FR14 2004 1010 0505 0001 3M02 606", "[iban]"),
        ("ada+lists@mail.example.co.uk,bob@b.de", "[email],[email]"),
        ("call 0170 1234567 or 555-123-4567", "call [phone] or [phone]"),
        ("call 555 123 4567 or phone: 5551234567", "call [phone] or phone: [phone]"),
        ("tel:+4917112345678 at:0171 1234567", "tel:[phone] at:[phone]"),
        ("+49 171 123456 5.00, +1 555 123 4567 2 times", "[phone] 5.00, [phone] 2 times"),
        ("call 555-123-4567, 0.100.100", "call [phone], 0.100.100"),
        ("10.0.0.1, 203.0.113.9.", "[ip], [ip]."),
        ("http://[2001:db8::8a2e:370]:443/ ip:2001:db8::1: up", "http://[[ip]]:443/ ip:[ip]: up"),
        ("fe80::1ff:fe23:4567%eth0", "[ip]%eth0"),
        ("'ada@example.com'", "'[email]'"),
        ("from ada@example.com_old", "from [email]_old"),
        ("two\nada@example.com\nlines", "two\n[email]\nlines"),
    ],
)
def test_other_kinds_are_replaced_too(text: str, redacted: str) -> None:
    """Keys, credentials and values with the name of a secret are replaced; the rest of the text stays."""
    assert redact(text) == redacted


@given(st.text())
def test_redacting_twice_is_redacting_once(text: str) -> None:
    """A second redaction changes nothing."""
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "DE88 3704 0044 0532 0130 00",
        "IBAN: GB83 WEST 1234 5698 7654 32.",
        "FR15 2004 1010 0505 0001 3M02 606 and",
        "call IT61X0542811101000000123456",
    ],
)
def test_an_iban_with_a_wrong_check_sum_stays_as_a_whole(text: str) -> None:
    """None of its groups is taken for a card, a phone number or a national id."""
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("4111\u200b1111\u200b1111\u200b1111", "[card]"),
        ("ada\u2060@exam\u200dple.com", "[email]"),
        ("+49 17\xad1 123\u200b4567", "[phone]"),
        ("sk-\u200b" + "a1" * 20, "[key]"),
        ("x\u200b4111111111111111", "x\u200b[card]"),
        ("\U0001d7f0111 1111 1111 1111", "[card]"),
        ("a family \U0001f468\u200d\U0001f469 at home", "a family \U0001f468\u200d\U0001f469 at home"),
    ],
)
def test_invisible_characters_hide_nothing(text: str, redacted: str) -> None:
    """A zero-width character within a datum does not hide it; elsewhere it stays."""
    assert redact(text) == redacted


_HOSTILE = (
    "1 ",
    "12-",
    "a.",
    "@",
    "a:",
    "4111 ",
    "DE89 ",
    "password=",
    "(1",
    "eyJa.",
    "1\u200b",
    "a at b dot ",
    "\\\\'",
    "--password ",
)
_SCRIPT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
from shared.redaction import redact
for each in {texts!r}:
    redact((each * 100_000)[:100_000])
"""


@pytest.mark.processes
def test_time_is_linear_in_hostile_texts() -> None:
    """A process with a minute of CPU redacts 1.4 MB of repeated beginnings; quadratic time would take hours."""
    script = _SCRIPT.format(texts=_HOSTILE)
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


@pytest.mark.processes
def test_a_text_without_numbers_loads_no_numbering_plans() -> None:
    """The libraries of phone numbers and national ids are imported by the first text with a candidate."""
    script = (
        "import sys; from shared.redaction import redact; lazy = {'phonenumbers', 'stdnum'}; "
        "redact('hello, what is a token? In 2024 it cost 3.50'); assert not lazy & set(sys.modules); "
        "redact('98765 43210 and 111.444.777-35'); assert lazy <= set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
