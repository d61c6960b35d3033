"""Clients that generators make of the OpenAPI documents compile, and complete chats against the running stack."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.endpoint import document_path
from tests.providers import named
from tests.stack.conftest import ROOT, Models
from tests.stack.people import Person

_NAMES = ("chat", "llms", "refresh")
_BINARIES = ROOT / "node_modules" / ".bin"
_COMPILER_OPTIONS = {
    "strict": True,
    "module": "nodenext",
    "target": "es2022",
    "lib": ["es2022", "dom"],
    "types": [],
    "skipLibCheck": True,
}


def _run(*command: str | Path, folder: Path) -> str:
    """What the program prints. It must succeed."""
    done = subprocess.run(
        [str(each) for each in command], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the types of all documents and a client of chat, compiled together."""
    folder = tmp_path_factory.mktemp("typescript")
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": _COMPILER_OPTIONS}))
    for name in _NAMES:
        types = folder / ("schema.ts" if name == "chat" else f"{name}.ts")
        _run(_BINARIES / "openapi-typescript", document_path(name), "-o", types, folder=folder)
    client = folder / "client.ts"
    client.write_text((Path(__file__).parent / "javascript" / "generated_client.ts").read_text())
    _run(_BINARIES / "tsc", folder=folder)
    return folder


def test_a_client_of_openapi_typescript_completes_a_chat(
    typescript: Path, alice: Person, model: Models, chat_url: str
) -> None:
    """It compiles under strict rules; answers, errors and the list of models have their types."""
    identifier = model(named("fixed", "openai"), provider="openai")
    assert json.loads(_run("node", "client.js", chat_url, alice.token, identifier, folder=typescript)) == {
        "content": "one two three",
        "choice": "one two three",
        "tokens": 72,
        "code": "model_not_found",
        "hasModels": True,
    }


@pytest.fixture(scope="module")
def python_clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generated packages of all documents; the generator leaves nothing out."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "config.yaml").write_text("post_hooks: []\n")
    generator = Path(sys.executable).with_name("openapi-python-client")
    for name in _NAMES:
        options = ("--path", document_path(name), "--output-path", folder / name, "--config", "config.yaml")
        _run(generator, "generate", *options, "--meta", "none", "--fail-on-warning", folder=folder)
    return folder


def test_clients_of_openapi_python_client_can_be_imported(
    python_clients: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each module of each package is valid."""
    monkeypatch.syspath_prepend(str(python_clients.parent))
    package = f"{python_clients.name}"
    for path in sorted(python_clients.rglob("*.py")):
        module = path.relative_to(python_clients).with_suffix("").parts
        importlib.import_module(".".join((package, *module)).removesuffix(".__init__"))


def test_a_client_of_openapi_python_client_completes_a_chat(
    python_clients: Path, alice: Person, model: Models, chat_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers and errors are objects of the generated classes."""
    monkeypatch.syspath_prepend(str(python_clients.parent))
    identifier = model(named("fixed", "openai"), provider="openai")

    def module(name: str) -> Any:
        return importlib.import_module(f"{python_clients.name}.chat.{name}")

    turn = module("models").ChatRequest(message="one two three", model=identifier, stream=False)
    asked = {"model": identifier, "messages": [{"role": "user", "content": "one two three"}]}
    body = module("models").CompletionRequest.from_dict(asked)
    wrong = module("models").CompletionRequest.from_dict(asked | {"model": "openai:no-such-model"})
    with module("client").AuthenticatedClient(base_url=chat_url, token=alice.token) as client:
        answer = module("api.default.create_turn").sync(client=client, body=turn)
        completion = module("api.default.create_completion").sync(client=client, body=body)
        error = module("api.default.create_completion").sync(client=client, body=wrong)
    assert (type(answer).__name__, answer.message.content) == ("WholeAnswer", "one two three")
    assert (completion.choices[0].message.content, completion.usage.total_tokens) == ("one two three", 72)
    assert (type(error).__name__, error.error.code) == ("Error", "model_not_found")
