"""Forms of values of variables. A form takes the trimmed value and returns None if it is right.

Otherwise it returns the rest of a sentence that begins with the variable's name: what is wrong and what to write. The
sentence never repeats the value, which may be a secret.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Final

Form = Callable[[str], str | None]

SWITCHED_ON: Final = frozenset({"1", "true", "yes", "on"})
SWITCHED_OFF: Final = frozenset({"0", "false", "no", "off"})
_PLACEHOLDER = re.compile(r"<[\w -]+>|…|\.\.\.")
_EXAMPLE_KEY = re.compile(r"(?:^|[_\-/])your[-_ ]|change[-_ ]?me|replace[-_ ]?me|placeholder|x{5,}", re.IGNORECASE)
_STORES = ("file://", "s3://", "gs://", "memory://")


def common(value: str) -> str | None:
    """The form of every value: no quotes around it, no comment, printable characters only."""
    if value == "#" or value.startswith("# "):
        return "holds a comment; write the value there, and the comment on a line of its own"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"`":
        return "has quotes around its value; write the value without them"
    if not value.isprintable():
        return "holds a line end or another control character; write the value on one line"
    return None


def is_example(value: str) -> bool:
    """Whether the value looks like an example's placeholder for a key or project."""
    return bool(_EXAMPLE_KEY.search(value))


def text(value: str) -> str | None:
    """Any value but a placeholder from an example."""
    return "holds a placeholder from an example; write your own value" if _PLACEHOLDER.search(value) else None


def passphrase(value: str) -> str | None:
    """A secret of any characters."""
    return "holds a placeholder from an example; write your own value" if is_example(value) else text(value)


def word(value: str) -> str | None:
    """One word, such as a model's id."""
    if any(map(str.isspace, value)) or value.startswith("#"):
        return "holds a blank or a #; write one word, and comments on lines of their own"
    return text(value)


def key(value: str) -> str | None:
    """A key that an HTTP header can hold."""
    if not value.isascii() or any(character in value for character in " \"'`\\") or not value.isprintable():
        return "holds characters that no key has, such as a blank or a quote; write the key alone"
    if is_example(value):
        return "holds a placeholder from an example; write your own value"
    return word(value)


def publishable_key(value: str) -> str | None:
    """Supabase's publishable key, or the legacy anon key."""
    if value.startswith("sb_secret_") or _role(value) == "service_role":
        return "holds a secret key, which belongs in SUPABASE_SERVICE_KEY; write the publishable key (sb_publishable_…)"
    return _project_key(value) or key(value)


def secret_key(value: str) -> str | None:
    """Supabase's secret key, or the legacy service_role key."""
    if value.startswith("sb_publishable_") or _role(value) == "anon":
        return "holds the public key, which belongs in SUPABASE_ANON_KEY; write the secret key (sb_secret_…)"
    return _project_key(value) or key(value)


def _project_key(value: str) -> str | None:
    if value.startswith("sbp_"):
        return "holds an access token of the Supabase CLI; write the key from the project's API settings"
    if _role(value) == "authenticated":
        return "holds a user's access token; write the key from the project's API settings"
    if "://" in value:
        return "holds a URL; write the key from the project's API settings"
    return None


def _role(value: str) -> str | None:
    """The role of a legacy key, which is a JWT; None for other keys."""
    parts = value.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    role = claims.get("role") if isinstance(claims, dict) else None
    return role if isinstance(role, str) else None


def secret(fewest: int) -> Form:
    """A secret of at least `fewest` characters that an HTTP header can hold."""

    def form(value: str) -> str | None:
        if reason := key(value):
            return reason
        return long_text(fewest)(value)

    return form


def long_text(fewest: int) -> Form:
    """Any text of at least `fewest` characters."""

    def form(value: str) -> str | None:
        if len(value) >= fewest:
            return None
        return f"is too short; write at least {fewest} characters, for example the output of: openssl rand -hex 32"

    return form


def one_of(*names: str) -> Form:
    """One of these names, in any case."""

    def form(value: str) -> str | None:
        return None if value.lower() in names else f"is none of the known values; write one of {', '.join(names)}"

    return form


def switch(value: str) -> str | None:
    """A boolean."""
    return None if value.lower() in SWITCHED_ON | SWITCHED_OFF else "is neither on nor off; write 1 or 0"


def whole(fewest: int, most: int, what: str) -> Form:
    """A whole number within limits."""

    def form(value: str) -> str | None:
        is_number = value.isascii() and value.isdecimal() and len(value) <= len(str(most))
        if is_number and fewest <= int(value) <= most:
            return None
        return f"is not {what}; write a whole number from {fewest} to {most}"

    return form


def usd(value: str) -> str | None:
    """An amount of US dollars."""
    try:
        amount = Decimal(value)
    except InvalidOperation:
        amount = Decimal("nan")
    if amount.is_finite() and 0 <= amount < 10**9:
        return None
    return "is not a number of US dollars; write one such as 25 or 2.50, without a currency sign"


def listed(form: Form) -> Form:
    """Comma-separated values of one form; the reason names the wrong entry."""

    def each_form(value: str) -> str | None:
        entries = [entry.strip() for entry in value.split(",") if entry.strip()]
        if not entries:
            return "holds no value between its commas; write one, or leave it empty"
        for number, entry in enumerate(entries, 1):
            if reason := form(entry):
                return reason if len(entries) == 1 else f"has {len(entries)} entries, of which number {number} {reason}"
        return None

    return each_form


def email(value: str) -> str | None:
    """One e-mail address."""
    name, _, host = value.rpartition("@")
    if name and host and "@" not in name and not any(map(str.isspace, value)):
        return text(value)
    return "is not an e-mail address; write one such as scheduler@project.iam.gserviceaccount.com"


def headers(value: str) -> str | None:
    """Headers as OpenTelemetry writes them: `name=value` pairs between commas, values URL-encoded."""
    if all(re.fullmatch(r"\s*[\w\-]+\s*=\s*[^\s,;]+\s*", pair) for pair in value.split(",")):
        return text(value)
    return "is not a list of headers; write name=value pairs between commas, with %20 for a blank"


def webhook_secret(value: str) -> str | None:
    """A secret of Standard Webhooks: whsec_ and 24 to 64 bytes in base64."""
    try:
        size = len(base64.b64decode(value.removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if value.startswith("whsec_") and 24 <= size <= 64:
        return None
    return "is not whsec_ with 24 to 64 bytes in base64; write whsec_ and the output of: openssl rand -base64 32"


def encryption_keys(value: str) -> str | None:
    """Keys of 32 bytes with ids: `id:base64` between commas."""
    ids: list[str] = []
    for entry in value.split(","):
        key_id, _, key = entry.strip().partition(":")
        try:
            size = len(base64.b64decode(key, validate=True))
        except ValueError:
            size = 0
        if size != 32 or not re.fullmatch(r"[\w.\-]{1,32}", key_id, re.ASCII):
            return "is no list of keys; write id:key between commas, each key the output of: openssl rand -base64 32"
        ids.append(key_id)
    return None if len(set(ids)) == len(ids) else "has two keys with one id; give every key an id of its own"


def parameter_path(value: str) -> str | None:
    """A path of AWS's Parameter Store."""
    if reason := text(value):
        return f"{reason}, such as ssm:/parley/prod/"
    return None if re.fullmatch(r"ssm:/[\w.\-/]*", value) else "is not of the form ssm:/path/; write ssm:/parley/prod/"


def store(value: str) -> str | None:
    """A URL of an object store: a folder or a bucket."""
    scheme = next((each for each in _STORES if value.startswith(each)), None)
    example = "file:///var/spool/parley, s3://bucket/spool or gs://bucket/spool"
    if scheme is None:
        return f"is not a file, s3 or gs URL; write one such as {example}"
    rest = value.removeprefix(scheme)
    if (scheme == "file://" and not rest.startswith("/")) or (scheme in {"s3://", "gs://"} and not rest.strip("/")):
        return f"names no {'absolute path' if scheme == 'file://' else 'bucket'}; write one such as {example}"
    return word(value)


def file(value: str) -> str | None:
    """The path of a file, which need not exist."""
    if "://" in value:
        return "is a URL; write the path of a file, such as data/trading.duckdb"
    if value.startswith("~"):
        return "begins with ~, which only a shell replaces; write the whole path"
    if os.path.isdir(value):  # noqa: PTH112 - pathlib raises for a name that is too long
        return "is a directory; write the path of a file, such as data/trading.duckdb"
    return text(value)
