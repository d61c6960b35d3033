"""Rules for every function over real HTTP: paths, tokens, CORS, bodies and errors."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from tests.stack.people import Person, Stack

FUNCTIONS = ("CHAT_URL", "LLMS_URL", "REFRESH_URL", "ASSIST_URL")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_health_needs_no_token(stack: Stack, function: str) -> None:
    """/health is 200 for every client, and /health/ready reports that the database answers."""
    for path in ("/health", "/health/ready"):
        assert httpx.get(stack[function] + path).status_code == 200


@pytest.mark.parametrize("function", FUNCTIONS)
def test_unknown_paths_are_404_and_wrong_methods_405(stack: Stack, function: str) -> None:
    """A 405 has the allowed methods; both errors have a request id."""
    missing = httpx.get(stack[function] + "/nowhere")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    wrong = httpx.delete(stack[function] + ("/presets" if function == "ASSIST_URL" else "/"))
    assert wrong.status_code == 405
    assert "OPTIONS" in wrong.headers["allow"]
    assert wrong.json()["error"]["request_id"] == wrong.headers["x-request-id"]


@pytest.mark.parametrize("function", ["CHAT_URL", "LLMS_URL"])
def test_tokens_that_are_not_a_persons_are_401(stack: Stack, alice: Person, function: str) -> None:
    """A missing or malformed token, an API key, and a token with a wrong signature are 401 with a challenge."""
    head, _, signature = alice.token.rpartition(".")
    forged = jwt.encode(jwt.decode(alice.token, options={"verify_signature": False}), "k" * 40, "HS256")
    keys = (stack["SUPABASE_ANON_KEY"], stack["SUPABASE_SERVICE_KEY"])
    for token in ("x", "a.b.c", *keys, f"{head}.{signature[::-1]}", forged, "x" * 9000):
        method = "POST" if function == "CHAT_URL" else "GET"
        answer = httpx.request(method, stack[function], headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, token[:20]
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_a_browser_may_ask_from_a_listed_origin_only(stack: Stack) -> None:
    """Preflights need no token; a listed origin is echoed, others get no header; errors have the headers, too."""
    origin = f"http://127.0.0.1:{int(urlsplit(stack['CHAT_URL']).port or 0) - 1}"
    asking = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, idempotency-key",
    }
    allowed = httpx.options(stack["CHAT_URL"], headers=asking | {"Origin": origin})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == origin
    assert "idempotency-key" in allowed.headers["access-control-allow-headers"]
    assert "POST" in allowed.headers["access-control-allow-methods"]
    other = httpx.options(stack["CHAT_URL"], headers=asking | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    refused = httpx.post(stack["CHAT_URL"], headers={"Origin": origin})
    assert refused.status_code == 401
    assert refused.headers.get_list("access-control-allow-origin") == [origin]
    assert "x-request-id" in refused.headers["access-control-expose-headers"]


BAD_BODIES = [
    (b"", 400),
    (b"{", 400),
    (b"\xff\xfe", 400),
    (b'{"message": NaN}', 400),
    (b'{"message": "a", "temperature": 1e999}', 400),
    (b'{"message": "\\ud800"}', 400),
    (b'{"message": "a\\u0000"}', 400),
    (b'{"message": "a", "metadata": ' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}", 400),
    (b'{"message": "a", "metadata": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", 400),
    (b'{"message": "a", "max_tokens": ' + b"9" * 5000 + b"}", 400),
    (b"[]", 422),
    (b"null", 422),
    (b"{}", 422),
    (b'{"message": ""}', 422),
    (b'{"message": "a", "messages": []}', 422),
    (b'{"messages": [{"role": "assistant", "parts": []}]}', 422),
    (b'{"message": "a", "temperature": 3}', 422),
    (b'{"message": "a", "max_tokens": 0}', 422),
    (b'{"message": "a", "max_tokens": true}', 422),
    (b'{"message": "a", "stream": "yes"}', 422),
    (b'{"message": "a", "agent": "nobody"}', 422),
    (b'{"message": "a", "conversation_id": "x"}', 422),
    (b'{"message": "a", "metadata": {"a": "' + b"x" * 20_000 + b'"}}', 422),
]


@pytest.mark.parametrize(("body", "status"), BAD_BODIES)
def test_bad_bodies_are_refused_with_their_reason(alice: Person, body: bytes, status: int) -> None:
    """A body that is no JSON is 400; a wrong field is 422 with its name; nothing is written."""
    answer = httpx.post(
        alice.stack["CHAT_URL"], content=body, headers=alice.headers | {"Content-Type": "application/json"}
    )
    assert answer.status_code == status, answer.text[:200]
    assert answer.json()["error"]["message"]
    assert alice.rows("usage_counters") == []


def test_wrong_kinds_of_body_are_415_and_long_ones_413(alice: Person) -> None:
    """Only uncompressed JSON in UTF-8 of at most one MiB is accepted."""

    def send(content: bytes, **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(alice.stack["CHAT_URL"], content=content, headers=alice.headers | named).status_code

    assert send(b"{}", content_type="text/plain") == 415
    assert send(b"{}", content_type="application/json; charset=latin-1") == 415
    assert send(b"{}", content_type="application/json", content_encoding="gzip") == 415
    assert send(b'"' + b"x" * (1 << 20) + b'"', content_type="application/json") == 413


def test_a_body_without_a_length_is_read_no_further_than_the_limit(alice: Person) -> None:
    """An endless chunked body gets 413 while the client still sends it."""
    where = urlsplit(alice.stack["CHAT_URL"])
    head = (
        f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice.token}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=20) as connection:
        connection.sendall(head.encode())
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(65):
            connection.sendall(chunk)
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("sent", "is_echoed"), [("abc-DEF_1", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("ä", False)]
)
def test_request_ids_are_echoed_when_well_formed(stack: Stack, sent: str, is_echoed: bool) -> None:
    """A well-formed id is in header and error; any other is replaced."""
    answer = httpx.get(stack["LLMS_URL"], headers=[(b"X-Request-Id", sent.encode())])
    got = answer.headers["x-request-id"]
    assert (got == sent) is is_echoed
    assert answer.json()["error"]["request_id"] == got


def test_errors_tell_nothing_of_the_inside(alice: Person) -> None:
    """No response to an invalid body contains a stack trace, a path, SQL or a key."""
    for body, _ in BAD_BODIES:
        text = httpx.post(
            alice.stack["CHAT_URL"], content=body, headers=alice.headers | {"Content-Type": "application/json"}
        ).text
        shape: dict[str, Any] = json.loads(text)
        assert set(shape["error"]) == {"message", "type", "code", "param", "request_id", "metadata"}
        assert not any(word in text for word in ("Traceback", "/shared/", "site-packages", "select ", "sb_secret"))
