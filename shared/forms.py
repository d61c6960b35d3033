"""What a variable's value must look like. Each form takes the trimmed value and returns None when it is right.

Otherwise it returns the rest of a sentence that begins with the variable's name: what is wrong and what to write. It
never repeats the value, which may be a secret.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

Form = Callable[[str], str | None]

SWITCHED_ON: Final = frozenset({"1", "true", "yes", "on"})
SWITCHED_OFF: Final = frozenset({"0", "false", "no", "off"})
_PLACEHOLDER = re.compile(
    r"<[\w -]+>|…|\.\.\.|(?:^|[/_\-])your[-_ ]|change[-_ ]?me|replace[-_ ]?me|placeholder|x{5,}", re.IGNORECASE
)
_HOST = re.compile(r"[\w.\-]+|[0-9a-f:.]+(?:%[\w.\-]+)?", re.IGNORECASE)
_PATH = re.compile(r"[\w.~%/:@!$&'()*+=\-]*")
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".svc", ".test", ".home.arpa")
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.\-]*)://(?P<host>[a-z0-9._\-]+|\[[0-9a-f:.]+\])(?::(?P<port>\d{1,5}|\*))?"
)
_LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_APIS = frozenset({"rest", "auth", "storage", "functions", "realtime", "graphql", "dashboard"})
_STORES = ("file://", "s3://", "gs://", "memory://")


def common(value: str) -> str | None:
    """What is wrong with a value whatever it is for: quotes, a comment, or characters that do not print."""
    if value == "#" or value.startswith("# "):
        return "holds a comment; write the value there, and the comment on a line of its own"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"`":
        return "has quotes around its value; write the value without them"
    if not value.isprintable():
        return "holds a line end or another control character; write the value on one line"
    return None


def text(value: str) -> str | None:
    """Any value that is not an example's placeholder."""
    return "holds a placeholder from an example; write your own value" if _PLACEHOLDER.search(value) else None


def word(value: str) -> str | None:
    """One word, such as a model's id."""
    if any(map(str.isspace, value)) or value.startswith("#"):
        return "holds a blank or a #; write one word, and comments on lines of their own"
    return text(value)


def key(value: str) -> str | None:
    """A key that can travel in an HTTP header."""
    if not value.isascii() or any(character in value for character in " \"'`\\") or not value.isprintable():
        return "holds characters that no key has, such as a blank or a quote; write the key alone"
    return word(value)


def publishable_key(value: str) -> str | None:
    """Supabase's publishable key, or the legacy anon key."""
    if value.startswith("sb_secret_") or _role(value) == "service_role":
        return (
            "holds a secret key, which belongs in SUPABASE_SERVICE_KEY; write the key that begins with sb_publishable_"
        )
    return _project_key(value) or key(value)


def secret_key(value: str) -> str | None:
    """Supabase's secret key, or the legacy service_role key."""
    if value.startswith("sb_publishable_") or _role(value) == "anon":
        return "holds the public key, which belongs in SUPABASE_ANON_KEY; write the key that begins with sb_secret_"
    return _project_key(value) or key(value)


def _project_key(value: str) -> str | None:
    if value.startswith("sbp_"):
        return "holds an access token of the Supabase CLI; write the key from the project's API settings"
    if _role(value) == "authenticated":
        return "holds a person's access token; write the key from the project's API settings"
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
    """A secret of at least so many characters that can travel in a header."""

    def form(value: str) -> str | None:
        if reason := key(value):
            return reason
        return long_text(fewest)(value)

    return form


def long_text(fewest: int) -> Form:
    """Any text of at least so many characters."""

    def form(value: str) -> str | None:
        if len(value) >= fewest:
            return None
        return f"has {len(value)} characters; write at least {fewest}, for example the output of: openssl rand -hex 32"

    return form


def url(
    example: str,
    *,
    has_path: bool = True,
    has_query: bool = False,
    plain_http: Literal["private", "loopback"] = "private",
) -> Form:
    """An https URL without user name and fragment; http only to private or loopback hosts."""

    def form(value: str) -> str | None:
        if reason := text(value):
            return f"{reason}, such as {example}"
        try:
            parts = urlsplit(value)
            is_whole = bool(parts.hostname and _HOST.fullmatch(parts.hostname)) and parts.port != 0
        except ValueError:
            return f"is not a URL; write one such as {example}"
        if parts.scheme not in {"http", "https"}:
            return f"does not begin with https://; write a URL such as {example}"
        if "@" in parts.netloc:
            return f"holds a user name or password; write the URL alone, such as {example}"
        if not is_whole or not _PATH.fullmatch(parts.path):
            return f"is not a URL; write one such as {example}"
        if "#" in value or ("?" in value and not has_query):
            return f"has a part after ? or #; write the URL without it, such as {example}"
        if not has_path and parts.path not in {"", "/"}:
            return f"has a path; write only scheme and host, such as {example}"
        return _insecure(parts, plain_http, example)

    return form


def project_url(value: str) -> str | None:
    """A Supabase project's address, below which its APIs are; a proxy may put it below a path of its own."""
    example = "https://<project>.supabase.co"
    if reason := url(example)(value):
        return reason
    parts = urlsplit(value)
    is_hosted = parts.hostname and parts.hostname.endswith((".supabase.co", "supabase.com"))
    if _APIS & set(parts.path.split("/")) or (is_hosted and parts.path.strip("/")):
        return f"has a path; write only scheme and host, such as {example}"
    return None


def _insecure(parts: SplitResult, plain_http: str, example: str) -> str | None:
    host = parts.hostname or ""
    is_near = is_loopback(host) if plain_http == "loopback" else is_private(host)
    if parts.scheme == "https" or is_near:
        return None
    return f"uses http to a {'remote' if plain_http == 'loopback' else 'public'} host; write https, such as {example}"


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(host: str) -> bool:
    """Whether the host is on this machine or a network of the operator's own, by its address or name."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_SUFFIXES)


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
    """Comma-separated values of one form; the reason says which of them is wrong."""

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


def origin(value: str) -> str | None:
    """An origin as browsers send it; a loopback host may have * as its port."""
    example = "such as https://app.example.com"
    if value == "*":
        return f"is *, which would admit every page; write exact origins, {example}"
    if reason := text(value):
        return f"{reason}, {example}"
    if value != value.lower():
        return f"has capital letters, which browsers never send; write it in lower case, {example}"
    found = _ORIGIN.fullmatch(value)
    if not found:
        return f"is not scheme://host or scheme://host:port; write it without a path or a slash at its end, {example}"
    if found["port"] == "*" and not (found["host"] in _LOOPBACK_HOSTS and found["scheme"] in _DEFAULT_PORTS):
        return f"has * as its port, which only localhost, 127.0.0.1 and [::1] may have; write the port, {example}:8443"
    if found["port"] and found["port"] == _DEFAULT_PORTS.get(found["scheme"]):
        return f"names the default port, which browsers leave out; write it without, {example}"
    if found["port"] not in {None, "*"} and not 0 < int(found["port"]) <= 65_535:
        return f"has a port that does not exist; write one from 1 to 65535, {example}:8443"
    return None


LOOPBACK_ORIGINS: Final = tuple(f"{scheme}://{host}:*" for scheme in _DEFAULT_PORTS for host in _LOOPBACK_HOSTS)
"""Every origin of this machine, as entries of CORS_ORIGINS."""


def admits(entries: frozenset[str], asking: str) -> bool:
    """Whether an Origin header is one of these entries, or a loopback host of an entry with * as its port."""
    if asking in entries:
        return "*" not in asking
    found = _ORIGIN.fullmatch(asking)
    if not found or found["host"] not in _LOOPBACK_HOSTS or found["port"] == "*":
        return False
    return f"{found['scheme']}://{found['host']}:*" in entries


def parameter_path(value: str) -> str | None:
    """Where AWS's Parameter Store keeps the secrets."""
    if reason := text(value):
        return f"{reason}, such as ssm:/parley/prod/"
    return None if re.fullmatch(r"ssm:/[\w.\-/]*", value) else "is not of the form ssm:/path/; write ssm:/parley/prod/"


def store(value: str) -> str | None:
    """A place for objects: a folder or a bucket."""
    scheme = next((each for each in _STORES if value.startswith(each)), None)
    example = "file:///var/spool/parley, s3://bucket/spool or gs://bucket/spool"
    if scheme is None:
        return f"is not a file, s3 or gs URL; write one such as {example}"
    rest = value.removeprefix(scheme)
    if (scheme == "file://" and not rest.startswith("/")) or (scheme in {"s3://", "gs://"} and not rest.strip("/")):
        return f"names no {'absolute path' if scheme == 'file://' else 'bucket'}; write one such as {example}"
    return word(value)


def file(value: str) -> str | None:
    """A path of a file, which need not exist."""
    if "://" in value:
        return "is a URL; write the path of a file, such as data/trading.duckdb"
    if value.startswith("~"):
        return "begins with ~, which only a shell replaces; write the whole path"
    if Path(value).is_dir():
        return "is a directory; write the path of a file, such as data/trading.duckdb"
    return text(value)
