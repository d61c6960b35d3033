"""The documents: the README stays short and plain, and every link between pages leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [*ROOT.glob("*.md"), ROOT / "local" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAX_README_LINES = 140
MAX_PARAGRAPH_WORDS = 60
MAX_MEAN_SENTENCE_WORDS = 13
_FENCE = re.compile(r"^(```|~~~).*?^\1$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")


def _without_code(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def _paragraphs(page: Path) -> list[str]:
    """The prose of a page, a list item a paragraph: no code blocks, tables or headings."""
    found: list[list[str]] = [[]]
    for line in _without_code(page).splitlines():
        if not line.strip() or line.startswith(("#", "|")):
            found.append([])
        elif _ITEM.match(line):
            found.append([_ITEM.sub("", line)])
        else:
            found[-1].append(line.strip())
    texts = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(lines)) for lines in found if lines)
    return [re.sub(r"`[^`]*`", "code", text) for text in texts]


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found: set[str] = set()
    for heading in _HEADING.findall(_without_code(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = 0
        while (anchor := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(anchor)
    return found


def _targets(page: Path) -> list[str]:
    """The relative links of a page."""
    return [link for link in _LINK.findall(_without_code(page)) if not re.match(r"[a-z]+:", link)]


def test_the_readme_is_short() -> None:
    """The README has at most 140 lines."""
    assert len(README.read_text().splitlines()) <= MAX_README_LINES


def test_the_readme_has_no_long_paragraphs() -> None:
    """No paragraph of the README has more than 60 words."""
    assert [text for text in _paragraphs(README) if len(text.split()) > MAX_PARAGRAPH_WORDS] == []


def test_the_readme_has_short_sentences() -> None:
    """A sentence of the README has at most 13 words on average."""
    sentences = [each for text in _paragraphs(README) for each in re.split(r"(?<=[.!?:])\s+", text)]
    words = [len(each.split()) for each in sentences if re.search(r"\w", each)]
    assert sum(words) / len(words) <= MAX_MEAN_SENTENCE_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file or folder that exists, and every anchor one of its headings."""
    for target in _targets(page):
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{target} does not exist"
        assert not anchor or anchor in _anchors(other), f"{target} has no such heading"


def test_the_readme_leads_to_every_page() -> None:
    """Every page of docs/ is linked from the README, decisions by their folder."""
    linked = {(README.parent / target.partition("#")[0]).resolve() for target in _targets(README)}
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert {page for page in pages if page not in linked and page.parent not in linked} == set()
