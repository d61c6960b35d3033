"""The peers: what is installed, and where."""

from __future__ import annotations

import subprocess

import pytest

from bench import peers
from local.environment import ROOT


def test_peers_are_installed_where_git_does_not_look() -> None:
    """Their folder is ignored, so neither packages nor locks reach a commit."""
    done = subprocess.run(["git", "check-ignore", "-q", peers.FOLDER / "x"], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_a_peer_whose_program_is_missing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without `make bench-peers` measures Parley alone."""
    monkeypatch.setattr(peers, "PEERS", {})
    assert peers.installed() == []
