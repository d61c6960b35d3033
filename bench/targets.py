"""The programs that stand side by side in the table, and the requests that each one gets."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import peers
from bench.function import HELLO
from bench.project import Project
from bench.upstream import Script
from deploy.entry import entry_of
from local.environment import ROOT
from tests.stack_process import clean_environ, free_ports

ALL = frozenset({"unary", "streams", "hold"})  # hold: 500 streams
_QUESTION = "Say something short about gateways."


@dataclass(frozen=True, slots=True)
class Target:
    """A program to measure; without a command it is already running.

    `prefix` goes before the model's name. `tokens` are bearer tokens, one for each caller in turn. `roots` are the
    processes that work for it, without its own. `loads` are the kinds of load it gets. `has_tokens` is false when its
    answers have none.
    """

    name: str
    port: int
    command: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT
    path: str = "/"
    prefix: str = ""
    is_ui: bool = False
    tokens: tuple[str, ...] = ("bench",)
    headers: Mapping[str, str] = field(default_factory=dict)
    roots: Mapping[str, int] = field(default_factory=dict)
    loads: frozenset[str] = ALL
    has_tokens: bool = True

    def requests(self, script: Script, *, stream: bool) -> list[bytes]:
        """One HTTP request for each token."""
        return [self._request(self._body(script.model, stream), token) for token in self.tokens]

    def _body(self, model: str, stream: bool) -> dict[str, Any]:
        if self.is_ui:
            return {"message": _QUESTION, "model": self.prefix + model, "stream": stream}
        body = {"model": self.prefix + model, "messages": [{"role": "user", "content": _QUESTION}], "stream": stream}
        return body | ({"stream_options": {"include_usage": True}} if stream else {})

    def _request(self, body: dict[str, Any], token: str) -> bytes:
        data = json.dumps(body).encode()
        fields = {
            "Host": f"127.0.0.1:{self.port}",
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            "Authorization": f"Bearer {token}",
            **self.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + data


def get(path: str) -> bytes:
    """A request for a page of a function."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()


def all_targets(project: Project, upstream_port: int, folder: Path) -> list[Target]:
    """The upstream itself first, then every program; peers only where `make bench-peers` has installed them."""
    upstream = f"http://127.0.0.1:{upstream_port}/v1"
    hello = folder / "hello.py"
    hello.write_text(HELLO)
    forward = ROOT / "bench" / "passthrough.py"
    url = {"UPSTREAM_URL": f"{upstream}/chat/completions"}
    chat: dict[str, Any] = {"prefix": "openai:", "tokens": project.tokens, "roots": project.roots}
    completions: dict[str, Any] = chat | {"path": "/v1/chat/completions"}
    environ = {**project.values, "OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": upstream}
    source = folder / "chat.py"
    source.write_text(entry_of("chat"))
    found = [
        Target("upstream itself", upstream_port, path="/v1/chat/completions", loads=frozenset({"unary", "streams"})),
        _function("hello", "hello", hello, {}, loads=frozenset({"unary"}), has_tokens=False),
        _function("raw pass-through", "forward", forward, url),
        _function("completions", "chat", source, environ, **completions),
        _function("POST /, stored", "chat", source, environ, is_ui=True, loads=ALL - {"hold"}, **chat),
    ]
    if "LEDGER_DATABASE_URL" in environ:  # the stack connects chat to its database: measure both ways
        over_rest = {name: value for name, value in environ.items() if name != "LEDGER_DATABASE_URL"}
        name = "completions, PostgREST"
        found.append(_function(name, "chat", source, over_rest, loads=frozenset({"unary"}), **completions))
    return found + [_peer(peer, folder, upstream) for peer in peers.installed()]


def llms_target(project: Project) -> Target:
    """The model list; only its cold start is measured."""
    environ = {**project.values, "OPENAI_API_KEY": "sk-bench"}
    return _function(
        "llms /health",
        "llms",
        ROOT / "functions/llms/main.py",
        environ,
        path="/health",
        loads=frozenset(),
        has_tokens=False,
    )


def _function(name: str, target: str, source: Path, environ: Mapping[str, str], **options: Any) -> Target:
    """A function served as the clouds serve it."""
    port = free_ports()
    command = [sys.executable, "-m", "uvicorn", "functions_framework.aio:app", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--timeout-keep-alive", "75", "--lifespan", "on"]
    command += ["--no-access-log", "--log-level", "warning"]
    own = {"FUNCTION_TARGET": target, "FUNCTION_SOURCE": str(source), "PYTHONPATH": str(ROOT)}
    own["PYTHONDONTWRITEBYTECODE"] = ""  # packed functions have their bytecode, so a cold start compiles nothing
    return Target(name, port, tuple(command), clean_environ() | dict(environ) | own, **options)


def _peer(peer: peers.Peer, folder: Path, upstream: str) -> Target:
    port = free_ports()
    return Target(
        peer.name,
        port,
        tuple(peer.command(port, upstream, folder)),
        {**os.environ, **peer.environ},
        peer.folder,
        "/v1/chat/completions",
        headers=peer.headers(upstream),
        tokens=(peer.token,),
        loads=peer.loads,
    )
