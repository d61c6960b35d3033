"""Which variables count as given, and how the file with the made-up ones reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import environment


@pytest.fixture(autouse=True)
def _no_project_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "ROOT", tmp_path)


def test_a_value_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Quotes, spaces, dollars and hashes survive the file."""
    values = {"A": "it's", "B": 'two "words" # here', "C": "$HOME `id`", "D": "a=b"}
    environment.write_file(tmp_path / "env", values, own=[])
    read = environment.read_file(tmp_path / "env")
    assert {name: read[name] for name in values} == values


def test_what_an_earlier_stack_made_up_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that sourced a stack's file chose nothing by that; a value changed since is a choice."""
    made_up = {"SUPABASE_URL": "http://127.0.0.1:54321", "MODEL_URL": "http://127.0.0.1:54323/v1"}
    environment.write_file(tmp_path / "env", made_up, own=made_up)
    for name, value in environment.read_file(tmp_path / "env").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MODEL_URL", "http://127.0.0.1:11434/v1")
    given = environment.given()
    assert "SUPABASE_URL" not in given
    assert given["MODEL_URL"] == "http://127.0.0.1:11434/v1"


def test_the_environment_wins_over_the_projects_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env` in the project's root gives defaults, in the usual spellings; an empty value gives nothing."""
    (tmp_path / ".env").write_text(
        "# keys\nexport HF_TOKEN='from file'\nHF_MODEL=small # comment\nEMPTY=\nX_TOKEN=file\n"
    )
    monkeypatch.setenv("X_TOKEN", "environment")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_MODEL", raising=False)
    given = environment.given()
    assert (given["HF_TOKEN"], given["HF_MODEL"], given["X_TOKEN"]) == ("from file", "small", "environment")
    assert "EMPTY" not in given
