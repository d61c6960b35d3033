"""Lambda with its Web Adapter, as far as a unit can tell: a bare Python, one request at a time, frozen in between.

As adapter 1.x's source reads (`fetch_response` in github.com/aws/aws-lambda-web-adapter, src/lib.rs, read 2026-11-21),
never compared with a real one here: it executes $LAMBDA_TASK_ROOT/$_HANDLER, asks the readiness path until it is
healthy, hands function URL requests on as they are and every other event as a POST to the pass-through path, and puts
`x-amzn-request-context` in place of the caller's: the URL's own for a request, null for an event. A status that
AWS_LWA_ERROR_STATUS_CODES names is a failed invocation whoever asked; headers and body go no further.
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
    """What whoever invoked the function gets; Lambda tries an asynchronous event again, and then keeps it."""


@dataclass
class Answer:
    """What came back so far, piece by piece as it came."""

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
    """A function URL's request, payload format 2.0; whoever sends it chooses everything but the context."""
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
    """One execution environment of a function; frozen whenever it is not asked."""

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
        """Returns when the readiness path is healthy. Raises InvocationFailedError when the process ends before."""
        wait_until(lambda: self._process.poll() is not None or self._is_ready(), _START_SECONDS)
        if self._process.poll() is not None or not self._is_ready():
            raise InvocationFailedError("the function did not start")
        self.freeze()

    def freeze(self) -> None:
        """What Lambda does after the last byte, and a test whenever it wants to look around."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def invoke(self, event: dict[str, Any]) -> Answer:
        """The whole answer. Raises InvocationFailedError for a status that AWS_LWA_ERROR_STATUS_CODES names."""
        with self.streaming(event) as (answer, pieces):
            answer.pieces.extend(pieces)
        return answer

    @contextlib.contextmanager
    def streaming(self, event: dict[str, Any]) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """The answer's head and its pieces as they come; afterwards the function is frozen.

        Raises InvocationFailedError for a status that AWS_LWA_ERROR_STATUS_CODES names.
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
        """Takes it away; frozen processes are not asked."""
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
        told = {"x-amzn-request-context": json.dumps(context), "x-amzn-lambda-context": "{}"}
        if context is None:
            path = self._environ.get("AWS_LWA_PASS_THROUGH_PATH", "/events")
            return "POST", path, {"content-type": "application/json"} | told, json.dumps(event).encode()
        return context["http"]["method"], event["rawPath"], event["headers"] | told, base64.b64decode(event["body"])


def unpack(archive: Path | IO[bytes], folder: Path) -> Path:
    """A unit as Lambda lays it out, with the modes that the zip says."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
        for each in opened.infolist():
            (folder / each.filename).chmod((each.external_attr >> 16) & 0o777)
    return folder


def _is_named(status: int, codes: str) -> bool:
    """Whether a list such as `404,500-599` names the status."""
    bounds = (part.partition("-") for part in codes.split(",") if part)
    return any(int(low) <= status <= int(high or low) for low, _, high in bounds)
