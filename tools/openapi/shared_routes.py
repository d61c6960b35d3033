"""The operations of the routes that several functions serve, by handler name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel, RootModel

from shared import errors
from tools.openapi.document import Operation, Success


class Health(BaseModel):
    """`ok`: the function runs. `ready`: its database answers, too."""

    status: Literal["ok", "ready"]


class ListedModel(BaseModel):
    """A model in OpenAI's shape with the fields that OpenRouter added; prices in USD per token, as text."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    context_length: int | None
    pricing: dict[str, str] | None
    supported_parameters: list[str]


class ModelList(BaseModel):
    """All active models by display order."""

    object: Literal["list"]
    data: list[ListedModel]


class AnthropicModel(BaseModel):
    """A model in Anthropic's shape."""

    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active"]
    max_input_tokens: int | None
    max_tokens: int | None


class AnthropicModelList(BaseModel):
    """All active models by display order; there are no further pages."""

    data: list[AnthropicModel]
    has_more: Literal[False]
    first_id: str | None
    last_id: str | None


class AnyModelList(RootModel[ModelList | AnthropicModelList]):
    """The list in OpenAI's shape, and in Anthropic's when the request has `anthropic-version`."""


class AnyModel(RootModel[ListedModel | AnthropicModel]):
    """A model in OpenAI's shape, and in Anthropic's when the request has `anthropic-version`."""


_VERSION: Final = {"anthropic-version": "Any value: the answer has Anthropic's shape."}
_READY = Operation(
    "Whether its database answers.",
    {200: Success("It does.", Health)},
    needs="none",
    errors=(errors.DatabaseUnavailable,),
    name="get_readiness",
)
SHARED_OPERATIONS: Final[Mapping[str, Operation]] = {
    "healthy": Operation(
        "Whether the function runs.", {200: Success("It does.", Health)}, needs="none", name="get_health"
    ),
    "ready": _READY,
    "service_ready": _READY,
    "list_openai_models": Operation(
        "The models that a user can choose.", {200: Success("All of them.", AnyModelList)}, takes=_VERSION
    ),
    "get_openai_model": Operation(
        "One model, by identifier or key.",
        {200: Success("The model.", AnyModel)},
        errors=(errors.ModelNotFound,),
        takes=_VERSION,
    ),
}
