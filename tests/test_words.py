"""Plain English: names, docstrings, comments, SQL texts and pages use none of the banned words."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("bench", "deploy", "docs", "functions", "local", "shared", "supabase", "tests", "tools", "web")
_NOT_OURS = {"node_modules", "dist", "test-results"}
# Each word has a plain term, such as: inform, report, log; no user, a user, any client; again; repair; validate.
NAME_WORDS = {
    *("told", "said", "heard", "spoken", "anew", "nobody", "somebody", "whoever", "whomever", "anybody", "everybody"),
    *("mend", "mends", "mended", "vouch", "vouches", "vouched", "vet", "vetted"),
}
_MOST = re.compile(r"_*most_(?!common$)", re.IGNORECASE)  # limits are MAX_
_PART_OF_NAME = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_PROSE = re.compile(
    r"""\b(
        told | tells? (?!(\s+[\w-]+){0,3}\s+apart) | said | hears? | heard | spoken | speaks?\s+to | anew
        | nobody | somebody | whoever | whomever | anybody | everybody
        | mend(s|ed|ing)? | vouch(es|ed|ing)? | vet(s|ted)
        | stands?\s+in | la(y|id)\s+under | in\s+company
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_SQL_TEXT = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_HASH_COMMENT = re.compile(r"(?<!\S)#[^\n]*")
_SCRIPT_COMMENT = re.compile(r"(?<![:\w\"'`])//[^\n]*|/\*.*?\*/", re.DOTALL)
_SCRIPT_STRING = re.compile(r"'[^'\n]*'|`[^`]*`|>[^<>{}]*<")
_SUFFIXES = {".md", ".py", ".sql", ".sh", ".yml", ".ts", ".tsx", ".css", ".html"}


def _names_in(code: str) -> Iterator[tuple[int, str]]:
    """(offset, name) for each name of the code with a banned word."""
    for found in re.finditer(r"[A-Za-z_]\w*", code):
        name = found.group()
        words = {part.lower() for part in _PART_OF_NAME.findall(name)}
        if words & NAME_WORDS or _MOST.match(name):
            yield found.start(), name


def _prose_in(text: str) -> Iterator[tuple[int, str]]:
    """(offset, word) for each banned word of a text."""
    for found in _PROSE.finditer(text):
        yield found.start(), " ".join(found.group().split())


def _in_python(source: str) -> Iterator[tuple[int, str]]:
    """(line, word) for each banned word in a name, a comment or a docstring."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield from ((token.start[0], name) for _, name in _names_in(token.string))
        elif token.type == tokenize.COMMENT:
            yield from ((token.start[0], word) for _, word in _prose_in(token.string))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            text = ast.get_source_segment(source, node) or ""
            yield from ((node.lineno + text.count("\n", 0, offset), word) for offset, word in _prose_in(text))


def _in_sql(source: str) -> Iterator[tuple[int, str]]:
    """(line, word) for each banned word in a name, a comment or a string."""
    for found in _SQL_TEXT.finditer(source):
        for offset, word in _prose_in(found.group()):
            yield source.count("\n", 0, found.start() + offset) + 1, word
    code = _SQL_TEXT.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), source)
    yield from ((code.count("\n", 0, offset) + 1, name) for offset, name in _names_in(code))


def _in_script(source: str) -> Iterator[tuple[int, str]]:
    """(line, word) for each banned word in a name or a comment of TypeScript or CSS."""
    for found in _SCRIPT_COMMENT.finditer(source):
        for offset, word in _prose_in(found.group()):
            yield source.count("\n", 0, found.start() + offset) + 1, word
    code = source
    for texts in (_SCRIPT_COMMENT, _SCRIPT_STRING):
        code = texts.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), code)
    yield from ((code.count("\n", 0, offset) + 1, name) for offset, name in _names_in(code))


def _in_comments(source: str) -> Iterator[tuple[int, str]]:
    """(line, word) for each banned word in a comment that begins with a hash."""
    for found in _HASH_COMMENT.finditer(source):
        yield from ((source.count("\n", 0, found.start()) + 1, word) for _, word in _prose_in(found.group()))


def _in_page(source: str) -> Iterator[tuple[int, str]]:
    """(line, word) for each banned word of a page, its code included."""
    yield from ((source.count("\n", 0, offset) + 1, word) for offset, word in _prose_in(source))


def banned_words(path: Path) -> list[str]:
    """`file:line: word` for each banned word of a file, in the order of lines."""
    source = path.read_text(encoding="utf-8")
    scripts = dict.fromkeys((".ts", ".tsx", ".css", ".html"), _in_script)
    search = {".md": _in_page, ".py": _in_python, ".sql": _in_sql, **scripts}.get(path.suffix, _in_comments)
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
    return [f"{name}:{line}: {word}" for line, word in sorted(set(search(source)))]


def _files(folder: Path) -> Iterator[Path]:
    """The files of a folder, without those that npm or a build wrote."""
    for each in folder.iterdir():
        if each.is_dir():
            if each.name not in _NOT_OURS:
                yield from _files(each)
        else:
            yield each


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_has_no_banned_words(folder: str) -> None:
    """No file of the folder has a banned word; the message names file, line and word."""
    paths = [each for each in sorted(_files(ROOT / folder)) if each.suffix in _SUFFIXES]
    assert paths
    found = [line for path in paths if path != Path(__file__) for line in banned_words(path)]
    assert not found, "\n".join(["words to replace:", *found])


def test_the_pages_at_the_root_have_no_banned_words() -> None:
    """README, CONTRIBUTING and CHANGELOG use the same words as the folders."""
    found = [line for path in sorted(ROOT.glob("*.md")) for line in banned_words(path)]
    assert not found, "\n".join(["words to replace:", *found])


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("a.py", "told = 1\n", ["a.py:1: told"]),
        ("a.py", "class WholeTold:\n    pass\n", ["a.py:1: WholeTold"]),
        ("a.py", "MOST_ROWS = _most_rows = 1\n", ["a.py:1: MOST_ROWS", "a.py:1: _most_rows"]),
        ("a.py", "x = 1  # Nobody reads it\n", ["a.py:1: Nobody"]),
        ("a.py", '"""One line.\n\nWhoever asks.\n"""\n', ["a.py:3: Whoever"]),
        ("a.py", 'x = 1\n"""It stands\nin for y."""\n', ["a.py:2: stands in"]),
        ("a.py", 'x = "nobody"  # a string is data; tell the kinds apart\nuntold = almost = x\n', []),
        ("a.sql", "-- the user\n-- is told\nselect 'it is mended', told from t;\n", None),
        ("a.sql", "-- don't\nselect $$ select 'plain' -- text\n$$;\n", []),
        ("a.md", "One line.\n\nWhoever asks.\n", ["a.md:3: Whoever"]),
        ("a.tsx", "const told = 1; // nobody\nconst url = 'http://nobody';\n", ["a.tsx:1: nobody", "a.tsx:1: told"]),
        ("a.css", "/* told */\n", ["a.css:1: told"]),
        ("a.yml", "key: nobody  # for anybody\n", ["a.yml:1: anybody"]),
    ],
)
def test_banned_words_are_found(tmp_path: Path, file: str, source: str, expected: list[str] | None) -> None:
    """Names, comments, docstrings and SQL texts are searched; other strings of Python are not."""
    path = tmp_path / file
    path.write_text(source)
    assert banned_words(path) == (
        ["a.sql:2: told", "a.sql:3: mended", "a.sql:3: told"] if expected is None else expected
    )
