"""Runs the checks of each URL and turns their results into verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Thread
from typing import Final

import httpx

from deploy.smoke.checks import COMMON_CHECKS, FUNCTION_CHECKS, Check, function_at
from deploy.smoke.responses import error_text
from deploy.smoke.values import FailedError, SkippedError, SmokeOptions, Verdict

_READ_TIMEOUT_SECONDS = 60.0
_DATABASE_HINT = (
    "check SUPABASE_URL and SUPABASE_SERVICE_KEY of this function, or LEDGER_DATABASE_URL of chat and assist, "
    "and the project's status"
)
_HINTS: Final = {
    "health": _DATABASE_HINT,
    "request id": "configure the platform to pass X-Request-Id in both directions",
    "strangers": "switch off the platform's own sign-in for this URL: the function checks tokens itself",
    "streaming and booking": "read this function's log for the turn; GET /debug of llms names what is wrong",
    "preset and cache": "read this function's log for the turn; GET /debug of llms names what is wrong",
    "models": "GET /debug of llms shows the cause",
    "cron secret": "read the run's row in refresh_runs and this function's log",
    "forged event": "deploy the current version: only the platform may send events to this path",
}
_HINT_BY_CODE: Final = {
    "invalid_token": "give a new --token of this project, and check SUPABASE_URL and SUPABASE_ISSUER of this function",
    "keys_unavailable": "check SUPABASE_URL of this function: its signing keys cannot be fetched",
    "database_unavailable": _DATABASE_HINT,
    "not_configured": "set the variables in the message and deploy again",
    "provider_auth_failed": "set the right key of this model's provider in chat, or name another --model",
    "model_not_found": "name an active model with --model",
}


def check_url(url: str, options: SmokeOptions) -> Iterator[Verdict]:
    """Runs all checks of one URL in order."""
    with httpx.Client(base_url=url.rstrip("/"), timeout=min(_READ_TIMEOUT_SECONDS, options.seconds)) as client:
        try:
            name = _within(options.seconds, lambda: function_at(client))
        except (FailedError, httpx.HTTPError) as error:
            yield Verdict("?", url, passed=False, detail=error_text(error))
            return
        for check, run in (COMMON_CHECKS | FUNCTION_CHECKS[name]).items():
            yield _verdict(name, check, run, client, options)


def check_all(urls: Sequence[str], options: SmokeOptions) -> Iterator[Verdict]:
    """Runs all checks of all URLs. A function with two URLs fails; a function without a URL is skipped."""
    url_of: dict[str, str] = {}
    for url in urls:
        names = set()
        for verdict in check_url(url, options):
            names.add(verdict.function)
            yield verdict
        for name in names & FUNCTION_CHECKS.keys():
            if name in url_of:
                detail = f"{url} is {name}, as {url_of[name]} is: check which URL belongs to which function"
                yield Verdict(name, "one URL each", passed=False, detail=detail)
            url_of.setdefault(name, url)
    for name in FUNCTION_CHECKS:
        if name not in url_of:
            yield Verdict(name, "everything", passed=None, detail=f"no URL of {name} was given, or it did not answer")


def _verdict(name: str, check: str, run: Check, client: httpx.Client, options: SmokeOptions) -> Verdict:
    try:
        return Verdict(name, check, passed=True, detail=_within(options.seconds, lambda: run(client, options)))
    except SkippedError as reason:
        return Verdict(name, check, passed=None, detail=str(reason))
    except Exception as error:  # noqa: BLE001 - an unexpected response is a failed check, not the end of the run
        return Verdict(name, check, passed=False, detail=f"{error_text(error)}: {_hint(check, error)}")


def _hint(check: str, error: Exception) -> str:
    """Advice for the operator about this failure."""
    if isinstance(error, httpx.HTTPError):
        return "check the URL and the platform's time limit"
    known = (hint for code, hint in _HINT_BY_CODE.items() if f" {code}: " in str(error))
    return next(known, _HINTS.get(check, "see the function's log"))


def _within(seconds: float, run: Callable[[], str]) -> str:
    """What `run` returns or raises. Raises FailedError after `seconds`.

    httpx limits only the gap between two reads, so a server that sends pings would never time out. A thread that still
    runs after the limit is a daemon and ends with the process.
    """
    outcome: list[str | Exception] = []

    def collect_outcome() -> None:
        try:
            outcome.append(run())
        except Exception as error:  # noqa: BLE001 - raised again below, in the thread that waits for it
            outcome.append(error)

    thread = Thread(target=collect_outcome, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise FailedError(f"no end after {seconds:g} s")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]
