"""`python -m local`: runs all of Parley on one machine, without Docker and without keys."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Callable

import duckdb

from local import arguments, configuration, decryption, demo_data, environment, operators, postgres, stack
from local.data_dir import DataDir, command, display_path
from local.disk import error_text, is_user_error
from local.errors import StackError
from local.ports import Ports
from local.stack_plan import Options
from local.users import DEMO_EMAIL, access_token


def main(argv: list[str]) -> int:
    """The exit code of one command."""
    args = arguments.parser().parse_args(argv)
    try:
        _COMMANDS[args.command](args, DataDir(args.data.absolute()))
    except (StackError, OSError) as error:
        if isinstance(error, OSError) and not is_user_error(error):
            raise
        print(error_text(error), file=sys.stderr)
        return 1
    return 0


def _up(args: argparse.Namespace, data_dir: DataDir) -> None:
    ports = Ports() if args.ports is None else Ports.counted_from(args.ports)
    only = None if args.only is None else tuple(name.strip() for name in args.only.split(",") if name)
    stack.up(Options(data_dir, ports, only, has_model=not args.no_model, has_reload=not args.no_reload))


def _down(_: argparse.Namespace, data_dir: DataDir) -> None:
    print(stack.down(data_dir))


def _reset(_: argparse.Namespace, data_dir: DataDir) -> None:
    print(stack.reset(data_dir))


def _token(args: argparse.Namespace, data_dir: DataDir) -> None:
    name, _, host = args.email.partition("@")
    if not (name and host) or "@" in host or any(map(str.isspace, args.email)):
        raise StackError(f"{args.email!r} is not an e-mail address; write one such as {DEMO_EMAIL}")
    values = _require_variables(data_dir, "SUPABASE_URL", "SUPABASE_SERVICE_KEY")
    print(access_token(values["SUPABASE_URL"], values["SUPABASE_SERVICE_KEY"], args.email))


def _project(data_dir: DataDir) -> operators.Project:
    values = _require_variables(data_dir, "SUPABASE_URL", "SUPABASE_SERVICE_KEY")
    return operators.Project(values["SUPABASE_URL"], values["SUPABASE_SERVICE_KEY"])


def _admin(args: argparse.Namespace, data_dir: DataDir) -> None:
    print(operators.set_admin(_project(data_dir), args.email, is_admin=not args.revoke))


def _limits(args: argparse.Namespace, data_dir: DataDir) -> None:
    project = _project(data_dir)
    caps = {name: getattr(args, name) for name in operators.CAPS if getattr(args, name) != arguments.UNCHANGED}
    if caps and args.scope is None:
        raise StackError("name the scope of the cap: global, default, anonymous, an e-mail address or a user's id")
    if caps:
        operators.change_caps(project, args.scope, {name: _cap(name, caps[name]) for name in caps})
    print(operators.caps_table(project, args.scope))


def _cap(name: str, word: str) -> float | str | None:
    """The value of a column of caps; None for `none`. Raises StackError for a wrong number."""
    return word if name == "degrade_to" and word != "none" else _number(word)


def _number(word: str) -> float | None:
    """A cap as a number; None for `none`. Raises StackError for anything else."""
    if word == "none":
        return None
    try:
        number = float(word)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise StackError(f"{word} is not a cap: give a number of at least 0, or none for no cap")
    return int(number) if number.is_integer() else number


def _demo_data(args: argparse.Namespace, _: DataDir) -> None:
    try:
        demo_data.provide(args.path.absolute())
    except duckdb.IOException as error:
        raise StackError(str(error)) from error
    print(f"{display_path(args.path.absolute())} holds {', '.join(each.symbol for each in demo_data.INSTRUMENTS)}.")


def _decrypt(args: argparse.Namespace, data_dir: DataDir) -> None:
    keys = _require_variables(data_dir, "LOG_ENCRYPTION_KEYS")["LOG_ENCRYPTION_KEYS"]
    with contextlib.ExitStack() as opened:
        lines = opened.enter_context(args.file.open(encoding="utf-8")) if args.file else sys.stdin
        decryption.decrypt_lines(lines, sys.stdout, keys)


def _psql(args: argparse.Namespace, data_dir: DataDir) -> None:
    program = shutil.which("psql") or str(postgres.BIN / "psql")
    os.execv(program, [program, _require_variables(data_dir, "DATABASE_URL")["DATABASE_URL"], *args.arguments])  # noqa: S606 - psql gets the terminal


def _require_variables(data_dir: DataDir, *names: str) -> dict[str, str]:
    """These variables from the environment, `.env` or the running stack. Raises StackError when one is missing."""
    given = environment.given()
    configuration.reject_invalid(given, only=names)
    values = environment.read_file(data_dir.env_file) | given
    if missing := [name for name in names if name not in values]:
        absent = f"{' and '.join(missing)} cannot be found in the environment or .env"
        if data_dir.env_file.exists():
            raise StackError(absent)
        path = display_path(data_dir.path)
        raise StackError(f"no stack is running on {path} (`{command('up', data_dir.path)}`), and {absent}")
    return values


_COMMANDS: dict[str, Callable[[argparse.Namespace, DataDir], None]] = {
    "up": _up,
    "down": _down,
    "reset": _reset,
    "token": _token,
    "admin": _admin,
    "limits": _limits,
    "demo-data": _demo_data,
    "decrypt": _decrypt,
    "psql": _psql,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
