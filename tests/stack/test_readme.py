"""Every snippet of the README, run as it stands there against the running stack."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack.conftest import ROOT, Models
from tests.stack.people import Person, Stack, frames, text_of

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HARNESS = """
import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { openChat, supabase, useParley } from './chat.mjs';

const words = (message) => message.parts.map((part) => part.text ?? '').join('');
const List = ({ chat }) => useParley(chat).messages.map((m) => createElement('li', { key: m.id }, words(m)));
await supabase.auth.signUp({ email: `${crypto.randomUUID()}@example.com`, password: 'secret-enough' });
const id = crypto.randomUUID();
const chat = await openChat(id);
await chat.sendMessage({ text: 'Say hello.' }, { body: { model: process.env.MODEL } });
if (chat.error) throw chat.error;
await chat.regenerate({ body: { model: process.env.MODEL } });
const again = await openChat(id);
console.log(JSON.stringify([chat, again].map((each) => renderToStaticMarkup(createElement(List, { chat: each })))));
process.exit();
"""


def _snippet(begins: str) -> str:
    """The one fenced block that begins so."""
    readme = (ROOT / "README.md").read_text()
    (found,) = [text for _, text in _BLOCK.findall(readme) if text.startswith(begins)]
    return str(found)


class Shell:
    """Runs snippets in a folder of their own, as somebody with a token and a model would."""

    def __init__(self, folder: Path, stack: Stack, person: Person, identifier: str) -> None:
        (folder / "node_modules").symlink_to(ROOT / "node_modules")
        self.folder = folder
        names = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "CHAT_URL")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # llm would load the plugin that the weights of our demo model come in, which wants an engine of its own.
        own = {"LLM_USER_PATH": str(folder), "LLM_LOAD_PLUGINS": "", "NODE_NO_WARNINGS": "1", "PATH": path}
        self.env = {**os.environ, **{name: stack[name] for name in names}, **own}
        self.env |= {"TOKEN": person.token, "MODEL": identifier}

    def run(self, *command: str) -> str:
        """What it prints."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path, stack: Stack, alice: Person, model: Models) -> Shell:
    """Alice's, with a model that says what it is told."""
    return Shell(tmp_path, stack, alice, model("echo"))


def test_supabase_js_and_use_chat(shell: Shell) -> None:
    """Sign up, ask, have it answered anew, come back: the hook shows what the database keeps."""
    # A browser has WebSockets, which supabase-js looks for; Node 20 has them behind a flag.
    snippet = _snippet("// chat.js").replace("import.meta.env.VITE_", "process.env.")
    (shell.folder / "chat.mjs").write_text(snippet)
    (shell.folder / "main.mjs").write_text(_HARNESS)
    shown, again = json.loads(shell.run("node", "--experimental-websocket", "main.mjs"))
    assert shown == again == "<li>Say hello.</li><li>Say hello. </li>"


def test_openai_for_python(shell: Shell) -> None:
    """Words come and are printed."""
    assert shell.run(sys.executable, "-c", _snippet("import os\nfrom openai")) == "Say hello. "


def test_openai_for_javascript(shell: Shell) -> None:
    """Words come and are printed."""
    (shell.folder / "hello.mjs").write_text(_snippet("// hello.js"))
    assert shell.run("node", "hello.mjs") == "Say hello. "


def test_llm(shell: Shell) -> None:
    """Configured and asked by its own commands."""
    assert shell.run("sh", "-c", _snippet("# llm")).strip() == "Say hello."


def test_curl(shell: Shell) -> None:
    """The default model answers with a stream."""
    assert text_of(frames(shell.run("sh", "-c", _snippet("# curl"))))
