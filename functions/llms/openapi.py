"""What llms' routes take and give, for its OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from functions.llms.debug.checks import Check
from functions.llms.debug.connection import ConnectionRequest
from shared import errors, openapi
from shared.openapi import Answer, Operation
from shared.openapi_common import SHARED_OPERATIONS

DESCRIPTION = "The models people can choose from, and whether all that a turn leans on is there."


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
    """Active models by display order; `stale` when the database could not be asked."""

    models: list[MenuModel]
    defaultModel: str | None  # noqa: N815 - the frontends' own name
    count: int
    lastSynced: str | None  # noqa: N815 - the frontends' own name
    stale: bool = False


class ProbedNode(BaseModel):
    """What the node serves."""

    id: int
    models: list[dict[str, Any]]
    last_seen_at: str


class Diagnostics(BaseModel):
    """Every check with its verdict and what to do."""

    ok: bool
    checks: list[Check]


class TestedConnection(BaseModel):
    """Whether the model or provider answered; what to do when it did not."""

    identifier: str
    ok: bool
    ms: int
    error: str | None = None
    message: str | None = None
    fix: str | None = None


LIST = Operation(
    "The models people can choose from.",
    {200: Answer("The list.", Menu), 304: Answer("The caller has this list already.")},
    headers={"ETag": "Send it back as If-None-Match."},
)
PROBE = Operation(
    "Asks a node of the caller's for its models and stores them.",
    {200: Answer("What it serves.", ProbedNode)},
    refusals=(errors.NotFound, errors.NodeFailed, errors.Unprocessable, errors.DependencyDown),
)
DIAGNOSE = Operation("What is wrong and what to do.", {200: Answer("All checks.", Diagnostics)}, needs="admin")
TEST = Operation(
    "Tries a model with one token, or a provider with none.",
    {200: Answer("How it went.", TestedConnection)},
    body=ConnectionRequest,
    needs="admin",
    refusals=(errors.ModelNotFound,),
)

OPERATIONS = {
    **SHARED_OPERATIONS,
    "list_models": LIST,
    "probe_node": PROBE,
    "show_diagnostics": DIAGNOSE,
    "test_connection": TEST,
}


def document(handlers: Mapping[str, str]) -> dict[str, Any]:
    """The document of `{"METHOD /path": name of its handler}`."""
    return openapi.document("Parley llms", DESCRIPTION, handlers, OPERATIONS)
