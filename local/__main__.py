"""`python -m local`: everything Parley needs on one machine, without Docker and without keys."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

import duckdb

from local import configuration, demo_data, environment, operators, postgres, stack
from local.disk import explained, is_explained
from local.folder import Folder, command, shown
from local.people import DEMO_EMAIL, access_token
from local.plan import Options
from local.ports import Ports
from local.problems import Problem

_UNCHANGED = ""


def main(words: list[str]) -> int:
    """The exit code."""
    asked = _parser().parse_args(words)
    try:
        asked.run(asked, Folder(asked.data.absolute()))
    except (Problem, OSError) as error:
        if isinstance(error, OSError) and not is_explained(error):
            raise
        print(explained(error), file=sys.stderr)
        return 1
    return 0


def _up(asked: argparse.Namespace, folder: Folder) -> None:
    ports = Ports() if asked.ports is None else Ports.counted_from(asked.ports)
    only = None if asked.only is None else tuple(name.strip() for name in asked.only.split(",") if name)
    stack.up(Options(folder, ports, only, has_model=not asked.no_model, has_reload=not asked.no_reload))


def _down(_: argparse.Namespace, folder: Folder) -> None:
    print(stack.down(folder))


def _reset(_: argparse.Namespace, folder: Folder) -> None:
    print(stack.reset(folder))


def _token(asked: argparse.Namespace, folder: Folder) -> None:
    name, _, host = asked.email.partition("@")
    if not (name and host) or "@" in host or any(map(str.isspace, asked.email)):
        raise Problem(f"{asked.email!r} is not an e-mail address; write one such as {DEMO_EMAIL}")
    values = _known(folder, "SUPABASE_URL", "SUPABASE_SERVICE_KEY")
    print(access_token(values["SUPABASE_URL"], values["SUPABASE_SERVICE_KEY"], asked.email))


def _project(folder: Folder) -> operators.Project:
    values = _known(folder, "SUPABASE_URL", "SUPABASE_SERVICE_KEY")
    return operators.Project(values["SUPABASE_URL"], values["SUPABASE_SERVICE_KEY"])


def _admin(asked: argparse.Namespace, folder: Folder) -> None:
    print(operators.set_admin(_project(folder), asked.email, is_admin=not asked.revoke))


def _limits(asked: argparse.Namespace, folder: Folder) -> None:
    project = _project(folder)
    caps = {name: getattr(asked, name) for name in operators.CAPS if getattr(asked, name) != _UNCHANGED}
    if caps and asked.scope is None:
        raise Problem("name the scope of the cap: global, default, anonymous, an e-mail address or a user's id")
    if caps:
        operators.change_caps(project, asked.scope, {name: _number(caps[name]) for name in caps})
    print(operators.caps_table(project, asked.scope))


def _number(word: str) -> float | None:
    """A cap; None for `none`."""
    if word == "none":
        return None
    try:
        number = float(word)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise Problem(f"{word} is no cap: give a number of at least 0, or none for no cap")
    return int(number) if number.is_integer() else number


def _demo_data(asked: argparse.Namespace, _: Folder) -> None:
    try:
        demo_data.provide(asked.path.absolute())
    except duckdb.IOException as error:
        raise Problem(str(error)) from error
    print(f"{shown(asked.path.absolute())} holds {', '.join(each.symbol for each in demo_data.INSTRUMENTS)}.")


def _psql(asked: argparse.Namespace, folder: Folder) -> None:
    program = shutil.which("psql") or str(postgres.BIN / "psql")
    os.execv(program, [program, _known(folder, "DATABASE_URL")["DATABASE_URL"], *asked.arguments])  # noqa: S606 - psql gets the terminal


def _known(folder: Folder, *names: str) -> dict[str, str]:
    """These variables, as given or from the running stack's file."""
    given = environment.given()
    configuration.refuse_wrong(given, only=names)
    values = environment.read_file(folder.env_file) | given
    if missing := [name for name in names if name not in values]:
        raise Problem(
            f"no stack is running on {shown(folder.path)} (`{command('up', folder.path)}`), "
            f"and {' and '.join(missing)} cannot be found in the environment or .env"
        )
    return values


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    everywhere = argparse.ArgumentParser(add_help=False)
    everywhere.add_argument("--data", type=Path, default=Path(".local"), metavar="DIR", help="state (default .local)")

    up = commands.add_parser("up", parents=[everywhere], help="start everything and stay until Ctrl-C")
    up.add_argument("--only", metavar="A,B", help="these functions only")
    up.add_argument("--no-model", action="store_true", help="without the tiny local model")
    up.add_argument("--no-reload", action="store_true", help="do not restart a function when its code changes")
    up.add_argument(
        "--ports", type=int, metavar="B", help="chat B+1, llms B+2, refresh B+3, API B+10, PostgreSQL B+11, model B+12"
    )
    up.set_defaults(run=_up)

    down = commands.add_parser("down", parents=[everywhere], help="end a stack that runs in the background")
    down.set_defaults(run=_down)
    reset = commands.add_parser("reset", parents=[everywhere], help="delete the state of a stopped stack")
    reset.set_defaults(run=_reset)

    token = commands.add_parser("token", parents=[everywhere], help="print an access token")
    token.add_argument("email", metavar="EMAIL", help="whose; the person is created when missing")
    token.set_defaults(run=_token)

    admin = commands.add_parser("admin", parents=[everywhere], help="make a person an admin")
    admin.add_argument("email", metavar="EMAIL", help="whose; the person is created when missing")
    admin.add_argument("--revoke", action="store_true", help="take the role back")
    admin.set_defaults(run=_admin)

    limits = commands.add_parser("limits", parents=[everywhere], help="show caps and use, change caps")
    limits.add_argument(
        "scope", nargs="?", metavar="SCOPE", help="global, default, anonymous, an e-mail or a user's id"
    )
    limits.add_argument("--daily-requests", metavar="N", default=_UNCHANGED, help="a number, or none")
    limits.add_argument("--daily-usd", metavar="X", dest="daily_cost_usd", default=_UNCHANGED, help="a number, or none")
    limits.add_argument("--monthly-usd", metavar="Y", dest="monthly_cost_usd", default=_UNCHANGED, help="the same")
    limits.set_defaults(run=_limits)

    data = commands.add_parser("demo-data", parents=[everywhere], help="build the demo market, the same every time")
    data.add_argument("path", nargs="?", type=Path, default=Path("data/trading.duckdb"), metavar="PATH")
    data.set_defaults(run=_demo_data)

    psql = commands.add_parser("psql", parents=[everywhere], help="open psql on the database")
    psql.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="psql's own, after --")
    psql.set_defaults(run=_psql)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
