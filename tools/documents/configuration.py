"""docs/configuration.md, from .env.example, the table in shared/variables.py and the code that reads each variable."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.variables import REQUIRED, VARIABLES
from tools.documents.markdown import code, table

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ("chat", "llms", "refresh", "assist")
# Modules whose functions read a variable for their callers: only a module that names such a function reads it.
_ACCESSORS = (ROOT / "shared" / "config.py", ROOT / "shared" / "supabase.py")
_NO_READERS = {"variables.py", "openapi.py"}
_HEAD = """\
# Configuration

Generated from `.env.example` and `shared/variables.py` by `make docs`. Edit the comments there.

Functions read environment variables only. The local stack also reads `.env`; `make run` sets what it needs itself.
An empty value counts as unset. A wrong value stops only what needs the variable, and the error names the variable.
With `SECRETS_SOURCE`, variables that are unset are fetched when the function runs.
"""


@dataclass(frozen=True, slots=True)
class _Described:
    name: str
    value: str
    comment: str


def page() -> str:
    """The page."""
    parts = [_HEAD]
    for title, variables in _sections((ROOT / ".env.example").read_text()):
        parts.append(f"\n## {title}\n\n" + table(("Variable", "Meaning", "Default", "Read by"), map(_row, variables)))
    return "".join(parts)


def readers_of(name: str) -> list[str]:
    """The functions whose code may read the variable."""
    return [function for function in FUNCTIONS if any(_reads(path, name) for path in _loaded_by(function))]


def _sections(text: str) -> Iterator[tuple[str, list[_Described]]]:
    for section in re.split(r"^# --- ", text, flags=re.MULTILINE)[1:]:
        title, _, rest = section.partition("\n")
        found, comment = [], ""
        for line in rest.splitlines():
            if line.startswith("#"):
                comment += line.removeprefix("#")
            elif "=" in line:
                name, value = line.split("=", 1)
                found.append(_Described(name, value, comment.strip()))
                comment = ""
        yield title.rstrip(" -"), found


def _row(each: _Described) -> tuple[str, str, str, str]:
    stated = re.search(r" ?Default: (.+)\.$", each.comment)
    default = each.value or (stated[1] if stated else "")
    meaning = each.comment.replace(stated[0], "") if stated else each.comment
    if each.name in REQUIRED:
        meaning = f"Required. {meaning}"
    if needs := VARIABLES[each.name].needs:
        meaning += f" Needs {', '.join(needs)}."
    return code(each.name), _with_code(meaning), _default(default), ", ".join(readers_of(each.name))


def _default(text: str) -> str:
    """Text with a blank is prose, a single word is a value."""
    return _with_code(text) if " " in text else code(text)


def _with_code(text: str) -> str:
    """The text with names of variables, addresses and JSON in code."""
    return re.sub(
        r"(?<!`)\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|<[A-Z_]+>/\S+|[a-z0-9]+://[^\s,;]*[^\s,;.]|\{\S+ \S+\}", r"`\g<0>`", text
    )


@functools.cache
def _loaded_by(function: str) -> frozenset[Path]:
    """The files that a function imports, also those that it names in a string and loads later."""
    found: set[Path] = set()
    waiting = [f"functions.{function}.main"]
    while waiting:
        path = _path_of(waiting.pop())
        if path is not None and path not in found and path.name not in _NO_READERS:
            found.add(path)
            waiting += _imports(_tree(path))
    return frozenset(found)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _path_of(module: str) -> Path | None:
    if not re.fullmatch(r"(shared|functions)(\.\w+)+", module):
        return None
    base = ROOT.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.exists()), None)


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def _reads(path: Path, name: str) -> bool:
    wanted = {name} | _accessors_of(name)
    if path in _ACCESSORS:
        return False
    return any(
        (isinstance(node, ast.Constant) and node.value == name)
        or (isinstance(node, ast.Attribute) and node.attr in wanted)
        for node in ast.walk(_tree(path))
    )


@functools.cache
def _accessors_of(name: str) -> frozenset[str]:
    """The functions that read the variable for their callers, also by way of another one of them."""
    functions = [
        node
        for path in _ACCESSORS
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    found: set[str] = set()
    size = -1
    while size != len(found):
        size = len(found)
        found |= {each.name for each in functions if _mentions(each, name, found)}
    return frozenset(found)


def _mentions(function: ast.AST, name: str, accessors: set[str]) -> bool:
    return any(
        (isinstance(node, ast.Constant) and node.value == name)
        or (isinstance(node, ast.Attribute) and node.attr in accessors)
        or (isinstance(node, ast.Name) and node.id in accessors)
        for node in ast.walk(function)
    )
