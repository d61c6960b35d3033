"""The packages of each function: its unit has everything that its code can import."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = sorted(path.name for path in (ROOT / "functions").iterdir() if (path / "main.py").exists())
_NEVER_LOADED = {
    "anthropic": {"refresh"},  # it reads lists of models without an SDK
    "google-genai": {"refresh"},
    "httpx2": {"refresh"},
    "phonenumberslite": {"llms"},  # a provider's error text with such a number is withheld there
    "python-stdnum": {"llms"},
    "psycopg": {"llms", "refresh"},  # they never call `ledger_calls.connect_to`
}
"""Distributions that modules of shared/ name, and the functions that never load them."""


def _file_of(module: str) -> Path | None:
    """The file of a module of ours; None for any other text."""
    if not re.fullmatch(r"(functions|shared)(\.\w+)+", module):
        return None
    path = ROOT.joinpath(*module.split("."))
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.exists()), None)


def _named(path: Path) -> Iterator[tuple[str, bool]]:
    """(name, whether the file imports it): a text of the file may name a module of ours that is loaded later."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, True) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, True
            yield from ((f"{node.module}.{alias.name}", True) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, False


@functools.cache
def _owners() -> dict[str, str]:
    """The distribution of each installed module."""
    owners: dict[str, str] = {}
    for each in distributions():
        name = each.metadata["Name"].lower().replace("_", "-")
        paths = re.findall(r"^([^.,][^,]*)\.(?:py|so),", each.read_text("RECORD") or "", re.MULTILINE)
        owners |= {path.replace("/", ".").removesuffix(".__init__"): name for path in paths}
    return owners


def _distributions(function: str) -> dict[str, str]:
    """The distributions whose modules the function can import, each with a file that imports one."""
    waiting = sorted((ROOT / "functions" / function).rglob("*.py"))
    seen, found = set(waiting), {}
    while waiting:
        path = waiting.pop()
        for name, is_import in _named(path):
            own = _file_of(name)
            if own is not None and own not in seen:
                seen.add(own)
                waiting.append(own)
            if is_import and name in _owners():
                found[_owners()[name]] = str(path.relative_to(ROOT))
    return found


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_unit_has_every_package_that_its_code_can_import(function: str) -> None:
    """Each package that the function, or a module of shared/ below it, imports is in its locked requirements."""
    lock = (ROOT / "functions" / function / "requirements.txt").read_text()
    names = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==", lock, re.MULTILINE)
    locked = {name.lower().replace("_", "-") for name in names}
    missing = {
        package: path
        for package, path in _distributions(function).items()
        if package not in locked and function not in _NEVER_LOADED.get(package, ())
    }
    assert missing == {}
