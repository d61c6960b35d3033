"""The rooms and floors: who may import whom, what is loaded when, and that names keep to the field's own words."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import BY_CODE, ParleyError
from shared.variables import FIRST_NAMES, VARIABLES

ROOT = Path(__file__).resolve().parents[1]
SHARED = sorted((ROOT / "shared").rglob("*.py"))
FUNCTIONS = sorted((ROOT / "functions").rglob("*.py"))
FLOORS = (
    ("errors", "forms", "messages"),
    ("events",),
    ("routes",),
    ("addresses",),
    ("variables",),
    ("config", "identifiers", "log", "privacy", "redaction", "sigv4", "sse", "sanitize", "tokens"),
    (
        "body",
        "fallback",
        "http",
        "object_store",
        "provider_config",
        "secrets",
        "spool",
        "supabase",
        "supabase_py",
        "surrogates",
        "usage",
    ),
    ("attempts", "providers"),
    ("auth", "nodes"),
    ("turns",),
    ("catalogue", "gateway", "ledger", "structured"),
    ("endpoint", "health"),
    ("openai_models",),
    ("openapi",),
    ("openapi_common",),
)
# Neighbours on one floor that need each other, each with its reason.
NEIGHBOURS = {
    ("privacy", "redaction"),  # withholds what it cannot redact
    ("supabase", "http"),  # the data API travels over the one session
    ("secrets", "http"),  # and so does the store's
    ("spool", "object_store"),  # the spool is a folder in an object store
    ("structured", "gateway"),  # asks through the one loop
}
_SANDBOXED = {"duckdb": {"session"}, "functions.chat.sql.session": {"child"}, "functions.chat.sql.child": set()}


def _floor(module: str) -> int:
    return next(number for number, names in enumerate(FLOORS) if module in names)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module in {"shared", "functions", "local"}:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif node.module:
                yield node.module


def _module(path: Path) -> str:
    return path.relative_to(ROOT / "shared").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", [p for p in SHARED if p.name != "__init__.py"], ids=lambda p: p.name)
def test_shared_imports_only_from_lower_floors(path: Path) -> None:
    """A file of shared/ imports from the floors below it, and never from a function or the stack."""
    own = _module(path)
    for name in _imports(path):
        package, _, rest = name.partition(".")
        assert package not in {"functions", "local", "tests", "bench"}
        other = rest.split(".", 1)[0]
        if package == "shared" and other and other != own:
            assert _floor(other) < _floor(own) or (own, other) in NEIGHBOURS, f"{own} imports {other}"


@pytest.mark.parametrize("path", FUNCTIONS, ids=lambda p: str(p.relative_to(ROOT / "functions")))
def test_no_function_imports_another(path: Path) -> None:
    """A function imports its own folder and shared/, nothing else of ours."""
    own = path.relative_to(ROOT / "functions").parts[0]
    for name in _imports(path):
        package, _, rest = name.partition(".")
        assert package not in {"local", "tests", "bench"}
        if package == "functions":
            assert rest.split(".", 1)[0] == own


@pytest.mark.parametrize("path", SHARED + FUNCTIONS, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_stand_at_the_top(path: Path) -> None:
    """Nothing is imported inside a function: what a module needs is seen in its first lines."""
    hidden = [
        node.lineno
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []


@pytest.mark.parametrize(("name", "also"), [("chat", "shared.openapi"), ("llms", "pydantic")])
def test_a_cold_start_loads_no_sdk(name: str, also: str) -> None:
    """Both start without any provider's SDK, supabase-py, a second HTTP client, and models of their document."""
    heavy = {"openai", "anthropic", "google.genai", "supabase", "postgrest", "httpx", "httpx2", "duckdb", also}
    script = f"import sys, functions.{name}.main; print(' '.join({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_duckdb_is_the_childs() -> None:
    """Only the session imports DuckDB, and only the child imports the session."""
    importers = {name: {path.stem for path in (*SHARED, *FUNCTIONS) if name in _imports(path)} for name in _SANDBOXED}
    assert importers == _SANDBOXED


def test_files_are_named_after_what_they_hold() -> None:
    """No module is called by a word that says nothing."""
    vague = {"utils", "util", "helpers", "common", "misc", "core", "base", "manager"}
    assert [path for path in (*SHARED, *FUNCTIONS, *(ROOT / "local").rglob("*.py")) if path.stem in vague] == []


def test_every_error_has_its_own_code_and_stands_in_the_tree_and_the_readme() -> None:
    """Codes are unique, and both the drawing in errors.py and the README's table name each one."""
    classes = [ParleyError]
    for each in classes:
        classes.extend(each.__subclasses__())
    own = classes[1:]
    assert len({each.code for each in own}) == len(own)
    drawing = str(sys.modules["shared.errors"].__doc__)
    readme = (ROOT / "README.md").read_text()
    for each in own:
        assert f"{each.__name__} {each.status} {each.code}" in drawing
        assert f"`{each.code}`" in readme
        assert BY_CODE[each.code] is each


def test_every_variable_that_is_read_is_in_the_example() -> None:
    """What shared/ and functions/ read from the environment is in .env.example and the table, and nothing else is."""
    read = set()
    for path in (*SHARED, *FUNCTIONS):
        if path.stem == "variables":
            continue
        read |= set(re.findall(r"(?:\.get|checked|require|is_on|names)\(\s*\"([A-Z][A-Z0-9_]+)\"", path.read_text()))
        read |= set(re.findall(r"\"([A-Z][A-Z0-9_]*(?:_KEY|_TOKEN|_BASE_URL|_MODEL))\"", path.read_text()))
    example = (ROOT / ".env.example").read_text()
    named = re.findall(r"^([A-Z][A-Z0-9_]+)=", example, re.MULTILINE)
    assert read - set(FIRST_NAMES) == set(named)
    assert named == list(VARIABLES)
    assert set(FIRST_NAMES) <= set(re.findall(r"[A-Z][A-Z0-9_]+", "\n".join(re.findall("^#.*", example, re.MULTILINE))))
