"""Environment variables: what the caller gave, what is made up for the rest, and the file that tells others."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from local.data_dir import DataDir, shown, write_private
from local.errors import StackError
from shared.addresses import LOOPBACK_ORIGINS
from shared.variables import laid_over, with_first_names

ROOT = Path(__file__).resolve().parent.parent
PROVIDER_KEYS = ("GOOGLE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "MATCHA_API_KEY")
_OWN = "PARLEY_OWN"  # in the file: fingerprints of the values that the stack made up


def given() -> dict[str, str]:
    """What the caller chose, each variable under its first name. Raises StackError for a `.env` that cannot be read."""
    return with_first_names(stated())


def stated() -> dict[str, str]:
    """What the caller chose as they wrote it: the process's environment, over `.env` in the project's root.

    Empty values are none. A shell that has sourced a data directory's file still holds what that stack made up. Those
    values are no choice: taken for one, they would send the functions to a Supabase that is not running.
    """
    return laid_over(*layers())


def layers() -> tuple[dict[str, str], dict[str, str]]:
    """The variables of `.env` and of the environment, each without those that a stack made up."""
    of_file, of_process = read_file(ROOT / ".env"), dict(os.environ)
    own = {mark for each in (of_file, of_process) for mark in each.pop(_OWN, "").split()}
    return _chosen(of_file, own), _chosen(of_process, own)


def _chosen(values: Mapping[str, str], own: set[str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value.strip() and _fingerprint(name, value) not in own}


def generated_variables(data_dir: DataDir) -> dict[str, str]:
    """What every function is told unless the caller said otherwise, whichever Supabase they use."""
    return {
        "CRON_SECRET": data_dir.secret("CRON_SECRET"),
        "HASH_PEPPER": data_dir.secret("HASH_PEPPER"),
        "SPOOL_URL": data_dir.spool.as_uri(),
        "DATABASE_PATH": str(data_dir.trading),
        "CORS_ORIGINS": ",".join(LOOPBACK_ORIGINS),  # of dev servers, on whichever port they listen
    }


def read_file(path: Path) -> dict[str, str]:
    """The variables of a dotenv file, each value as it stands there; nothing when there is no such file.

    Raises StackError for a file that cannot be read, with the number of the line that is wrong.
    """
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise StackError(f"{shown(path)} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StackError(f"{shown(path)} is not UTF-8 text; save it as UTF-8") from None
    values = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise StackError(f"{shown(path)}, line {_line(binding.original.string, binding.original.line)}: {_SYNTAX}")
        if binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    return values


_SYNTAX = "this is not NAME=value; write it so, with a quote at both ends of the value or at neither"


def _line(statement: str, first: int) -> int:
    """The number of the line of the statement's first word: empty lines before it are a part of it."""
    return first + statement[: len(statement) - len(statement.lstrip())].count("\n")


def write_file(path: Path, values: Mapping[str, str], own: Iterable[str]) -> None:
    """Replaces the file at once, mode 0600, in a form that both sh and dotenv readers take."""
    marks = " ".join(_fingerprint(name, values[name]) for name in own)
    lines = [f"{name}={_quoted(value)}" for name, value in (*values.items(), (_OWN, marks))]
    write_private(path, "# Written by `python -m local up` each time it is ready.\n" + "\n".join(lines) + "\n")


def _fingerprint(name: str, value: str) -> str:
    return f"{name}:{hashlib.sha256(value.encode()).hexdigest()[:8]}"


def _quoted(value: str) -> str:
    """Single quotes keep everything but themselves; in double quotes sh and dotenv agree as long as there is no $ or `.

    Both at once has no form that both take: then it is sh's, which sources the file.
    """
    if "'" not in value and "\\\\" not in value and not value.endswith("\\"):
        return f"'{value}'"
    if "$" not in value and "`" not in value:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "'" + value.replace("'", "'\"'\"'") + "'"
