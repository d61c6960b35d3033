"""What to run against real URLs once deployed; each line is a verdict with what to do about a failure.

    python -m deploy.smoke https://….lambda-url.us-east-1.on.aws --token … --origin https://app.example
    python -m deploy.smoke URL… --cron-secret … --model gpt-4o

Give the URLs of all functions, in any order: each is known by what it answers. A check that needs --token, --origin or
--cron-secret is skipped without it. The chat check asks for a turn of a few tokens; refresh is only tried dry.
No check takes longer than --seconds. The exit code is 0 when nothing failed, 1 when something did, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final

import httpx

_SECONDS = 120.0
_SILENT_SECONDS = 60.0
_MIN_SPOKEN_MS = 100  # what a model says in less time arrives at once anywhere
_QUESTION = "Count from one to twenty in words."
_HINTS: Final = {
    "health": "check SUPABASE_URL and SUPABASE_SERVICE_KEY of this function, and the project's status",
    "request id": "let X-Request-Id through, there and back",
    "strangers": "switch off the platform's own sign-in for this URL: the function checks tokens itself",
    "streaming and booking": "read this function's log for the turn; GET /debug of llms names what is wrong",
    "models": "GET /debug of llms says more",
    "cron secret": "read the run's row in refresh_runs and this function's log",
    "forged event": "deploy the current version: this path is for the platform's own events",
}
_BY_CODE: Final = {
    "invalid_token": "give a new --token of this project, and check SUPABASE_URL and SUPABASE_ISSUER of this function",
    "keys_unavailable": "check SUPABASE_URL of this function: its signing keys cannot be fetched",
    "database_unavailable": "check SUPABASE_URL and SUPABASE_SERVICE_KEY of this function, and the project's status",
    "not_configured": "set the variables that it names, and deploy again",
    "provider_auth_failed": "set the right key of this model's provider in chat, or name another --model",
    "model_not_found": "name an active model with --model",
}
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
    seconds: float = _SECONDS

    def signed(self) -> dict[str, str]:
        """Headers of the person. Raises SkippedError without a token."""
        if not self.token:
            raise SkippedError("no --token")
        return self.at_home() | {"Authorization": f"Bearer {self.token}"}

    def at_home(self) -> dict[str, str]:
        """Headers of a page that may read the answer."""
        return {"Origin": self.origin} if self.origin else {}


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
    said = {}
    for name, (method, path) in _PROBES.items():
        answer = client.request(method, path, json={})
        if answer.status_code == 401 and _error(answer).get("code") == "invalid_token":
            return name
        said[f"{method} {path}"] = _short(answer)
    if len(set(said.values())) == 1:
        said = {"every path": said.popitem()[1]}
    answers = "; ".join(f"{at} {it}" for at, it in said.items())
    raise FailedError(f"no function of Parley answers here: {answers}: check the URL and whether it is deployed")


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
        _expect_origin(client.request(method, "/", headers=asked.at_home() | headers), asked)
    stranger = client.options("/", headers={"Origin": "https://stranger.example"} | preflight)
    if "access-control-allow-origin" in stranger.headers:
        raise FailedError("a stranger's page may read answers")
    return "one origin, one value, no stranger's"


def check_strangers(client: httpx.Client, _asked: Asked) -> str:
    name = function_at(client)
    method, path = _PROBES[name]
    for headers in ({}, {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}):
        answer = _expect(client.request(method, path, json={}, headers=headers), 401)
        if _error(answer).get("code") != "invalid_token":
            raise FailedError(f"a 401 that is not the function's own: {_short(answer)}")
    return "refused without a token and with a forged one"


def check_stream(client: httpx.Client, asked: Asked) -> str:
    """A turn as a page asks for it."""
    body = {"message": _QUESTION, "max_tokens": 100} | ({"model": asked.model} if asked.model else {})
    started, moments, text = time.monotonic(), [], ""
    with client.stream("POST", "/", json=body, headers=asked.signed()) as response:
        if response.status_code != 200:
            response.read()
        _expect(response, 200)
        _expect_origin(response, asked)
        for piece in response.iter_text():
            moments.append(time.monotonic() - started)
            text += piece
    receipt = _receipt(text)
    if receipt["logged"] is not True:
        raise FailedError(f"the turn is not booked: {receipt['logged']}")
    return f"{flow(moments, receipt)}; booked, {receipt['cost_usd']} USD"


def flow(moments: Sequence[float], receipt: dict[str, Any]) -> str:
    """How the pieces came, at these seconds; the receipt says for how long the model spoke.

    Raises FailedError when they came in much less time: something on their way held them back, in however many pieces
    it let them go. Raises SkippedError when the model was too quick for anybody to tell.
    """
    spread = (moments[-1] - moments[0]) * 1000
    told = f"{len(moments)} pieces over {spread:.0f} ms, the first after {moments[0] * 1000:.0f}"
    spoken = receipt["duration_ms"] - (receipt["ttft_ms"] or 0)
    if spoken < _MIN_SPOKEN_MS:
        raise SkippedError(
            f"{told}; booked, but too quick to tell: the model spoke for {spoken} ms, name a slower --model"
        )
    if spread < spoken / 2:
        raise FailedError(
            f"{told}, and the model spoke for {spoken} ms: the platform holds the answer back until its end"
        )
    return told


def check_models(client: httpx.Client, asked: Asked) -> str:
    """The list, and that a turn without a model has one."""
    answer = _expect(client.get("/", headers=asked.signed()), 200)
    _expect_origin(answer, asked)
    listed = answer.json()
    if listed.get("stale"):
        raise FailedError("GET / gives the list it was shipped with: the database could not be asked")
    if not listed["models"]:
        raise FailedError("GET / lists no model: set a provider's key, then run refresh")
    if listed["defaultModel"] is None:
        raise FailedError("GET / names no default model: set the key of the default's provider, or another default")
    return f"{len(listed['models'])} models, default {listed['defaultModel']}"


def check_cron(client: httpx.Client, asked: Asked) -> str:
    if not asked.cron_secret:
        raise SkippedError("no --cron-secret")
    headers = asked.at_home() | {"Authorization": f"Bearer {asked.cron_secret}"}
    answer = client.post("/", json={"dry_run": True}, headers=headers)
    if answer.status_code == 401:
        raise FailedError(f"POST / {_short(answer)}: give refresh's own CRON_SECRET, of 32 characters or more")
    if answer.status_code not in {200, 207}:
        _expect(answer, 200)
    _expect_origin(answer, asked)
    run = answer.json()
    failed = [f"{name} ({_why(step)})" for name, step in run["steps"].items() if not step["ok"]]
    failed += [f"the list of {each['provider']} ({each['message']})" for each in run["syncResults"].get("errors", ())]
    if failed:
        raise FailedError(f"dry run {answer.status_code}, not well: {', '.join(failed)}")
    return f"dry run {answer.status_code}"


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
    with httpx.Client(base_url=url.rstrip("/"), timeout=min(_SILENT_SECONDS, asked.seconds)) as client:
        try:
            name = _within(asked.seconds, lambda: function_at(client))
        except (FailedError, httpx.HTTPError) as error:
            yield Verdict("?", url, passed=False, told=_words(error))
            return
        for check, run in (_ALWAYS | _OWN[name]).items():
            yield _verdict(name, check, run, client, asked)


def everything(urls: Sequence[str], asked: Asked) -> Iterator[Verdict]:
    """All verdicts at all URLs; a function that answers at two of them, or at none, is named."""
    where: dict[str, str] = {}
    for url in urls:
        names = set()
        for verdict in verdicts(url, asked):
            names.add(verdict.function)
            yield verdict
        for name in names & _OWN.keys():
            if name in where:
                told = f"{url} is {name}, as {where[name]} is: check which URL belongs to which function"
                yield Verdict(name, "one URL each", passed=False, told=told)
            where.setdefault(name, url)
    for name in _OWN:
        if name not in where:
            yield Verdict(name, "everything", passed=None, told=f"no URL of {name} was given, or it did not answer")


def _verdict(name: str, check: str, run: Check, client: httpx.Client, asked: Asked) -> Verdict:
    try:
        return Verdict(name, check, passed=True, told=_within(asked.seconds, lambda: run(client, asked)))
    except SkippedError as reason:
        return Verdict(name, check, passed=None, told=str(reason))
    except Exception as error:  # noqa: BLE001 - an answer of any shape is a verdict, not the end of the run
        return Verdict(name, check, passed=False, told=f"{_words(error)}: {_hint(check, error)}")


def _hint(check: str, error: Exception) -> str:
    """What to do about it."""
    if isinstance(error, httpx.HTTPError):
        return "check the URL and the platform's time limit"
    known = (hint for code, hint in _BY_CODE.items() if f" {code}: " in str(error))
    return next(known, _HINTS.get(check, "see the function's log"))


def _within(seconds: float, run: Callable[[], str]) -> str:
    """What `run` returns or raises. Raises FailedError after so long; whoever still hangs then ends with the process.

    httpx's own timeouts are for one silence, and a server that says something now and then never keeps one.
    """
    told: list[str | Exception] = []

    def aside() -> None:
        try:
            told.append(run())
        except Exception as error:  # noqa: BLE001 - raised again below, where somebody waits for it
            told.append(error)

    thread = Thread(target=aside, daemon=True)
    thread.start()
    thread.join(seconds)
    if not told:
        raise FailedError(f"no end after {seconds:g} s")
    if isinstance(told[0], Exception):
        raise told[0]
    return told[0]


def _words(error: Exception) -> str:
    if isinstance(error, FailedError):
        return str(error)
    words = f"{type(error).__name__}: {error}"[:200]
    return words if isinstance(error, httpx.HTTPError) else f"an answer of another shape ({words})"


def _expect(response: httpx.Response, status: int) -> httpx.Response:
    if response.status_code != status:
        raise FailedError(f"{response.request.method} {response.request.url.path} {_short(response)}, not {status}")
    return response


def _expect_origin(response: httpx.Response, asked: Asked) -> None:
    """That a page of the origin may read this answer: one header, one value."""
    told = response.headers.get_list("access-control-allow-origin")
    allowed = [each.strip() for value in told for each in value.split(",")]
    if asked.origin and allowed != [asked.origin]:
        words = f"{response.request.method} {response.request.url.path} names {allowed or 'no origin'}"
        raise FailedError(f"{words}: set CORS_ORIGINS, switch off the platform's CORS")


def _short(response: httpx.Response) -> str:
    """Status and what the function says of it; a platform's own words when they are no error of ours."""
    error = _error(response)
    words = f"{error.get('code')}: {error.get('message')}" if error else " ".join(response.text.split())
    return f"gives {response.status_code} {words[:160]}".rstrip()


def _error(response: httpx.Response) -> dict[str, Any]:
    """The error of our own shape, empty for anything else."""
    try:
        error = response.json()["error"]
    except (ValueError, LookupError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _why(step: dict[str, Any]) -> str:
    return str(step.get("message") or step.get("error") or step.get("skipped") or "no reason given")


def _receipt(text: str) -> dict[str, Any]:
    for line in text.splitlines():
        if line.startswith('data: {"type":"data-receipt"'):
            receipt: dict[str, Any] = json.loads(line.removeprefix("data: "))["data"]
            return receipt
    raise FailedError("POST / gives a stream without a receipt: it ended early, or with an error")


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
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="the most for one check; %(default)g")
    given = parser.parse_args()
    asked = Asked(given.token, given.origin, given.cron_secret, given.model, given.seconds)
    if wrong := [url for url in given.urls if not url.startswith(("http://", "https://"))]:
        parser.error(f"not a URL: {wrong[0]}")
    found = []
    for verdict in everything(given.urls, asked):
        print(verdict, flush=True)
        found.append(verdict.passed)
    failed = found.count(False)
    print(f"{failed} failed" if failed else "nothing failed" if None in found else "all well")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
