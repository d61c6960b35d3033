"""The operations of assist's routes, from its presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, RootModel, create_model

from functions.assist.preset import Bundle, Offer
from functions.assist.presets import OFFERS
from functions.assist.request import presets_of
from shared import errors
from shared.events import Usage
from tools.openapi import document as openapi
from tools.openapi.document import Operation, Success
from tools.openapi.mcp import SERVE_MCP, SHOW_RESOURCE
from tools.openapi.shared_routes import SHARED_OPERATIONS

DESCRIPTION = (
    "One-shot answers as JSON that fits the schema of a preset. Stored answers are served without a model call. With "
    "`Accept: text/event-stream` partial objects arrive as they form; with `text/plain` the JSON text itself."
)
_HEADERS = {
    "X-Cache": "`HIT`: a stored answer. `STALE`: one that another request is renewing. `MISS`: a model was called.",
    "Age": "Seconds since the stored answer was computed.",
    "X-Model": "The model that answered; absent in a stream.",
    "X-Ignored-Params": "Fields of the body that have no effect.",
    "Idempotent-Replayed": "`true` when this is the stored answer of the same key.",
    "x-ratelimit-limit-requests": "Requests per day; absent for stored answers and without a limit, like the next.",
    "x-ratelimit-remaining-requests": "Requests left.",
    "x-ratelimit-reset-requests": "Time until the limit resets, like `3600s`.",
    "x-budget-remaining-usd": "USD left to spend.",
}
_TAKES = {
    "Cache-Control": "`no-cache` calls a model, `no-store` keeps nothing, `only-if-cached` never calls a model.",
    "Idempotency-Key": "Makes a retry safe: it returns the same answer. 1 to 255 printable ASCII characters.",
}
_ERRORS = (
    errors.AnswerCut,
    errors.BudgetExceeded,
    errors.ContextLengthExceeded,
    errors.DependencyDown,
    errors.IdempotencyMismatch,
    errors.ModelUnavailable,
    errors.NoDefaultModel,
    errors.NodeFailed,
    errors.NotCached,
    errors.NotConfigured,
    errors.OutputInvalid,
    errors.ProviderAuthFailed,
    errors.ProviderError,
    errors.ProviderOverloaded,
    errors.ProviderRefused,
    errors.ProviderTimeout,
    errors.ProviderUnavailable,
    errors.ProviderUnreachable,
    errors.QuotaExceeded,
    errors.RequestInProgress,
    errors.TooManyTurns,
    errors.TurnTimeout,
)


class TriedRoute(BaseModel):
    """The model that answered; of a model call also why it was chosen, and its fallbacks."""

    identifier: str


class Try(BaseModel):
    """One model call; without usage it was not charged. `cost_usd` is null when the price is unknown."""

    identifier: str
    ok: bool
    ms: int
    usage: Usage | None
    cost_usd: float | None
    error_code: str | None


class AnswerReceipt(BaseModel):
    """The route, usage and cost of an answer; a stored one costs nothing, and `saved_usd` is what it cost once."""

    turn_id: str
    request_id: str
    preset: str
    preset_version: str
    cache: str
    age_seconds: int | None
    route: TriedRoute
    usage: dict[str, Any]
    attempts: list[Try]
    cost_usd: float | None
    saved_usd: float | None
    logged: bool | str


class ListedPreset(BaseModel):
    """A preset; `input` and `output` are JSON Schemas, `costs` are those of the last hundred answers."""

    name: str
    paths: list[str]
    summary: str
    parts: list[str]
    version: str | dict[str, str]
    ttl_seconds: int
    scope: str
    input: dict[str, Any]
    output: dict[str, Any]
    costs: dict[str, float | None]


class PresetList(BaseModel):
    """Every preset and bundle."""

    presets: list[ListedPreset]


class _DryRun(BaseModel):
    model_config = ConfigDict(extra="allow")


def _answer(offer: Offer) -> type[BaseModel]:
    """The model of an answer; with `dry_run` it is the plan."""
    name = "".join(word.title() for word in offer.name.split("-")) + "Answer"
    fields: dict[str, Any] = {}
    for preset in presets_of(offer):
        for field, info in preset.output.model_fields.items():
            kind: Any = info.annotation
            fields[field] = (kind | None if isinstance(offer, Bundle) else kind, ...)
    if isinstance(offer, Bundle):
        fields |= {"receipts": (dict[str, AnswerReceipt], ...), "errors": (dict[str, Any], {})}
    else:
        fields["receipt"] = (AnswerReceipt, ...)
    answer = create_model(name, __doc__=offer.summary, **fields)
    plan = create_model(f"{name}Plan", __doc__="The plan of a dry run.", __base__=_DryRun)
    return create_model(f"{name}OrPlan", __base__=RootModel[answer | plan], __doc__="The answer, or its plan.")


def _operation(offer: Offer) -> Operation:
    return Operation(
        offer.summary,
        {200: Success("The answer; with `dry_run` its plan.", _answer(offer), also="text/event-stream")},
        body=offer.input,
        errors=_ERRORS,
        headers=_HEADERS,
        takes=_TAKES,
        name=offer.name.replace("-", "_"),
    )


_NAMED = Operation(
    "The answer of the preset or bundle with this name; `GET /presets` lists them.",
    {200: Success("The answer.", _DryRun, also="text/event-stream")},
    errors=(*_ERRORS, errors.NotFound),
    headers=_HEADERS,
    takes=_TAKES,
)
_NO_GET = Operation("Nothing: presets take POST.", {}, needs="none", errors=(errors.NotFound, errors.MethodNotAllowed))
_LIST = Operation("Every preset and bundle with schemas, time, scope and costs.", {200: Success("All.", PresetList)})


def document(handlers: Mapping[str, str]) -> dict[str, Any]:
    """The document of `{"METHOD /path": handler name}`; routes of presets are described by the preset."""
    operations: dict[str, Operation] = {
        **SHARED_OPERATIONS,
        "ask_named": _NAMED,
        "take_no_get": _NO_GET,
        "list_presets": _LIST,
        "serve_mcp": SERVE_MCP,
        "show_resource": SHOW_RESOURCE,
    }
    for offer in OFFERS.values():
        described = _operation(offer)
        operations |= {f"POST {prefix}{path}": described for path in offer.paths for prefix in ("", "/ai")}
    return openapi.document("Parley assist", DESCRIPTION, handlers, operations)
