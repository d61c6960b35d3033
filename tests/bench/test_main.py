"""The command line, and the page that explains it."""

from __future__ import annotations

import pytest

from bench.__main__ import NAMES, main
from local.environment import ROOT


def test_an_unknown_block_is_refused_with_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typing error does not start a run."""
    monkeypatch.setattr("sys.argv", ["bench", "legder"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "there is no legder; there are side_by_side, ledger" in capsys.readouterr().err


def test_the_page_on_speed_explains_each_block() -> None:
    """docs/speed.md has one row for each block."""
    page = (ROOT / "docs" / "speed.md").read_text()
    assert [name for name in NAMES if f"| `{name}` |" not in page] == []
