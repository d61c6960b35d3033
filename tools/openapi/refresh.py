"""The operations of refresh's routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from functions.refresh.request import RefreshRequest
from shared import errors
from tools.openapi import document as openapi
from tools.openapi.document import Operation, Success
from tools.openapi.shared_routes import SHARED_OPERATIONS

DESCRIPTION = "The scheduled run that updates the catalogue. CRON_SECRET, an admin or Google's scheduler starts it."


class RefreshAnswer(BaseModel):
    """The result of a run, step by step."""

    success: bool
    partial: bool
    syncResults: dict[str, Any]  # noqa: N815 - the frontends' own name
    changes: list[Any]
    unpriced: list[Any]
    steps: dict[str, dict[str, Any]]
    models: list[dict[str, Any]]
    timestamp: str
    run_id: int | str | None


def run_with(request: type[BaseModel] | None) -> Operation:
    """The operation of a run; `request` is the model of its optional body."""
    return Operation(
        "One run of the steps.",
        {
            200: Success("Every step succeeded.", RefreshAnswer),
            207: Success("Some steps succeeded.", RefreshAnswer),
            500: Success("No step succeeded, or the server failed."),
        },
        body=request,
        is_body_optional=True,
        needs="operator",
        errors=(errors.AlreadyRunning, errors.NotFound),
    )


OPERATIONS = {
    **SHARED_OPERATIONS,
    "refresh_now": run_with(RefreshRequest),
    "refresh_on_event": run_with(None),
}


def document(handlers: Mapping[str, str]) -> dict[str, Any]:
    """The document of `{"METHOD /path": handler name}`."""
    return openapi.document("Parley refresh", DESCRIPTION, handlers, OPERATIONS)
