"""Environment variables: what the caller gave, what is made up for the rest, and the file that tells others."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from local.folder import Folder, write_private
from local.ports import Ports

ROOT = Path(__file__).resolve().parent.parent
PROVIDER_KEYS = ("GOOGLE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "MATCHA_API_KEY")
_OWN = "PARLEY_OWN"  # in the file: fingerprints of the values that the stack made up


def given() -> dict[str, str]:
    """What the caller chose: the process's environment, over `.env` in the project's root; empty values are none.

    A shell that has sourced a data directory's file still holds what that stack made up. Those values are nobody's
    choice: taken for one, they would send the functions to a Supabase that is not running.
    """
    stated = {**read_file(ROOT / ".env"), **os.environ}
    own = set(stated.pop(_OWN, "").split())
    return {name: value for name, value in stated.items() if value and _fingerprint(name, value) not in own}


def made_up(folder: Folder, ports: Ports) -> dict[str, str]:
    """What every function is told unless the caller said otherwise, whichever Supabase they use."""
    return {
        "CRON_SECRET": folder.secret("CRON_SECRET"),
        "HASH_PEPPER": folder.secret("HASH_PEPPER"),
        "SPOOL_URL": folder.spool.as_uri(),
        "DATABASE_PATH": str(folder.trading),
        "CORS_ORIGINS": f"{ports.url('page')},http://localhost:{ports.page}",
    }


def read_file(path: Path) -> dict[str, str]:
    """The NAME=VALUE lines of a dotenv file; nothing when there is no such file."""
    if not path.is_file():
        return {}
    values = {}
    for line in path.read_text().splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            values[name.strip()] = _unquoted(value.strip())
    return values


def _unquoted(value: str) -> str:
    if not value.startswith(("'", '"')):
        return value.split(" #", maxsplit=1)[0].rstrip()
    try:
        return "".join(shlex.split(value, comments=True))
    except ValueError:  # an apostrophe without its partner
        return value


def write_file(path: Path, values: Mapping[str, str], own: Iterable[str]) -> None:
    """Replaces the file at once, mode 0600, in a form that both sh and dotenv readers take."""
    marks = " ".join(_fingerprint(name, values[name]) for name in own)
    lines = [f"{name}={_quoted(value)}" for name, value in (*values.items(), (_OWN, marks))]
    write_private(path, "# Written by `python -m local up` each time it is ready.\n" + "\n".join(lines) + "\n")


def _fingerprint(name: str, value: str) -> str:
    return f"{name}:{hashlib.sha256(value.encode()).hexdigest()[:8]}"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\"'\"'") + "'"
