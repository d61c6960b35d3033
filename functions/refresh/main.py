"""refresh: runs scheduled jobs. Authorizes, reads the body, takes the lease, runs the steps and records the outcome."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.refresh import sync_catalogue
from functions.refresh.authorize import authorize, authorize_event, is_event
from functions.refresh.request import RefreshRequest
from functions.refresh.runs import begin_run, end_run, lease_extended
from functions.refresh.step import Step, StepContext, StepOutcome
from functions.refresh.steps import STEPS
from shared.body import parse_body, read_body
from shared.endpoint import Handler, respond, routes, with_document
from shared.errors import ParleyError
from shared.health import healthy, service_ready
from shared.log import log

_STATUS = {"succeeded": 200, "partial": 207, "failed": 500}
_EVENTS = "/_events"
_EVENT_DONE = {200, 207, 409}  # 409: another run is active
_EVENT_FAILED = 599  # named by AWS_LWA_ERROR_STATUS_CODES; no client receives it


async def refresh_now(request: Request) -> Response:
    """POST / and GET /: runs the steps that the body names."""
    trigger = await authorize(request)
    return await _run(trigger, await _read(request))


async def refresh_on_event(request: Request) -> Response:
    """POST /_events: an event of AWS's schedule, forwarded by the adapter; runs all steps and ignores the event.

    When the run fails, `with_event_status` makes the Lambda invocation fail.
    """
    return await _run(authorize_event(request), RefreshRequest())


async def _run(trigger: str, asked: RefreshRequest) -> Response:
    run = await begin_run(trigger, is_dry_run=asked.dry_run)
    async with lease_extended(run):
        outcomes = await run_steps(asked.steps, StepContext(run, asked.dry_run))
    status = _status_of(outcomes)
    steps = {name: {"ok": outcome.ok} | outcome.details for name, outcome in outcomes.items()}
    sync = {name: value for outcome in outcomes.values() for name, value in outcome.sync.items()}
    changes = [line for outcome in outcomes.values() for line in outcome.changes]
    await end_run(run, status, steps, sync, changes)
    log("refresh", run_id=run.id, status=status, is_dry_run=asked.dry_run)
    menu = await sync_catalogue.menu()
    body = {
        "success": status == "succeeded",
        "partial": status == "partial",
        "syncResults": sync,
        "changes": changes,
        "unpriced": sync_catalogue.unpriced(menu),
        "steps": steps,
        "models": menu,
        "timestamp": datetime.now(UTC).isoformat(),
        "run_id": run.id,
    }
    return JSONResponse(body, _STATUS[status])


async def _read(request: Request) -> RefreshRequest:
    is_empty = request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
    return RefreshRequest() if is_empty else parse_body(await read_body(request), RefreshRequest)


async def run_steps(names: Collection[str], context: StepContext) -> dict[str, StepOutcome]:
    """The outcomes of the named steps, in the order of STEPS."""
    outcomes: dict[str, StepOutcome] = {}
    for step in STEPS:
        if step.name not in names:
            continue
        if step.after in outcomes and not outcomes[step.after].ok:
            outcomes[step.name] = StepOutcome(ok=False, details={"ms": 0, "skipped": step.skipped})
        else:
            outcomes[step.name] = await _run_step(step, context)
    return outcomes


async def _run_step(step: Step, context: StepContext) -> StepOutcome:
    """The step's outcome with its duration in `ms`; not ok when the step raises, so that the other steps still run."""
    started = time.monotonic()
    try:
        outcome = await step.run(context)
    except ParleyError as error:
        outcome = StepOutcome(ok=False, details={"error": error.code, "message": error.message})
    except Exception as error:  # noqa: BLE001 - an unexpected error must not lose the run's row and the other steps
        log("crash", step=step.name, error=type(error).__name__)
        outcome = StepOutcome(ok=False, details={"error": "internal_error"})
    return replace(outcome, details={"ms": round((time.monotonic() - started) * 1000)} | outcome.details)


def _status_of(outcomes: Mapping[str, StepOutcome]) -> str:
    good = sum(outcome.ok for outcome in outcomes.values())
    if good == len(outcomes) and not any(outcome.has_errors for outcome in outcomes.values()):
        return "succeeded"
    return "partial" if good else "failed"


TABLE: dict[str, Handler] = {
    f"{method} {path}": refresh_now for path in ("/", "/refresh", "/api/llms/refresh") for method in ("POST", "GET")
} | {f"POST {_EVENTS}": refresh_on_event, "GET /health": healthy, "GET /health/ready": service_ready}
ROUTES = routes(with_document(TABLE, "refresh"))


@functions_framework.aio.http
async def refresh(request: Request) -> Response:
    """The response to any request of this function."""
    return with_event_status(request, await respond(request, ROUTES))


def with_event_status(request: Request, response: Response) -> Response:
    """The response; with status 599 when a Lambda event failed, also an event that `authorize_event` rejects.

    The adapter fails the invocation for the configured statuses, whatever the request, and drops the body. With an
    ordinary status, clients of the function URL would get a 502 without a body.
    """
    has_failed = response.status_code not in _EVENT_DONE
    if has_failed and getattr(request.state, "route", None) == _EVENTS and is_event(request):
        response.status_code = _EVENT_FAILED
    return response
