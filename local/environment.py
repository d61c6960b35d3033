"""Environment variables: the user's, the generated ones, and the file with both for other programs."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from local.data_dir import DataDir, display_path, write_private
from local.errors import StackError
from shared.addresses import LOOPBACK_ORIGINS
from shared.variables import laid_over, with_first_names

ROOT = Path(__file__).resolve().parent.parent
PROVIDER_KEYS = ("GOOGLE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "MATCHA_API_KEY")
_FINGERPRINTS = "PARLEY_OWN"  # in the file: fingerprints of the generated values


def given() -> dict[str, str]:
    """The user's variables under their first names. Raises StackError for an unreadable `.env`."""
    return with_first_names(given_as_written())


def given_as_written() -> dict[str, str]:
    """The user's variables under the names the user wrote: the environment overrides `.env` in the project's root.

    Empty values do not count. Generated values of an earlier stack do not count either: a shell that sourced its file
    still has them, and they would send the functions to a Supabase that is not running.
    """
    return laid_over(*file_and_process())


def file_and_process() -> tuple[dict[str, str], dict[str, str]]:
    """The variables of `.env` and those of the environment, both without generated values."""
    of_file, of_process = read_file(ROOT / ".env"), dict(os.environ)
    generated = {mark for each in (of_file, of_process) for mark in each.pop(_FINGERPRINTS, "").split()}
    return _without_generated(of_file, generated), _without_generated(of_process, generated)


def _without_generated(values: Mapping[str, str], generated: set[str]) -> dict[str, str]:
    return {
        name: value for name, value in values.items() if value.strip() and _fingerprint(name, value) not in generated
    }


def generated_variables(data_dir: DataDir) -> dict[str, str]:
    """Defaults for every function that the user's variables override; they do not depend on the Supabase project."""
    return {
        "CRON_SECRET": data_dir.secret("CRON_SECRET"),
        "HASH_PEPPER": data_dir.secret("HASH_PEPPER"),
        "SPOOL_URL": data_dir.spool.as_uri(),
        "DATABASE_PATH": str(data_dir.trading),
        "CORS_ORIGINS": ",".join(LOOPBACK_ORIGINS),  # dev servers on any port
    }


def read_file(path: Path) -> dict[str, str]:
    """The variables of a dotenv file without substitution in the values; empty when there is no file.

    Raises StackError for an unreadable file, with the number of an invalid line.
    """
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise StackError(f"{display_path(path)} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StackError(f"{display_path(path)} is not UTF-8 text; save it as UTF-8") from None
    values = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise StackError(
                f"{display_path(path)}, line {_line(binding.original.string, binding.original.line)}: {_SYNTAX}"
            )
        if binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    return values


_SYNTAX = "this is not NAME=value; write it so, with a quote at both ends of the value or at neither"


def _line(statement: str, first: int) -> int:
    """The line number of the first word of a statement; a statement includes the empty lines before it."""
    return first + statement[: len(statement) - len(statement.lstrip())].count("\n")


def write_file(path: Path, values: Mapping[str, str], generated: Iterable[str]) -> None:
    """Replaces the file atomically, mode 0600, in a format for both sh and dotenv readers."""
    marks = " ".join(_fingerprint(name, values[name]) for name in generated)
    lines = [f"{name}={_quoted(value)}" for name, value in (*values.items(), (_FINGERPRINTS, marks))]
    write_private(path, "# Written by `python -m local up` each time it is ready.\n" + "\n".join(lines) + "\n")


def _fingerprint(name: str, value: str) -> str:
    return f"{name}:{hashlib.sha256(value.encode()).hexdigest()[:8]}"


def _quoted(value: str) -> str:
    """A value in single quotes; in double quotes when it contains a single quote and no $ or `.

    A value with both has no format that sh and dotenv readers share; it is written for sh, which sources the file.
    """
    if "'" not in value and "\\\\" not in value and not value.endswith("\\"):
        return f"'{value}'"
    if "$" not in value and "`" not in value:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "'" + value.replace("'", "'\"'\"'") + "'"
