"""The layers: which module may import which, what a cold start loads, and which names and variables are documented."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import shared
from shared.errors import BY_CODE, ParleyError
from shared.variables import FIRST_NAMES, VARIABLES

ROOT = Path(__file__).resolve().parents[1]
SHARED = sorted((ROOT / "shared").rglob("*.py"))
FUNCTIONS = sorted((ROOT / "functions").rglob("*.py"))
_SANDBOXED = {"duckdb": {"session"}, "shared.sql.session": {"child"}, "shared.sql.child": set()}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module(path: Path) -> str:
    """The dotted name of a file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _loaded(path: Path) -> Iterator[str]:
    """The texts of a file that may name a module, as for `importlib.import_module`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _graph() -> dict[str, set[str]]:
    """The modules of shared/ that each module of shared/ imports, or loads by name when it needs them."""
    modules = {_module(path) for path in SHARED}
    return {_module(path): {*_imports(path), *_loaded(path)} & modules - {"shared"} for path in SHARED}


def test_shared_has_no_import_loop() -> None:
    """The modules of shared/ can be sorted so that each one imports only from earlier ones."""
    order = graphlib.TopologicalSorter(_graph())
    order.prepare()  # raises CycleError, which names the loop


def test_the_map_of_shared_is_true() -> None:
    """The docstring of shared/ names every module once; each one imports only from its own line or a line above."""
    lines = re.findall(r"^    [a-z ]+: ([\w, ]+)\.$", str(shared.__doc__), re.MULTILINE)
    layers = {name: layer for layer, line in enumerate(lines) for name in line.split(", ")}
    graph = _graph()
    top = {name.split(".")[1] for name in graph if "." in name}
    assert sorted(top) == sorted(name for line in lines for name in line.split(", "))
    wrong = [
        (importer, imported)
        for importer, found in graph.items()
        for imported in found
        if importer != "shared" and layers[imported.split(".")[1]] > layers[importer.split(".")[1]]
    ]
    assert wrong == []


@pytest.mark.parametrize("path", SHARED, ids=lambda p: p.name)
def test_shared_imports_nothing_of_ours_but_shared(path: Path) -> None:
    """The functions, the stack, the tests and the tools use shared/, never the other way round."""
    packages = {name.partition(".")[0] for name in _imports(path)}
    assert packages & {"functions", "local", "tests", "bench", "deploy", "tools"} == set()


@pytest.mark.parametrize("path", FUNCTIONS, ids=lambda p: str(p.relative_to(ROOT / "functions")))
def test_no_function_imports_another(path: Path) -> None:
    """A function imports its own folder and shared/, and no other package of ours."""
    own = path.relative_to(ROOT / "functions").parts[0]
    for name in _imports(path):
        package, _, rest = name.partition(".")
        assert package not in {"local", "tests", "bench", "deploy", "tools"}
        if package == "functions" and rest:
            assert rest.split(".", 1)[0] == own


@pytest.mark.parametrize("path", SHARED + FUNCTIONS, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_are_at_the_top(path: Path) -> None:
    """No function contains an import: the first lines of a module show what it needs."""
    hidden = [
        node.lineno
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []


@pytest.mark.parametrize("name", ["chat", "llms", "assist"])
def test_a_cold_start_loads_no_sdk(name: str) -> None:
    """A start of chat or llms imports no SDK, supabase-py, second HTTP client, numbering plans or protobuf."""
    heavy = {"openai", "anthropic", "google.genai", "supabase", "postgrest", "httpx", "httpx2", "duckdb", "psycopg"}
    heavy |= {"phonenumbers", "stdnum", "google.protobuf", "opentelemetry"}
    if name == "llms":
        heavy.add("pydantic")  # only its operator routes have bodies
    if name == "assist":
        heavy |= {"shared.gateway", "shared.run_turn", "shared.ledger", "shared.structured"}  # hits need none of them
    script = f"import sys, functions.{name}.main; print(' '.join({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_only_the_child_process_loads_duckdb() -> None:
    """Only the session imports DuckDB, and only the child imports the session."""
    importers = {name: {path.stem for path in (*SHARED, *FUNCTIONS) if name in _imports(path)} for name in _SANDBOXED}
    assert importers == _SANDBOXED


def test_files_are_named_after_what_they_hold() -> None:
    """No module has a name without meaning, such as utils."""
    vague = {"utils", "util", "helpers", "common", "misc", "core", "base", "manager"}
    assert [path for path in (*SHARED, *FUNCTIONS, *(ROOT / "local").rglob("*.py")) if path.stem in vague] == []


def test_every_error_has_its_own_code_and_is_in_the_tree() -> None:
    """Codes are unique, and the drawing in shared/errors names each one."""
    classes = [ParleyError]
    for each in classes:
        classes.extend(each.__subclasses__())
    own = classes[1:]
    assert len({each.code for each in own}) == len(own)
    drawing = str(sys.modules["shared.errors"].__doc__)
    for each in own:
        assert f"{each.__name__} {each.status} {each.code}" in drawing
        assert BY_CODE[each.code] is each


def test_every_variable_that_is_read_is_in_the_example() -> None:
    """What shared/ and functions/ read is in .env.example, in the table and on its page, and nothing else is."""
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
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert [name for name in named if f"`{name}`" not in page] == []
    assert set(FIRST_NAMES) <= set(re.findall(r"[A-Z][A-Z0-9_]+", "\n".join(re.findall("^#.*", example, re.MULTILINE))))
