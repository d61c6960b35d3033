"""A double of Lambda with its Web Adapter: a bare Python, one request at a time, frozen between requests.

It follows the source of adapter 1.x (`fetch_response` in github.com/aws/aws-lambda-web-adapter, src/lib.rs, read
2026-11-21) and was never compared with a real adapter. It executes $LAMBDA_TASK_ROOT/$_HANDLER and requests the
readiness path until it is healthy. It forwards function URL requests unchanged and every other event as a POST to the
pass-through path. It replaces `x-amzn-request-context`: with the context of a URL request, with null for an event.
A status in AWS_LWA_ERROR_STATUS_CODES is a failed invocation for every caller; headers and body are dropped.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.stack_process import free_ports, wait_until

_START_SECONDS = 30.0


class InvocationFailedError(Exception):
    """A failed invocation. Lambda retries an asynchronous event and then keeps it."""


@dataclass
class Answer:
    """A response with the pieces of its body received so far."""

    status: int
    headers: dict[str, str]
    pieces: list[bytes] = field(default_factory=list)

    @property
    def text(self) -> str:
        return b"".join(self.pieces).decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)


def url_event(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> dict[str, Any]:
    """A function URL request, payload format 2.0. The client controls all of it except the context."""
    context = {
        "accountId": "anonymous",
        "apiId": "abc",
        "domainName": "abc.lambda-url.us-east-1.on.aws",
        "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9", "userAgent": "x"},
        "requestId": "r-1",
        "stage": "$default",
    }
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {name.lower(): value for name, value in headers.items()},
        "requestContext": context,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


class Instance:
    """One execution environment of a function, frozen between requests."""

    def __init__(self, root: Path, environ: Mapping[str, str], python: Path, console: IO[bytes]) -> None:
        self.root = root
        self._port = free_ports()
        self._environ = dict(environ)
        handler = root / "run.sh"
        self._process = subprocess.Popen(
            [handler],
            cwd="/",
            env={
                "PATH": f"{python.parent}:/usr/bin:/bin",
                "LANG": "en_US.UTF-8",
                "LAMBDA_TASK_ROOT": str(root),
                "_HANDLER": handler.name,
                "AWS_LWA_PORT": str(self._port),
                **environ,
            },
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )

    def until_ready(self) -> None:
        """Returns when the readiness path is healthy. Raises InvocationFailedError when the process ends first."""
        wait_until(lambda: self._process.poll() is not None or self._is_ready(), _START_SECONDS)
        if self._process.poll() is not None or not self._is_ready():
            raise InvocationFailedError("the function did not start")
        self.freeze()

    def freeze(self) -> None:
        """Stops the processes, as Lambda does after the last byte of a response."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continues the processes."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def invoke(self, event: dict[str, Any]) -> Answer:
        """The complete response. Raises InvocationFailedError for a status in AWS_LWA_ERROR_STATUS_CODES."""
        with self.streaming(event) as (answer, pieces):
            answer.pieces.extend(pieces)
        return answer

    @contextlib.contextmanager
    def streaming(self, event: dict[str, Any]) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """The head of the response and an iterator of its pieces; freezes the instance afterwards.

        Raises InvocationFailedError for a status in AWS_LWA_ERROR_STATUS_CODES.
        """
        self.thaw()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            method, path, headers, body = self._request_of(event)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            if _is_named(response.status, self._environ.get("AWS_LWA_ERROR_STATUS_CODES", "")):
                raise InvocationFailedError(f"Request failed with configured error status code: {response.status}")
            yield Answer(response.status, dict(response.getheaders())), iter(lambda: response.read1(65536), b"")
        finally:
            self.freeze()
            connection.close()

    def end(self) -> None:
        """Kills the processes, as they may be frozen."""
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", self._environ["AWS_LWA_READINESS_CHECK_PATH"])
            healthy = self._environ["AWS_LWA_READINESS_CHECK_HEALTHY_STATUS"]
            return _is_named(connection.getresponse().status, healthy)
        except OSError:
            return False
        finally:
            connection.close()

    def _request_of(self, event: dict[str, Any]) -> tuple[str, str, dict[str, str], bytes]:
        context = event.get("requestContext")
        added = {"x-amzn-request-context": json.dumps(context), "x-amzn-lambda-context": "{}"}
        if context is None:
            path = self._environ.get("AWS_LWA_PASS_THROUGH_PATH", "/events")
            return "POST", path, {"content-type": "application/json"} | added, json.dumps(event).encode()
        return context["http"]["method"], event["rawPath"], event["headers"] | added, base64.b64decode(event["body"])


def unpack(archive: Path | IO[bytes], folder: Path) -> Path:
    """Unpacks a unit as Lambda does, with the file modes of the zip."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
        for each in opened.infolist():
            (folder / each.filename).chmod((each.external_attr >> 16) & 0o777)
    return folder


def _is_named(status: int, codes: str) -> bool:
    """Whether a list such as `404,500-599` contains the status."""
    bounds = (part.partition("-") for part in codes.split(",") if part)
    return any(int(low) <= status <= int(high or low) for low, _, high in bounds)
