"""Forms of URLs and of browser origins. Their results are those of `forms`: None, or the reason."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

from shared.forms import Form, is_example, text

_HOST = re.compile(r"[\w.\-]+|[0-9a-f:.]+(?:%[\w.\-]+)?", re.IGNORECASE)
_PATH = re.compile(r"[\w.~%/:@!$&'()*+=\-]*")
# Public services: a key must not be sent to them over plain http.
_PUBLIC_SUFFIXES = (
    ".supabase.co",
    ".supabase.com",
    ".googleapis.com",
    ".anthropic.com",
    ".openai.com",
    ".huggingface.co",
)
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.\-]*)://(?P<host>[a-z0-9._\-]+|\[[0-9a-f:.]+\])(?::(?P<port>\d{1,5}|\*))?"
)
_LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_OTHER_ROLES = frozenset({"postgres", "supabase_admin", "service_role", "authenticator", "authenticated", "anon"})
_APIS = frozenset({"rest", "auth", "storage", "functions", "realtime", "graphql", "dashboard"})


def url(
    example: str,
    *,
    has_path: bool = True,
    has_query: bool = False,
    plain_http: Literal["private", "loopback"] = "private",
) -> Form:
    """The form of an https URL without user name and fragment; http is for private or loopback hosts only."""

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
    """The form of a Supabase project's URL; a proxy in front of it may add a path."""
    example = "https://<project>.supabase.co"
    if reason := url(example)(value):
        return reason
    parts = urlsplit(value)
    is_hosted = parts.hostname and parts.hostname.endswith((".supabase.co", "supabase.com"))
    if is_hosted and is_example(parts.hostname or ""):
        return f"holds a placeholder from an example; write your project's URL, such as {example}"
    if _APIS & set(parts.path.split("/")) or (is_hosted and parts.path.strip("/")):
        return f"has a path; write only scheme and host, such as {example}"
    return None


def ledger_url(value: str) -> str | None:
    """The form of the address of PostgreSQL or its pooler, with the role that may call the ledger's functions only."""
    example = "postgresql://parley_ledger.<project>:<password>@<region>.pooler.supabase.com:6543/postgres"
    if reason := text(value):
        return reason
    try:
        parts = urlsplit(value)
        is_whole = bool(parts.hostname and _HOST.fullmatch(parts.hostname)) and parts.port != 0
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        is_whole = False
    if not is_whole or parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/") or parts.fragment:
        return f"is not a PostgreSQL URL; write one such as {example}, with %40 for an @ in the password"
    host, role = parts.hostname or "", (parts.username or "").split(".")[0]
    if not role or (not parts.password and not is_loopback(host)):
        return f"has no role or no password; write one such as {example}"
    if role in _OTHER_ROLES:
        return f"connects as {role}, which may do more than the ledger needs; write the role parley_ledger"
    if unknown := sorted(options.keys() - {"sslmode", "sslrootcert"}):
        return f"has the parameter {unknown[0]}; write no other than sslmode and sslrootcert"
    if options.get("sslmode", "verify-full") != "verify-full" and not is_loopback(host):
        return "has an sslmode that does not verify the server; leave it out, or write sslmode=verify-full"
    if host.endswith(".pooler.supabase.com") and parts.port != 6543:
        return "names the pooler's session mode, which keeps a connection for each instance; write port 6543"
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
    """Whether the host may be in a private network: it is neither a public address nor a known public service."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return not host.endswith(_PUBLIC_SUFFIXES)


def origin(value: str) -> str | None:
    """The form of an origin as browsers send it; a loopback host may have * as its port."""
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
"""Entries of CORS_ORIGINS that admit every origin of this machine."""


def admits(entries: frozenset[str], sent: str) -> bool:
    """Whether an Origin header equals one of the entries, or is a loopback host of an entry with * as its port."""
    if sent in entries:
        return "*" not in sent
    found = _ORIGIN.fullmatch(sent)
    if not found or found["host"] not in _LOOPBACK_HOSTS or found["port"] == "*":
        return False
    return f"{found['scheme']}://{found['host']}:*" in entries
