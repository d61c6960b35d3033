"""Reads the responses of a function: status, error, CORS header, receipt."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from deploy.smoke.values import FailedError, SmokeOptions


def error_text(error: Exception) -> str:
    """One line for a verdict."""
    if isinstance(error, FailedError):
        return str(error)
    text = f"{type(error).__name__}: {error}"[:200]
    return text if isinstance(error, httpx.HTTPError) else f"an unexpected response ({text})"


def expect_status(response: httpx.Response, status: int) -> httpx.Response:
    """The response itself. Raises FailedError for another status."""
    if response.status_code != status:
        raise FailedError(f"{response.request.method} {response.request.url.path} {summary(response)}, not {status}")
    return response


def expect_origin(response: httpx.Response, options: SmokeOptions) -> None:
    """Raises FailedError unless exactly the operator's origin may read this response."""
    values = response.headers.get_list("access-control-allow-origin")
    allowed = [each.strip() for value in values for each in value.split(",")]
    if options.origin and allowed != [options.origin]:
        text = f"{response.request.method} {response.request.url.path} names {allowed or 'no origin'}"
        raise FailedError(f"{text}: set CORS_ORIGINS, switch off the platform's CORS")


def summary(response: httpx.Response) -> str:
    """The status with the function's error, or with the start of the body when it is not a Parley error."""
    error = error_of(response)
    text = f"{error.get('code')}: {error.get('message')}" if error else " ".join(response.text.split())
    return f"gives {response.status_code} {text[:160]}".rstrip()


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error object of a Parley response; empty for any other body."""
    try:
        error = response.json()["error"]
    except (ValueError, LookupError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def step_error(step: dict[str, Any]) -> str:
    """Why a step of refresh failed."""
    return str(step.get("message") or step.get("error") or step.get("skipped") or "no reason given")


def read_receipt(text: str) -> dict[str, Any]:
    """The receipt of a UI stream. Raises FailedError when the stream has none."""
    for line in text.splitlines():
        if line.startswith('data: {"type":"data-receipt"'):
            receipt: dict[str, Any] = json.loads(line.removeprefix("data: "))["data"]
            return receipt
    raise FailedError("POST / returns a stream without a receipt: it ended early or with an error")


def elapsed_ms(started: float) -> int:
    """Milliseconds since `started`, a value of time.monotonic()."""
    return round((time.monotonic() - started) * 1000)
