"""What refresh's routes take and give, for its OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from functions.refresh.request import RefreshRequest
from shared import errors, openapi
from shared.openapi import Answer, Operation
from shared.openapi_common import SHARED_OPERATIONS

DESCRIPTION = "The scheduled run that keeps the catalogue true; CRON_SECRET, an admin or Google's scheduler starts it."


class RefreshAnswer(BaseModel):
    """What a run did, step by step."""

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
    """A run that is started with such a body, or without one."""
    return Operation(
        "One run of the steps.",
        {
            200: Answer("Every step went well.", RefreshAnswer),
            207: Answer("Some did.", RefreshAnswer),
            500: Answer("None did, or something went wrong on our side."),
        },
        body=request,
        is_body_optional=True,
        needs="operator",
        refusals=(errors.AlreadyRunning, errors.NotFound),
    )


OPERATIONS = {
    **SHARED_OPERATIONS,
    "refresh_now": run_with(RefreshRequest),
    "refresh_on_event": run_with(None),
}


def document(handlers: Mapping[str, str]) -> dict[str, Any]:
    """The document of `{"METHOD /path": name of its handler}`."""
    return openapi.document("Parley refresh", DESCRIPTION, handlers, OPERATIONS)
