"""The operator's commands of the local stack, against the running stack."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.stack.conftest import ROOT, Models
from tests.stack.people import Person, Stack
from tests.stack.turns import Database


class Local:
    """Runs `python -m local` with the stack's variables and no data directory."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        names = ("SUPABASE_URL", "SUPABASE_SERVICE_KEY")
        self.env = {**os.environ, **{name: stack[name] for name in names}}
        self.folder = folder

    def run(self, *words: str, code: int = 0) -> str:
        """What it prints; on stderr when it must fail."""
        command = [sys.executable, "-m", "local", words[0], "--data", str(self.folder), *words[1:]]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout


@pytest.fixture
def local(stack: Stack, tmp_path: Path) -> Local:
    """The command line."""
    return Local(stack, tmp_path)


def test_a_person_becomes_an_admin_with_their_next_token(local: Local, stack: Stack, alice: Person) -> None:
    """`--revoke` removes the role again; an unknown address gets an account."""

    def is_admin(email: str) -> bool:
        """Whether the caps of all users are visible."""
        token = local.run("token", email).strip()
        headers = {"Authorization": f"Bearer {token}", "apikey": stack["SUPABASE_ANON_KEY"]}
        caps = httpx.get(f"{stack['SUPABASE_URL']}/rest/v1/usage_limits", headers=headers, timeout=20)
        return bool(caps.json())

    for email in (alice.email, f"{secrets.token_hex(6)}@example.com"):
        assert "local token" in local.run("admin", email)
        assert is_admin(email)
        assert "is no longer an admin" in local.run("admin", email, "--revoke")
        assert not is_admin(email)
    assert local.run("admin", "nobody@example.com", "--revoke", code=1).count("\n") == 1


def test_caps_are_shown_with_their_use(local: Local, alice: Person, model: Models) -> None:
    """The table has the seeded scopes, and a user's row with today's usage."""
    table = local.run("limits")
    assert [line.split()[:4] for line in table.splitlines()[1:] if line.startswith(("default", "anonymous"))] == [
        ["anonymous", "20", "0.2", "1"],
        ["default", "500", "5", "50"],
    ]
    alice.whole("hello", model=model("echo"))
    assert "This scope has no row" in local.run("limits", alice.email)
    row = local.run("limits", alice.email, "--daily-requests", "7").splitlines()[1].split()
    assert row[:8] == [alice.id, "7", "5", "50", "-", "-", "-", "1"]


def test_limits_shows_the_minute_the_cheaper_model_and_the_bounds(local: Local, alice: Person, db: Database) -> None:
    """Each control of a row is in the table, and a new cap leaves it as it is."""
    local.run("limits", alice.id, "--daily-usd", "2")
    db.execute(
        "update public.usage_limits set is_adaptive = true, adaptive_min_usd = 1, adaptive_max_usd = 20"
        " where scope = %s",
        [alice.id],
    )
    local.run("limits", alice.id, "--requests-per-minute", "9", "--degrade-at", "0.8", "--degrade-to", "cheap")
    row = local.run("limits", alice.id, "--monthly-usd", "40").splitlines()[1]
    assert row.split()[1:11] == ["500", "2", "40", "9", "80%:", "cheap", "1", "to", "20", "USD"]
    words = ("--requests-per-minute", "none", "--degrade-at", "none", "--degrade-to", "none")
    assert local.run("limits", alice.id, *words).splitlines()[1].split()[4:7] == ["-", "-", "1"]


def test_a_cap_binds_until_it_is_removed(local: Local, alice: Person, model: Models) -> None:
    """The user is refused at the cap, reads it with my_limits(), and can continue after its removal."""
    name = model("echo")
    local.run("limits", alice.email, "--daily-requests", "0", "--daily-usd", "1.5", "--monthly-usd", "none")
    refused = alice.ask({"message": "hi", "model": name})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
    day, month = alice.rows("rpc/my_limits")
    assert (day["max_requests"], day["max_cost_usd"], month["max_cost_usd"]) == (0, 1.5, None)
    local.run("limits", alice.id, "--daily-requests", "none")
    assert alice.whole("hi", model=name)["id"]


@pytest.mark.parametrize(
    "words",
    [
        ("--daily-requests", "5"),
        ("default", "--daily-usd", "lots"),
        ("default", "--daily-usd", "-1"),
        ("default", "--daily-requests", "1.5"),
        ("default", "--degrade-at", "0.8"),
        ("default", "--degrade-to", "cheap"),
        ("default", "--degrade-at", "80", "--degrade-to", "cheap"),
        ("global", "--requests-per-minute", "9"),
        ("everyone",),
        ("nobody@example.com",),
    ],
    ids=" ".join,
)
def test_a_wrong_word_is_one_line(local: Local, db: Database, words: tuple[str, ...]) -> None:
    """A wrong argument prints one line and changes nothing."""
    before = db.execute("select * from public.usage_limits order by scope").fetchall()
    assert local.run("limits", *words, code=1).count("\n") == 1
    assert db.execute("select * from public.usage_limits order by scope").fetchall() == before
