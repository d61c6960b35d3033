"""The operations of llms' routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from functions.llms.debug.checks import Check
from functions.llms.debug.connection import ConnectionRequest
from shared import errors
from tools.openapi import document as openapi
from tools.openapi.document import Operation, Success
from tools.openapi.shared_routes import SHARED_OPERATIONS

DESCRIPTION = "The models that a user can choose, and an operator's diagnosis of the deployment."


class MenuModel(BaseModel):
    """A model; `capabilities` and `pricing` (USD per million tokens) hold what is known."""

    id: int
    matcha_llm_id: int | None
    model_name: str
    model_key: str
    provider: str
    capabilities: dict[str, Any] | None
    pricing: dict[str, Any] | None
    identifier: str
    is_active: bool
    is_default: bool
    display_order: int


class Menu(BaseModel):
    """Active models by display order; `stale` is true when the database is unreachable and this list is an old one."""

    models: list[MenuModel]
    defaultModel: str | None  # noqa: N815 - the frontends' own name
    count: int
    lastSynced: str | None  # noqa: N815 - the frontends' own name
    stale: bool = False


class ProbedNode(BaseModel):
    """The models of the node."""

    id: int
    models: list[dict[str, Any]]
    last_seen_at: str


class Diagnostics(BaseModel):
    """Every check with its result and its fix."""

    ok: bool
    checks: list[Check]


class TestedConnection(BaseModel):
    """Whether the model or provider answered; `fix` says what to do if it did not."""

    identifier: str
    ok: bool
    ms: int
    error: str | None = None
    message: str | None = None
    fix: str | None = None


LIST = Operation(
    "The models that a user can choose.",
    {200: Success("The list.", Menu), 304: Success("The client has this list already.")},
    headers={"ETag": "Send it back as If-None-Match."},
)
PROBE = Operation(
    "Lists the models of one of the user's nodes and stores them.",
    {200: Success("Its models.", ProbedNode)},
    needs="user",
    errors=(errors.NotFound, errors.NodeFailed, errors.Unprocessable, errors.DependencyDown),
)
DIAGNOSE = Operation(
    "Checks the deployment and says how to fix it.", {200: Success("All checks.", Diagnostics)}, needs="admin"
)
TEST = Operation(
    "Tests a model with one token, or a provider with none.",
    {200: Success("The result.", TestedConnection)},
    body=ConnectionRequest,
    needs="admin",
    errors=(errors.ModelNotFound,),
)

METRICS = Operation(
    "The deployment's numbers in Prometheus's text format, for the holder of METRICS_SECRET.",
    {200: Success("The metrics.")},
    needs="operator",
    errors=(errors.NotFound,),
)

OPERATIONS = {
    **SHARED_OPERATIONS,
    "list_models": LIST,
    "probe_node": PROBE,
    "show_diagnostics": DIAGNOSE,
    "test_connection": TEST,
    "show_metrics": METRICS,
}


def document(handlers: Mapping[str, str]) -> dict[str, Any]:
    """The document of `{"METHOD /path": handler name}`."""
    return openapi.document("Parley llms", DESCRIPTION, handlers, OPERATIONS)
