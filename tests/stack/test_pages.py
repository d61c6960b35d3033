"""The SQL and JavaScript of the pages in docs/, run as printed; two pages have tests of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.providers import Upstream
from tests.stack.conftest import ROOT, Models
from tests.stack.people import Person, Stack
from tests.stack.turns import Database

DOCS = ROOT / "docs"
# Two pages have tests of their own; the database page shows signatures; the schedules need pg_cron and Vault, which the
# embedded database does not have.
ELSEWHERE = {"operations.md", "clients.md", "database.md", "schedules.md"}
_BLOCK = re.compile(r"^```(sql|js)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [
    (str(page.relative_to(DOCS)), language, text)
    for page in sorted(DOCS.rglob("*.md"))
    if page.name not in ELSEWHERE
    for language, text in _BLOCK.findall(page.read_text())
]
SQL = [pytest.param(text, id=page) for page, language, text in BLOCKS if language == "sql"]
_PRELUDE = """
import { createClient } from '@supabase/supabase-js';
const { SUPABASE_URL, SUPABASE_ANON_KEY, LLMS_URL, TOKEN: token } = process.env;
const global = { headers: { Authorization: `Bearer ${token}` } };
const supabase = createClient(SUPABASE_URL, SUPABASE_ANON_KEY, { global });
"""


def _run(folder: Path, stack: Stack, person: Person, script: str) -> Any:
    """The JSON that the script prints last, run as this user."""
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    (folder / "page.mjs").write_text(_PRELUDE + script)
    env = {**os.environ, **stack.env, "TOKEN": person.token, "NODE_NO_WARNINGS": "1"}
    command = ["node", "--experimental-websocket", "page.mjs"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _js(page: str) -> str:
    return "".join(text for name, language, text in BLOCKS if (name, language) == (page, "js"))


@pytest.mark.parametrize("statement", SQL)
def test_sql_of_a_page_runs(statement: str, db: Database) -> None:
    """The database accepts the statement; its changes are rolled back."""
    with db.transaction(force_rollback=True):
        db.execute(statement.encode())


def test_a_user_reads_their_limits(alice: Person, stack: Stack, tmp_path: Path) -> None:
    """The result has one row for the day and one for the month."""
    found = _run(tmp_path, stack, alice, _js("limits-and-costs.md") + "console.log(JSON.stringify(data));")
    assert [row["period"] for row in found] == ["day", "month"]


def test_a_user_adds_a_node(alice: Person, stack: Stack, upstream: Upstream, tmp_path: Path) -> None:
    """The node is stored with its key, and the probe finds its models."""
    script = _js("client-nodes.md").replace("https://llm.example.com/v1", upstream.url("client"))
    script += "const stored = await supabase.from('client_nodes').select('has_key, models').eq('id', node.id).single();"
    found = _run(tmp_path, stack, alice, script + "console.log(JSON.stringify(stored.data));")
    assert found["has_key"]
    assert found["models"]


def test_a_user_creates_uses_and_revokes_a_key(alice: Person, stack: Stack, model: Models, tmp_path: Path) -> None:
    """A key from supabase-js and one from curl answer over HTTP and the SDK, until they are revoked."""
    page = (DOCS / "api-keys.md").read_text()
    create, use, revoke = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (python,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    first = _run(tmp_path, stack, alice, _js("api-keys.md") + "console.log(JSON.stringify(data));")
    env = {**os.environ, **stack.env, "TOKEN": alice.token, "MODEL": model("echo")}

    def run(*command: str, key: dict[str, Any] | None = None) -> str:
        values = env if key is None else env | {"PARLEY_KEY": key["key"], "KEY_ID": key["id"]}
        return subprocess.run(command, env=values, capture_output=True, text=True, timeout=60, check=True).stdout

    second = json.loads(run("sh", "-c", create))
    for key in (first, second):
        assert (key["name"], key["daily_cost_usd"]) == ("laptop", 2)
        assert json.loads(run("sh", "-c", use, key=key))["choices"][0]["message"]["content"] == "Say hello. "
        assert run(sys.executable, "-c", python, key=key) == "Say hello. \n"
        run("sh", "-c", revoke, key=key)
        assert json.loads(run("sh", "-c", use, key=key))["error"]["metadata"] == {"reason": "revoked"}


def test_a_user_allows_training_and_excludes_a_conversation(
    alice: Person, stack: Stack, model: Models, tmp_path: Path
) -> None:
    """Both choices are stored, after the report that the page shows."""
    conversation = alice.whole("hello", model=model("echo"))["conversation_id"]
    names = f"const user = {{ id: {json.dumps(alice.id)} }}, conversationId = {json.dumps(conversation)};"
    report = _run(tmp_path, stack, alice, names + _js("analytics.md") + "console.log(JSON.stringify(data));")
    assert isinstance(report, list)
    (profile,) = alice.rows("user_llm_profiles?select=allows_training")
    (stored,) = alice.rows(f"llm_conversations?select=allows_training&id=eq.{conversation}")
    assert (profile["allows_training"], stored["allows_training"]) == (True, False)


def test_a_user_exports_all_that_is_theirs(alice: Person, stack: Stack, model: Models, tmp_path: Path) -> None:
    """The pages have the user's question."""
    alice.whole("my own question", model=model("echo"))
    pages = _run(tmp_path, stack, alice, _js("privacy.md") + "console.log(JSON.stringify(pages));")
    assert "my own question" in json.dumps(pages)


def test_every_snippet_is_run() -> None:
    """A new JavaScript snippet on a page fails this test until another test runs it."""
    found = {page for page, language, _ in BLOCKS if language == "js"}
    # The page of assist is run by test_assist_page.py.
    ours = {"analytics.md", "api-keys.md", "client-nodes.md", "limits-and-costs.md", "privacy.md"}
    assert found == ours | {"api/assist.md"}
