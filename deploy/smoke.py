"""What to run against real URLs after a deployment; each line is a verdict, the exit code is the number of failures.

    python -m deploy.smoke https://….lambda-url.us-east-1.on.aws --token … --origin https://app.example
    python -m deploy.smoke URL… --cron-secret … --model gpt-4o

Give the URLs of all functions, in any order: each is known by what it answers. What needs --token, --origin or
--cron-secret is skipped without it and said so. A turn is asked for, of a few tokens; refresh is only tried dry.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx

_SECONDS = 60.0
_QUESTION = "Count from one to twenty in words."
_PROBES: Final = {"chat": ("POST", "/chat/stream"), "llms": ("GET", "/v1/models"), "refresh": ("POST", "/refresh")}


class FailedError(Exception):
    """A check that did not hold, in words."""


class SkippedError(Exception):
    """A check that could not be made, in words."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator gave; empty where nothing was."""

    token: str = ""
    origin: str = ""
    cron_secret: str = ""
    model: str = ""

    def signed(self) -> dict[str, str]:
        """Headers of the person. Raises SkippedError without a token."""
        if not self.token:
            raise SkippedError("no --token")
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line; `passed` is None for what was skipped."""

    function: str
    check: str
    passed: bool | None
    told: str

    def __str__(self) -> str:
        mark = {True: "ok  ", False: "FAIL", None: "skip"}[self.passed]
        return f"{mark}  {self.function:8s} {self.check:32s} {self.told}"


Check = Callable[[httpx.Client, Asked], str]


def function_at(client: httpx.Client) -> str:
    """Which function answers here: the one that asks for a sign-in at its own path. Raises FailedError for none."""
    for name, (method, path) in _PROBES.items():
        if client.request(method, path, json={}).status_code == 401:
            return name
    raise FailedError("no function of Parley answers here, or it lets anybody in")


def check_health(client: httpx.Client, _asked: Asked) -> str:
    _expect(client.get("/health"), 200)
    started = time.monotonic()
    _expect(client.get("/health/ready"), 200)
    return f"the database answers, {_ms(started)} ms"


def check_request_id(client: httpx.Client, _asked: Asked) -> str:
    response = client.get("/health", headers={"X-Request-Id": "smoke-1"})
    if response.headers.get_list("x-request-id") != ["smoke-1"]:
        raise FailedError("a request's id does not come back")
    return "comes back"


def check_cors(client: httpx.Client, asked: Asked) -> str:
    if not asked.origin:
        raise SkippedError("no --origin")
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for method, headers in (("OPTIONS", preflight), ("GET", {})):
        told = client.request(method, "/", headers={"Origin": asked.origin} | headers).headers
        allowed = [each for value in told.get_list("access-control-allow-origin") for each in value.split(",")]
        if allowed != [asked.origin]:
            raise FailedError(
                f"{method} names {allowed or 'no origin'}: set CORS_ORIGINS, switch off the platform's CORS"
            )
    stranger = client.options("/", headers={"Origin": "https://stranger.example"} | preflight)
    if "access-control-allow-origin" in stranger.headers:
        raise FailedError("a stranger's page may read answers")
    return "one origin, one value, no stranger's"


def check_strangers(client: httpx.Client, _asked: Asked) -> str:
    name = function_at(client)
    method, path = _PROBES[name]
    for headers in ({}, {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}):
        answer = _expect(client.request(method, path, json={}, headers=headers), 401)
        if answer.json()["error"]["code"] != "invalid_token":
            raise FailedError("a 401 that is not the function's own")
    return "refused without a token and with a forged one"


def check_stream(client: httpx.Client, asked: Asked) -> str:
    """Words that arrive in one piece were held back by something on their way."""
    body = {"message": _QUESTION, "max_tokens": 100} | ({"model": asked.model} if asked.model else {})
    started, moments, text = time.monotonic(), [], ""
    with client.stream("POST", "/", json=body, headers=asked.signed()) as response:
        if response.status_code != 200:
            response.read()
            _expect(response, 200)
        for piece in response.iter_text():
            moments.append(time.monotonic())
            text += piece
    receipt = _receipt(text)
    if receipt["logged"] is not True:
        raise FailedError(f"the turn is not booked: {receipt['logged']}")
    if len(moments) < 3:
        raise FailedError(f"{len(moments)} pieces: the platform holds the answer back until its end")
    spread = (moments[-1] - moments[0]) * 1000
    first = (moments[0] - started) * 1000
    return f"{len(moments)} pieces over {spread:.0f} ms, the first after {first:.0f}; booked, {receipt['cost_usd']} USD"


def check_models(client: httpx.Client, asked: Asked) -> str:
    listed = _expect(client.get("/", headers=asked.signed()), 200).json()
    if not listed["count"]:
        raise FailedError("no model: set a provider's key, then run refresh")
    return f"{listed['count']} models, default {(listed['defaultModel'] or {}).get('identifier')}"


def check_cron(client: httpx.Client, asked: Asked) -> str:
    if not asked.cron_secret:
        raise SkippedError("no --cron-secret")
    headers = {"Authorization": f"Bearer {asked.cron_secret}"}
    answer = client.post("/", json={"dry_run": True}, headers=headers)
    if answer.status_code not in {200, 207}:
        _expect(answer, 200)
    failed = [name for name, step in answer.json()["steps"].items() if not step["ok"]]
    return f"dry run {answer.status_code}" + (f", not well: {', '.join(failed)}" if failed else "")


def check_events(client: httpx.Client, _asked: Asked) -> str:
    _expect(client.post("/_events", json={"source": "schedule"}, headers={"x-amzn-request-context": "null"}), 404)
    return "the schedule's door is shut from outside"


_ALWAYS: Final[dict[str, Check]] = {
    "health": check_health,
    "request id": check_request_id,
    "CORS": check_cors,
    "strangers": check_strangers,
}
_OWN: Final[dict[str, dict[str, Check]]] = {
    "chat": {"streaming and booking": check_stream},
    "llms": {"models": check_models},
    "refresh": {"cron secret": check_cron, "forged event": check_events},
}


def verdicts(url: str, asked: Asked) -> Iterator[Verdict]:
    """Everything that is checked at one URL, one after the other."""
    with httpx.Client(base_url=url.rstrip("/"), timeout=_SECONDS) as client:
        try:
            name = function_at(client)
        except (FailedError, httpx.HTTPError) as error:
            yield Verdict("?", url, passed=False, told=_words(error))
            return
        for check, run in (_ALWAYS | _OWN[name]).items():
            yield _verdict(name, check, run, client, asked)


def _verdict(name: str, check: str, run: Check, client: httpx.Client, asked: Asked) -> Verdict:
    try:
        return Verdict(name, check, passed=True, told=run(client, asked))
    except SkippedError as reason:
        return Verdict(name, check, passed=None, told=str(reason))
    except (FailedError, httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        return Verdict(name, check, passed=False, told=_words(error))


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, FailedError) else f"{type(error).__name__}: {error}"[:200]


def _expect(response: httpx.Response, status: int) -> httpx.Response:
    if response.status_code != status:
        words = f"{response.request.method} {response.request.url.path} gives {response.status_code}, not {status}"
        raise FailedError(f"{words}: {response.text[:160]}")
    return response


def _receipt(text: str) -> dict[str, Any]:
    for line in text.splitlines():
        if line.startswith('data: {"type":"data-receipt"'):
            receipt: dict[str, Any] = json.loads(line.removeprefix("data: "))["data"]
            return receipt
    raise FailedError("the stream has no receipt: it ended early, or with an error")


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def main() -> None:
    """Prints the verdicts as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--token", default=os.environ.get("TOKEN", ""), help="a person's access token, or TOKEN")
    parser.add_argument("--origin", default="", help="of your page, as CORS_ORIGINS names it")
    parser.add_argument("--cron-secret", default=os.environ.get("CRON_SECRET", ""), help="or CRON_SECRET")
    parser.add_argument("--model", default="", help="to ask; the default model when none is named")
    given = parser.parse_args()
    asked = Asked(given.token, given.origin, given.cron_secret, given.model)
    failed = 0
    for url in given.urls:
        for verdict in verdicts(url, asked):
            print(verdict, flush=True)
            failed += verdict.passed is False
    print("all well" if not failed else f"{failed} failed")
    sys.exit(failed)


if __name__ == "__main__":
    main()
