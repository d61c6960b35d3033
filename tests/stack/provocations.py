"""Ways in which a user may try to change what other users get. Each leaves its connections open in `trial.open`."""

from __future__ import annotations

import gzip
import json
import secrets
import socket
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.stack.people import Person
from tests.stack.turns import turn_of

_BODY = {"message": "one two three", "stream": False}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass(frozen=True)
class Trial:
    """The user who tries, and what they know of another user: ids and the key of an earlier turn."""

    person: Person
    chat_url: str
    llms_url: str
    model: str
    conversation: str
    turn: str
    key: str
    open: ExitStack

    def ask(self, body: Any = None, path: str = "", **options: Any) -> httpx.Response:
        """A request to chat; `content` and `headers` replace those of a usual one."""
        options = {"json": _BODY | {"model": self.model} | (body or {})} | options
        if "content" in options:
            del options["json"]
        headers = self.person.headers | {"Content-Type": "application/json"} | options.pop("headers", {})
        answer = httpx.post(self.chat_url + path, headers=headers, timeout=20, **options)
        assert answer.status_code != 500, answer.text
        return answer

    def complete(self, content: Any = "one two three", **fields: Any) -> httpx.Response:
        """A completion with a content of its own."""
        body = {"model": self.model, "messages": [{"role": "user", "content": content}]} | fields
        return self.ask(path="/v1/chat/completions", json=body)

    def at_once(self, number: int, way: Callable[[], object]) -> None:
        """The same from several threads."""
        with ThreadPoolExecutor(number) as threads:
            for running in [threads.submit(way) for _ in range(number)]:
                running.result()

    def connect(self, sent: bytes) -> socket.socket:
        """A connection that sends these bytes, reads nothing and stays open."""
        address = urlsplit(self.chat_url)
        connection = self.open.enter_context(socket.socket())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((address.hostname, address.port))
        connection.sendall(sent)
        return connection

    def head(self, length: int) -> bytes:
        """The head of a request whose body has so many bytes."""
        fields = {"Host": "x", "Content-Type": "application/json", "Content-Length": str(length)} | self.person.headers
        return "".join(
            ["POST / HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in fields.items()), "\r\n"]
        ).encode()


def _prompting(kind: str) -> Callable[[Trial], None]:
    """Three turns at once whose prompt makes the shared model do this."""

    def way(trial: Trial) -> None:
        trial.at_once(3, lambda: trial.ask({"message": f"please {kind}", "max_tokens": 50}))

    return way


def _sending(**body: Any) -> Callable[[Trial], None]:
    return lambda trial: trial.at_once(3, lambda: trial.ask(body))


def _writing(content: Callable[[], bytes], **headers: str) -> Callable[[Trial], None]:
    return lambda trial: trial.at_once(3, lambda: trial.ask(content=content(), headers=headers))


def _showing(url: str, number: int = 3) -> Callable[[Trial], None]:
    return lambda trial: trial.at_once(
        2, lambda: trial.complete([{"type": "image_url", "image_url": {"url": url}}] * number)
    )


def _with_tools(*tools: dict[str, Any], **fields: Any) -> Callable[[Trial], None]:
    named = [{"type": "function", "function": {"name": f"t{at}", "parameters": each}} for at, each in enumerate(tools)]
    return lambda trial: trial.at_once(2, lambda: trial.complete(tools=named, **fields))


def _with_headers(**headers: str) -> Callable[[Trial], None]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda trial: trial.at_once(3, lambda: trial.ask(headers=sent))


def _guess_tokens(trial: Trial) -> None:
    head, _, rest = trial.person.token.partition(".")
    for at in range(20):
        token = f"{head[:-3]}{at:03d}.{rest}" if at % 2 else f"{secrets.token_hex(9)}.{rest}"
        assert trial.ask(headers={"Authorization": f"Bearer {token}"}).status_code == 401


def _node(trial: Trial, base_url: str) -> int:
    row = {"name": secrets.token_hex(3), "base_url": base_url}
    made = trial.person.rest("POST", "client_nodes", json=row, headers={"Prefer": "return=representation"})
    return int(made.json()[0]["id"])


def _probe_dead_nodes(trial: Trial) -> None:
    for at in range(2):
        node = _node(trial, f"http://127.0.0.1:9/{at}/v1")
        httpx.post(f"{trial.llms_url}/nodes/{node}/probe", headers=trial.person.headers, timeout=20)
        trial.ask({"model": f"client:{node}:echo"})


def _node_that_never_answers(trial: Trial) -> None:
    silent = trial.open.enter_context(socket.socket())
    silent.bind(("127.0.0.1", 0))
    silent.listen(20)
    node = _node(trial, f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
    body = json.dumps(_BODY | {"model": f"client:{node}:echo"}).encode()
    for _ in range(3):
        trial.connect(trial.head(len(body)) + body)


def _same_key(trial: Trial) -> None:
    answer = trial.ask(headers={"Idempotency-Key": trial.key})
    assert (answer.status_code, "x-idempotent-replay" in answer.headers) == (200, False)


def _their_conversation(trial: Trial) -> None:
    for _ in range(3):
        assert trial.ask({"conversation_id": trial.conversation}).status_code == 404
    assert trial.person.rest(
        "PATCH", f"llm_conversations?id=eq.{trial.conversation}", json={"title": "x"}
    ).status_code in {200, 204}
    member = {"conversation_id": trial.conversation, "user_id": trial.person.id}
    assert trial.person.rest("POST", "conversation_members", json=member).status_code in {401, 403, 404}


def _their_turn(trial: Trial) -> None:
    turn = turn_of(trial.model, turn_id=trial.turn)
    assert trial.person.rest("POST", "rpc/chat_begin", json={"turn": turn}).status_code != 200
    assert trial.person.rest("POST", "rpc/chat_finish", json={"entry": turn}).status_code in {401, 403, 404}
    assert trial.person.rest("POST", "feedback", json={"turn_id": trial.turn, "rating": 1}).status_code == 403


def _admit_and_leave(trial: Trial) -> None:
    for _ in range(12):
        trial.person.rest("POST", "rpc/chat_begin", json={"turn": turn_of(trial.model)})


def _rate_badly(trial: Trial) -> None:
    for _ in range(4):
        turn = trial.ask().json()["id"]
        assert trial.person.rest("POST", "feedback", json={"turn_id": turn, "rating": 1}).status_code == 201


def _hang_up(trial: Trial) -> None:
    body = json.dumps(_BODY | {"model": trial.model, "message": "please endless", "stream": True}).encode()
    for _ in range(8):
        trial.connect(trial.head(len(body)) + body).close()


def _read_nothing(trial: Trial) -> None:
    body = json.dumps(_BODY | {"model": trial.model, "message": "please flood", "stream": True}).encode()
    for _ in range(8):
        trial.connect(trial.head(len(body)) + body)


def _half_a_request(trial: Trial) -> None:
    for _ in range(60):
        trial.connect(trial.head(1000) + b"{")
        trial.connect(b"POST / HTTP/1.1\r\nHost: x\r\nX-")


def _nonsense(trial: Trial) -> None:
    for sent in (
        b"\x16\x03\x01\x02",
        b"GET /" + b"a" * 9000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ):
        trial.connect(sent)


def _ask_all_at_once(trial: Trial) -> None:
    trial.at_once(16, trial.ask)


def _begin_and_forget(trial: Trial) -> None:
    body = json.dumps(_BODY | {"model": trial.model, "message": "please stall", "stream": True}).encode()
    trial.connect(trial.head(len(body)) + body)
    assert trial.person.rest("POST", "rpc/delete_my_data", json={}).status_code in {200, 204}


def _list_everything(trial: Trial) -> None:
    for path in (
        "messages?or=(content.ilike.*a*,content.ilike.*b*)&limit=100000",
        "chat_logs?select=*",
        "rpc/model_menu",
    ):
        trial.at_once(4, lambda path=path: trial.person.rest("GET", path))  # type: ignore[misc]


def _shut_the_model(trial: Trial) -> None:
    for table, change in (
        ("llm_models", {"is_active": False}),
        ("provider_health", {"failures": 9}),
        ("usage_limits", {}),
    ):
        trial.person.rest("PATCH", f"{table}?limit=100", json=change)
    trial.person.rest("POST", "provider_health", json={"provider_key": trial.model, "failures": 9})
    trial.person.rest("POST", "usage_limits", json={"scope": "global", "daily_requests": 0})


_DEEP = b'{"message": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
_LOOP = {"type": "object", "properties": {"a": {"$ref": "#"}}, "$defs": {"b": {"$ref": "#/$defs/b"}}}
_SLOW_PATTERN = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}

_PROMPTS = (
    *("status-400", "status-403", "status-404", "status-408", "status-413", "status-422", "status-429"),
    *("status-429-after-600", "status-500", "status-503-after-600", "status-529", "html", "html-403", "html-502"),
    *("cut", "cut-first", "early-first", "malformed", "malformed-first", "overload", "overload-first"),
    *("empty", "filtered", "length", "greedy", "usage-wrong", "hostile", "tools"),
)
WAYS: dict[str, Callable[[Trial], None]] = {
    **{f"prompt {kind}": _prompting(kind) for kind in _PROMPTS},
    "model unknown": _sending(model="openai:no-such-model"),
    "model long": _sending(model="m" * 100_000),
    "model of a node": _sending(model="client:1:" + "x" * 300),
    "model with signs": _sending(model="../../\x00'; drop table llm_models; --"),
    "image broken": _showing("data:image/png;base64,AAAA"),
    "image of many": _showing(f"data:image/png;base64,{PIXEL}", 400),
    "image elsewhere": _showing("http://169.254.169.254/latest/meta-data"),
    "image large": _showing("data:image/png;base64," + "A" * 3_000_000, 1),
    "tools many": _with_tools(*[{"type": "object"}] * 500),
    "tools looping": _with_tools(_LOOP, tool_choice="required"),
    "tools slow pattern": _with_tools(_SLOW_PATTERN),
    "schema looping": _with_tools(
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": _LOOP}}
    ),
    "body deep": _writing(lambda: _DEEP),
    "body large": _writing(lambda: b"[" + b"1," * 3_000_000 + b"1]"),
    "body of values": _writing(lambda: json.dumps(_BODY | {"messages": [{}] * 90_000}).encode()),
    "body not utf-8": _writing(lambda: b'{"message": "\xff\xfe"}'),
    "body numbers": _writing(lambda: b'{"message": "x", "temperature": 1e999, "max_tokens": ' + b"9" * 5000 + b"}"),
    "body twice": _writing(lambda: b'{"message": "a", "message": "", "stream": false}'),
    "body zipped": _writing(lambda: gzip.compress(b"a" * 50_000_000), **{"Content-Encoding": "gzip"}),
    "body surrogates": _writing(lambda: json.dumps({"message": "\ud800\x00\n\ndata: [DONE]\n\n"}).encode()),
    "body of settings": _sending(
        temperature=2, max_tokens=10**9, user_id=str(uuid.uuid4()), role="admin", dry_run=False
    ),
    "headers large": _with_headers(X_Filler="x" * 60_000),
    "headers forged": _with_headers(X_Forwarded_For="127.0.0.1", X_Request_Id="../\t{}", X_User_Id=str(uuid.uuid4())),
    "headers origin": _with_headers(Origin="https://evil.example", X_Forwarded_Host="evil.example", Forwarded="for=x"),
    "headers tokens": _guess_tokens,
    "node dead": _probe_dead_nodes,
    "node silent": _node_that_never_answers,
    "key the same": _same_key,
    "conversation theirs": _their_conversation,
    "turn theirs": _their_turn,
    "turns without end": _admit_and_leave,
    "turns at once": _ask_all_at_once,
    "ratings": _rate_badly,
    "abort": _hang_up,
    "slow reading": _read_nothing,
    "half requests": _half_a_request,
    "nonsense": _nonsense,
    "deletion": _begin_and_forget,
    "tables": _shut_the_model,
    "queries": _list_everything,
}
