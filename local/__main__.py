"""`python -m local`: runs all of Parley on one machine, without Docker and without keys."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from pathlib import Path

import duckdb

from local import configuration, decryption, demo_data, environment, operators, postgres, stack
from local.data_dir import DataDir, command, display_path
from local.disk import error_text, is_user_error
from local.errors import StackError
from local.ports import Ports
from local.stack_plan import Options
from local.users import DEMO_EMAIL, access_token

_UNCHANGED = ""


def main(argv: list[str]) -> int:
    """Runs one command; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        args.run(args, DataDir(args.data.absolute()))
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
    caps = {name: getattr(args, name) for name in operators.CAPS if getattr(args, name) != _UNCHANGED}
    if caps and args.scope is None:
        raise StackError("name the scope of the cap: global, default, anonymous, an e-mail address or a user's id")
    if caps:
        operators.change_caps(project, args.scope, {name: _number(caps[name]) for name in caps})
    print(operators.caps_table(project, args.scope))


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
        raise StackError(
            f"no stack is running on {display_path(data_dir.path)} (`{command('up', data_dir.path)}`), "
            f"and {' and '.join(missing)} cannot be found in the environment or .env"
        )
    return values


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common_options = argparse.ArgumentParser(add_help=False)
    common_options.add_argument(
        "--data", type=Path, default=Path(".local"), metavar="DIR", help="state (default .local)"
    )

    up = commands.add_parser("up", parents=[common_options], help="start the stack and run until Ctrl-C")
    up.add_argument("--only", metavar="A,B", help="start only these functions")
    up.add_argument("--no-model", action="store_true", help="do not start the small local model")
    up.add_argument("--no-reload", action="store_true", help="do not restart a function when its code changes")
    up.add_argument(
        "--ports",
        type=int,
        metavar="B",
        help="page B, chat B+1, llms B+2, refresh B+3, assist B+4, API B+10, PostgreSQL B+11, model B+12",
    )
    up.set_defaults(run=_up)

    down = commands.add_parser("down", parents=[common_options], help="stop a stack that runs in the background")
    down.set_defaults(run=_down)
    reset = commands.add_parser("reset", parents=[common_options], help="delete the state of a stopped stack")
    reset.set_defaults(run=_reset)

    token = commands.add_parser("token", parents=[common_options], help="print an access token")
    token.add_argument("email", metavar="EMAIL", help="the user's address; a missing user is created")
    token.set_defaults(run=_token)

    admin = commands.add_parser("admin", parents=[common_options], help="make a user an admin")
    admin.add_argument("email", metavar="EMAIL", help="the user's address; a missing user is created")
    admin.add_argument("--revoke", action="store_true", help="remove the role")
    admin.set_defaults(run=_admin)

    limits = commands.add_parser("limits", parents=[common_options], help="show caps and usage, or change caps")
    limits.add_argument(
        "scope", nargs="?", metavar="SCOPE", help="global, default, anonymous, an e-mail or a user's id"
    )
    limits.add_argument("--daily-requests", metavar="N", default=_UNCHANGED, help="a number, or none")
    limits.add_argument("--daily-usd", metavar="X", dest="daily_cost_usd", default=_UNCHANGED, help="a number, or none")
    limits.add_argument("--monthly-usd", metavar="Y", dest="monthly_cost_usd", default=_UNCHANGED, help="the same")
    limits.set_defaults(run=_limits)

    data = commands.add_parser("demo-data", parents=[common_options], help="build the demo market data")
    data.add_argument("path", nargs="?", type=Path, default=Path("data/trading.duckdb"), metavar="PATH")
    data.set_defaults(run=_demo_data)

    decrypt = commands.add_parser("decrypt", parents=[common_options], help="decrypt texts of the log")
    decrypt.add_argument("file", nargs="?", type=Path, help="JSON lines, CSV or other text; standard input without it")
    decrypt.set_defaults(run=_decrypt)
    psql = commands.add_parser("psql", parents=[common_options], help="open psql on the database")
    psql.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="arguments of psql, after --")
    psql.set_defaults(run=_psql)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
