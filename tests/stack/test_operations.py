"""Every SQL and JavaScript snippet of docs/operations.md, run as printed against the running stack."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stack.conftest import ROOT, Models
from tests.stack.people import Person, Stack
from tests.stack.turns import Database

_BLOCK = re.compile(r"^```(sql|js)\n(?:--|//) (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGE = (ROOT / "docs" / "operations.md").read_text()
SNIPPETS = {name: text for _, name, text in _BLOCK.findall(PAGE)}
EMAIL = "ada@example.com"


def _node(stack: Stack, folder: Path, name: str, **changes: str) -> str:
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    for each in {"operator.mjs", name}:
        (folder / each).write_text(SNIPPETS[each])
    env = {**os.environ, **stack.env, **changes, "NODE_NO_WARNINGS": "1"}
    command = ["node", "--experimental-websocket", name]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def ada(stack: Stack) -> Any:
    """The user of the page, for one test."""
    headers = {"apikey": stack["SUPABASE_SERVICE_KEY"]}
    url = f"{stack['SUPABASE_URL']}/auth/v1/admin/users"
    made = httpx.post(url, json={"email": EMAIL, "email_confirm": True}, headers=headers)
    assert made.status_code == 200, made.text
    yield made.json()["id"]
    httpx.delete(f"{url}/{made.json()['id']}", headers=headers)


def _role(db: Database, person: str) -> Any:
    row = db.execute("select raw_app_meta_data ->> 'role' as role from auth.users where id = %s", [person]).fetchone()
    return row and row["role"]


def test_sql_makes_an_admin(ada: str, db: Database) -> None:
    """The role is set and the address is printed."""
    assert db.execute(SNIPPETS["admin"]).fetchall() == [{"email": EMAIL}]
    assert _role(db, ada) == "admin"


def test_supabase_js_makes_an_admin(ada: str, stack: Stack, db: Database, tmp_path: Path) -> None:
    """supabase-js with the service key sets the role."""
    assert _node(stack, tmp_path, "admin.mjs") == "admin"
    assert _role(db, ada) == "admin"


def test_caps_are_changed_and_set_back(stack: Stack, db: Database, tmp_path: Path) -> None:
    """SQL sets the cap to ten dollars, and supabase-js sets it back to five."""
    assert db.execute(SNIPPETS["caps"]).fetchall() == [{"scope": "default", "daily_cost_usd": 10}]
    assert _node(stack, tmp_path, "caps.mjs") == '[{"scope":"default","daily_cost_usd":5}]'


def test_an_owner_deletes_a_conversation(alice: Person, model: Models, stack: Stack, tmp_path: Path) -> None:
    """The conversation is deleted, and null is printed."""
    ours = alice.whole("hello", model=model("echo"))["conversation_id"]
    assert _node(stack, tmp_path, "delete.mjs", TOKEN=alice.token, CONVERSATION_ID=ours) == "null"
    assert alice.rows(f"llm_conversations?id=eq.{ours}") == []


def test_attempts_are_listed(alice: Person, model: Models, db: Database) -> None:
    """The newest turn comes first."""
    answers = [alice.whole("hello", model=model("echo")) for _ in range(2)]
    claims = json.dumps({"sub": alice.id, "role": "authenticated"})  # turns of other tests may still be running
    with db.transaction(force_rollback=True):
        db.execute(
            "select set_config('request.jwt.claims', %s, true), set_config('role', 'authenticated', true)", [claims]
        )
        listed = db.execute(SNIPPETS["attempts"]).fetchall()
    assert [str(row["turn_id"]) for row in listed] == [answers[1]["id"], answers[0]["id"]]


def test_every_snippet_is_run() -> None:
    """A new snippet on the page fails this test until another test runs it."""
    assert set(SNIPPETS) == {"operator.mjs", "admin", "admin.mjs", "caps", "caps.mjs", "delete.mjs", "attempts"}
    assert len(SNIPPETS) == len(re.findall(r"^```(?:sql|js)$", PAGE, re.MULTILINE))
