"""refresh: the scheduled run that keeps the catalogue true. Who → what → one run at a time → each step → outcome."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from typing import Any

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.refresh import sync_catalogue
from functions.refresh.authorize import authorize, authorize_event, is_event
from functions.refresh.request import RefreshRequest
from functions.refresh.runs import Run, begin_run, end_run, kept_alive
from functions.refresh.steps import STEPS
from shared.body import parse_body, read_body
from shared.endpoint import Handler, respond, routes, with_document
from shared.errors import ParleyError
from shared.health import healthy, service_ready
from shared.log import log

_STATUS = {"succeeded": 200, "partial": 207, "failed": 500}
_EVENTS = "/_events"
_EVENT_DONE = {200, 207, 409}  # 409: another run is doing it
_EVENT_FAILED = 599  # what AWS_LWA_ERROR_STATUS_CODES names, and nobody else ever gets


async def refresh_now(request: Request) -> Response:
    """POST / and GET /: one run of the steps."""
    trigger = await authorize(request)
    return await _run(trigger, await _read(request))


async def refresh_on_event(request: Request) -> Response:
    """POST /_events: AWS's schedule, handed on by the adapter; one run of all steps, whatever the event says.

    When it fails, whatever failed, `told_to_lambda` has the invocation fail, too.
    """
    return await _run(authorize_event(request), RefreshRequest())


async def _run(trigger: str, asked: RefreshRequest) -> Response:
    run = await begin_run(trigger, is_dry_run=asked.dry_run)
    async with kept_alive(run):
        outcomes: dict[str, dict[str, Any]] = {}
        for name in STEPS:
            if name not in asked.steps:
                continue
            if name == "retention" and not outcomes.get("spool", {"ok": True})["ok"]:
                # Turns that still wait in the spool need the rows that retention would delete.
                outcomes[name] = {"ok": False, "ms": 0, "skipped": "The spool was not drained."}
            else:
                outcomes[name] = await _take(name, run, asked.dry_run)
    status = _status_of(outcomes)
    catalogue = outcomes.get("models", {})
    sync, changes = catalogue.pop("sync", {}), catalogue.pop("changes", [])
    await end_run(run, status, outcomes, sync, changes)
    log("refresh", run_id=run.id, status=status, is_dry_run=asked.dry_run)
    menu = await sync_catalogue.menu()
    body = {
        "success": status == "succeeded",
        "partial": status == "partial",
        "syncResults": sync,
        "changes": changes,
        "unpriced": sync_catalogue.unpriced(menu),
        "steps": outcomes,
        "models": menu,
        "timestamp": datetime.now(UTC).isoformat(),
        "run_id": run.id,
    }
    return JSONResponse(body, _STATUS[status])


async def _read(request: Request) -> RefreshRequest:
    is_empty = request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
    return RefreshRequest() if is_empty else parse_body(await read_body(request), RefreshRequest)


async def _take(name: str, run: Run, is_dry_run: bool) -> dict[str, Any]:
    """One step's outcome; a step that fails leaves the others to run."""
    step = functools.partial(sync_catalogue.run, run=run) if name == "models" else STEPS[name]
    started = time.monotonic()
    try:
        outcome = await step(is_dry_run=is_dry_run)
    except ParleyError as error:
        outcome = {"ok": False, "error": error.code, "message": error.message}
    except Exception as error:  # noqa: BLE001 - whatever it is, the run's row and the other steps must not be lost
        log("crash", step=name, error=type(error).__name__)
        outcome = {"ok": False, "error": "internal_error"}
    return {"ok": outcome.pop("ok"), "ms": round((time.monotonic() - started) * 1000)} | outcome


def _status_of(outcomes: dict[str, dict[str, Any]]) -> str:
    good = sum(outcome["ok"] for outcome in outcomes.values())
    has_errors = any(outcome.get("sync", {}).get("failed") for outcome in outcomes.values())
    if good == len(outcomes) and not has_errors:
        return "succeeded"
    return "partial" if good else "failed"


TABLE: dict[str, Handler] = {
    f"{method} {path}": refresh_now for path in ("/", "/refresh", "/api/llms/refresh") for method in ("POST", "GET")
} | {f"POST {_EVENTS}": refresh_on_event, "GET /health": healthy, "GET /health/ready": service_ready}
ROUTES = routes(with_document(TABLE, "refresh"))


@functions_framework.aio.http
async def refresh(request: Request) -> Response:
    """The function."""
    return told_to_lambda(request, await respond(request, ROUTES))


def told_to_lambda(request: Request, response: Response) -> Response:
    """The response; with a status of its own when it is the failure of an event, also of one that nobody recognised.

    The adapter makes an invocation's failure of the statuses it is told, for every request, and drops the body: were
    they ordinary ones, callers of the URL would get a bare 502 in their place.
    """
    has_failed = response.status_code not in _EVENT_DONE
    if has_failed and getattr(request.state, "route", None) == _EVENTS and is_event(request):
        response.status_code = _EVENT_FAILED
    return response
