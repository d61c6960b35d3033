"""The baseline migrations: written from the schemas until a later migration freezes them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from local import baseline

LATER = "20270101000000_add_ratings.sql"


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations, which `baseline` writes to."""
    copy = tmp_path / "migrations"
    shutil.copytree(baseline.MIGRATIONS, copy)
    monkeypatch.setattr(baseline, "MIGRATIONS", copy)
    monkeypatch.setattr(baseline, "CHECKSUMS", copy / "checksums.txt")
    return copy


def test_an_edited_baseline_is_written_again(migrations: Path) -> None:
    """Before any later migration, the schema files decide."""
    name, text = next(iter(baseline.baseline().items()))
    (migrations / name).write_text("select 1;")
    assert baseline.main() == 0
    assert (migrations / name).read_text() == text
    assert baseline.edited() == []


def test_a_later_migration_freezes_the_baseline(migrations: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own checksum is added; after that an edit of any recorded file is refused by name."""
    (migrations / LATER).write_text("select 1;")
    assert baseline.main() == 0
    assert LATER in baseline.CHECKSUMS.read_text()
    name = next(iter(baseline.baseline()))
    for edited in (name, LATER):
        before = (migrations / edited).read_text()
        (migrations / edited).write_text("select 2;")
        assert baseline.main() == 1
        assert edited in capsys.readouterr().err
        (migrations / edited).write_text(before)
    (migrations / LATER).unlink()
    assert baseline.edited() != []
