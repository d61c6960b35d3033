"""Checks the user's variables before anything starts; each invalid one gives one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from local import environment
from local.errors import StackError
from shared import addresses, forms
from shared.variables import FIRST_NAMES, VARIABLES, WrongVariable, conflicts, missing_variables, wrong_variables

_SIMILAR = 0.8  # similarity; equal names have 1
_FUNCTION_URLS = ("CHAT_URL", "LLMS_URL", "REFRESH_URL", "ASSIST_URL")


def _database_url(value: str) -> str | None:
    is_valid = value.startswith(("postgresql://", "postgres://"))
    return None if is_valid else "is not a PostgreSQL URL; write postgresql://user:password@host:5432/postgres"


_LOCAL_FORMS = {
    "DATABASE_URL": _database_url,
    "MODEL_URL": addresses.url("http://127.0.0.1:11434/v1"),
    **dict.fromkeys(_FUNCTION_URLS, addresses.url("https://chat.example.com")),
}
"""The formats of variables that only `python -m local` reads."""


def reject_invalid(given_as_written: Mapping[str, str], only: tuple[str, ...] = ()) -> None:
    """Raises StackError with one line for each invalid variable. `only` limits the check to these names.

    The functions fetch the variables of SECRETS_SOURCE later, so those do not count as missing.
    """
    wrong = [*wrong_variables(given_as_written), *_invalid_local(given_as_written)]
    if not only:
        wrong += missing_variables(given_as_written, (), is_fetched=False)
    lines = [str(each) for each in wrong if not only or FIRST_NAMES.get(each.name, each.name) in only]
    if lines:
        raise StackError("\n".join(lines))


def _invalid_local(given_as_written: Mapping[str, str]) -> Iterator[WrongVariable]:
    for name, form in _LOCAL_FORMS.items():
        value = given_as_written.get(name, "").strip()
        if value and (reason := forms.common(value) or form(value)):
            yield WrongVariable(name, reason)


def warnings() -> list[str]:
    """Possible mistakes: similar names in `.env`, and two names of one variable with different values."""
    of_file, of_process = environment.file_and_process()
    known = {*VARIABLES, *FIRST_NAMES, *_LOCAL_FORMS}
    lines = []
    for name in of_file:
        close = difflib.get_close_matches(name.upper(), known, 1, _SIMILAR) if name not in known else []
        lines += [f".env sets {name}, which Parley does not read; do you mean {each}?" for each in close]
    for used, other in conflicts(environment.given_as_written(), {**of_file, **of_process}):
        lines.append(f"{used} and {other} name one variable and have different values; {used} is used, remove {other}")
    return lines
