"""The arguments of `python -m local`, and the help that it prints."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

UNCHANGED = ""  # of a cap that no option names


def parser() -> argparse.ArgumentParser:
    """A parser that gives `command`, the name; `data`, the folder of the stack; and the command's own arguments."""
    main = argparse.ArgumentParser(
        prog="python -m local",
        description="Runs all of Parley on one machine: PostgreSQL, the Supabase API, a small model, the functions and "
        "the page. It needs no Docker, no account and no key.",
        epilog="`python -m local COMMAND --help` describes a command.",
    )
    add = main.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser
    _up(_command(add, "up", "start the stack and run until Ctrl-C"))
    _command(add, "down", "stop a stack that runs in the background")
    _command(add, "reset", "delete the data of a stopped stack")
    _user(_command(add, "token", "print an access token of a user"))
    _admin(_command(add, "admin", "make a user an admin"))
    _limits(_command(add, "limits", "show caps and usage, or change caps"))
    _demo_data(_command(add, "demo-data", "build the demo market data"))
    _decrypt(_command(add, "decrypt", "decrypt texts of the log"))
    _psql(_command(add, "psql", "open psql on the database"))
    return main


def _command(add: Callable[..., argparse.ArgumentParser], name: str, words: str) -> argparse.ArgumentParser:
    """The parser of a command; every command takes the folder of the stack."""
    command = add(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
    command.add_argument(
        "--data", type=Path, default=Path(".local"), metavar="DIR", help="the folder of the stack (default: .local)"
    )
    return command


def _up(command: argparse.ArgumentParser) -> None:
    command.add_argument("--only", metavar="A,B", help="start only these functions, such as chat,llms")
    command.add_argument("--no-model", action="store_true", help="do not start the small local model")
    command.add_argument("--no-reload", action="store_true", help="do not restart a function when its code changes")
    command.add_argument(
        "--ports",
        type=int,
        metavar="B",
        help="the first port: page B, chat B+1, llms B+2, refresh B+3, assist B+4, API B+10, PostgreSQL B+11, "
        "model B+12 (default: 8080)",
    )


def _user(command: argparse.ArgumentParser) -> None:
    command.add_argument("email", metavar="EMAIL", help="the user's e-mail address; a missing user is created")


def _admin(command: argparse.ArgumentParser) -> None:
    _user(command)
    command.add_argument("--revoke", action="store_true", help="make the user no admin")


def _limits(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "scope",
        nargs="?",
        metavar="SCOPE",
        help="global, default, anonymous, an e-mail address or a user's id; without it, all scopes are shown",
    )
    number = "or none for no cap"
    command.add_argument("--daily-requests", metavar="N", default=UNCHANGED, help=f"turns a day, {number}")
    command.add_argument(
        "--daily-usd", metavar="X", dest="daily_cost_usd", default=UNCHANGED, help=f"US dollars a day, {number}"
    )
    command.add_argument(
        "--monthly-usd", metavar="Y", dest="monthly_cost_usd", default=UNCHANGED, help=f"US dollars a month, {number}"
    )
    command.add_argument(
        "--requests-per-minute", metavar="N", default=UNCHANGED, help=f"turns of a user in 60 seconds, {number}"
    )
    command.add_argument(
        "--degrade-at",
        metavar="SHARE",
        default=UNCHANGED,
        help="the share of a cap in US dollars, such as 0.8, from which a cheaper model answers, or none",
    )
    command.add_argument(
        "--degrade-to", metavar="ALIAS", default=UNCHANGED, help="the alias or policy of that model, or none"
    )


def _demo_data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "path",
        nargs="?",
        type=Path,
        default=Path("data/trading.duckdb"),
        metavar="PATH",
        help="the DuckDB file (default: data/trading.duckdb)",
    )


def _decrypt(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="JSON lines, CSV or other text; standard input without it",
    )


def _psql(command: argparse.ArgumentParser) -> None:
    command.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="arguments of psql, after --")
