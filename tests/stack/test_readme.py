"""Every snippet of the README and of docs/clients.md, run as it is printed against the running stack."""

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

_PAGES = (ROOT / "README.md", ROOT / "docs" / "clients.md")
_BLOCK = re.compile(r"^```(js|python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FIRST_LINES = {
    "// parley.js",
    "// chat.js",
    "// hello.js",
    "import os",
    "# responses",
    "# anthropic",
    "# llm",
    "# curl",
}
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
_TRANSPORT_HARNESS = """
import { Chat } from '@ai-sdk/react';
import { supabase, transport } from './parley.mjs';

await supabase.auth.signUp({ email: `${crypto.randomUUID()}@example.com`, password: 'secret-enough' });
const chat = new Chat({ transport });
await chat.sendMessage({ text: 'Say hello.' }, { body: { model: process.env.MODEL } });
if (chat.error) throw chat.error;
console.log(chat.messages.at(-1).parts.map((part) => part.text ?? '').join(''));
process.exit();
"""


def _blocks() -> list[str]:
    """The fenced blocks of all pages that hold code to run."""
    return [text for page in _PAGES for _, text in _BLOCK.findall(page.read_text())]


def _snippet(first_line: str) -> str:
    """The one block that begins with this line, on whichever pages it is."""
    (found,) = {text for text in _blocks() if text.partition("\n")[0] == first_line}
    return str(found)


def test_every_snippet_is_run() -> None:
    """A new snippet fails this test until another test runs it."""
    assert {text.partition("\n")[0] for text in _blocks()} == _FIRST_LINES


class Shell:
    """Runs snippets in a folder of their own, with a user's token and a model in the environment."""

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
        """The standard output of the command."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path, stack: Stack, alice: Person, model: Models) -> Shell:
    """A shell of Alice's, with a model that repeats the question."""
    return Shell(tmp_path, stack, alice, model("echo"))


def _run_page(shell: Shell, name: str, harness: str) -> str:
    """The output of the harness beside the snippet `name`.js, with the variables of Vite read from the environment."""
    snippet = _snippet(f"// {name}.js").replace("import.meta.env.VITE_", "process.env.")
    (shell.folder / f"{name}.mjs").write_text(snippet)
    (shell.folder / "main.mjs").write_text(harness)
    # A browser has WebSockets, which supabase-js looks for; Node 20 has them behind a flag.
    return shell.run("node", "--experimental-websocket", "main.mjs")


def test_the_transport_of_the_readme(shell: Shell) -> None:
    """After sign-up and a question the answer arrives in the AI SDK's chat."""
    assert _run_page(shell, "parley", _TRANSPORT_HARNESS).strip() == "Say hello."


def test_supabase_js_and_use_chat(shell: Shell) -> None:
    """After sign-up, a question, regenerate and a reload the hook shows the stored messages."""
    shown, again = json.loads(_run_page(shell, "chat", _HARNESS))
    assert shown == again == "<li>Say hello.</li><li>Say hello. </li>"


def test_openai_for_python(shell: Shell) -> None:
    """The answer is printed."""
    assert shell.run(sys.executable, "-c", _snippet("import os")) == "Say hello. "


def test_responses(shell: Shell) -> None:
    """Both answers are printed; the second continues the first."""
    assert shell.run(sys.executable, "-c", _snippet("# responses")) == "Say hello.  Say it again. \n"


def test_anthropic_for_python(shell: Shell) -> None:
    """The answer is printed."""
    assert shell.run(sys.executable, "-c", _snippet("# anthropic")) == "Say hello. "


def test_openai_for_javascript(shell: Shell) -> None:
    """The answer is printed."""
    (shell.folder / "hello.mjs").write_text(_snippet("// hello.js"))
    assert shell.run("node", "hello.mjs") == "Say hello. "


def test_llm(shell: Shell) -> None:
    """Llm's own commands configure it and print an answer."""
    assert shell.run("sh", "-c", _snippet("# llm")).strip() == "Say hello."


def test_curl(shell: Shell) -> None:
    """The default model answers with a stream."""
    assert text_of(frames(shell.run("sh", "-c", _snippet("# curl"))))
