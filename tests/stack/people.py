"""Users of a stack test: sign-up, requests, streams and rows."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

_SECONDS = 60.0  # of any request, on a busy machine


@dataclass(frozen=True)
class Stack:
    """Where the running stack is, by the names of its dotenv file."""

    env: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.env[name]


@dataclass(frozen=True)
class Person:
    """Someone signed up; `headers` make a request theirs."""

    stack: Stack
    id: str
    email: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def ask(self, body: dict[str, Any], url: str | None = None, **headers: str) -> httpx.Response:
        """One request to chat, read to its end."""
        return httpx.post(url or self.stack["CHAT_URL"], json=body, headers=self.headers | headers, timeout=_SECONDS)

    def leave(self, body: dict[str, Any], url: str, *, when: Callable[[], object], **headers: str) -> None:
        """Sends a request and hangs up, without an answer, as soon as `when()` is true."""
        where, headers = httpx.URL(url), self.headers | {"Content-Type": "application/json"} | headers
        with contextlib.closing(http.client.HTTPConnection(where.host, where.port, timeout=_SECONDS)) as connection:
            connection.request("POST", where.path, json.dumps(body), headers)
            assert when(), "what the client waited for did not happen"

    def whole(self, message: str, **fields: Any) -> dict[str, Any]:
        """The JSON answer of a turn that must succeed."""
        response = self.ask({"message": message, "stream": False} | fields)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def rest(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request to the data API as this person."""
        headers = self.headers | {"apikey": self.stack["SUPABASE_ANON_KEY"]} | options.pop("headers", {})
        url = f"{self.stack['SUPABASE_URL']}/rest/v1/{path}"
        return httpx.request(method, url, headers=headers, timeout=_SECONDS, **options)

    def rows(self, path: str) -> list[dict[str, Any]]:
        """Rows as this person sees them."""
        response = self.rest("GET", path)
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()
        return found


def sign_up(stack: Stack) -> Person:
    """A new user."""
    email = f"{secrets.token_hex(6)}@example.com"
    response = httpx.post(
        f"{stack['SUPABASE_URL']}/auth/v1/signup",
        json={"email": email, "password": secrets.token_hex(8)},
        headers={"apikey": stack["SUPABASE_ANON_KEY"]},
        timeout=_SECONDS,
    )
    assert response.status_code == 200, response.text
    session = response.json()
    return Person(stack, session["user"]["id"], email, session["access_token"])


def new_admin(stack: Stack) -> Person:
    """A new user whom the service made an admin."""
    person = sign_up(stack)
    headers = {"apikey": stack["SUPABASE_SERVICE_KEY"]}
    made = httpx.put(
        f"{stack['SUPABASE_URL']}/auth/v1/admin/users/{person.id}",
        json={"app_metadata": {"role": "admin"}, "password": "secret-admin"},
        headers=headers,
        timeout=_SECONDS,
    )
    assert made.status_code == 200, made.text
    session = httpx.post(
        f"{stack['SUPABASE_URL']}/auth/v1/token?grant_type=password",
        json={"email": person.email, "password": "secret-admin"},
        headers={"apikey": stack["SUPABASE_ANON_KEY"]},
        timeout=_SECONDS,
    ).json()
    return Person(stack, person.id, person.email, session["access_token"])


def service(stack: Stack, method: str, path: str, **options: Any) -> httpx.Response:
    """A request to the data API as the service."""
    headers = {"apikey": stack["SUPABASE_SERVICE_KEY"]} | options.pop("headers", {})
    url = f"{stack['SUPABASE_URL']}/rest/v1/{path}"
    return httpx.request(method, url, headers=headers, timeout=_SECONDS, **options)


def frames(text: str) -> list[dict[str, Any]]:
    """The JSON frames of an event stream; it must end properly."""
    events = [block.removeprefix("data: ") for block in text.split("\n\n") if block.startswith("data: ")]
    assert events[-1] == "[DONE]", text[-300:]
    return [json.loads(event) for event in events[:-1]]


def text_of(events: list[dict[str, Any]]) -> str:
    """The answer that a reader of the stream puts together."""
    return "".join(event["delta"] for event in events if event["type"] == "text-delta")


def receipt_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The receipt of the stream."""
    found: dict[str, Any] = next(event["data"] for event in events if event["type"] == "data-receipt")
    return found


def connect(stack: Stack) -> psycopg.Connection[dict[str, Any]]:
    """The database as its owner, each statement its own transaction."""
    return psycopg.connect(stack["DATABASE_URL"], autocommit=True, row_factory=dict_row)


def log_row(db: psycopg.Connection[dict[str, Any]], turn_id: str) -> dict[str, Any]:
    """The one ledger row of a turn."""
    found = db.execute("select * from public.chat_logs where turn_id = %s", [turn_id]).fetchall()
    assert len(found) == 1
    return found[0]


def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true value of `condition()`, asked again and again; fails when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return value
