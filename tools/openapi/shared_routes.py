"""The operations of the routes that several functions serve, by handler name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel

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
    "list_openai_models": Operation("The models that a user can choose.", {200: Success("All of them.", ModelList)}),
    "get_openai_model": Operation(
        "One model, by identifier or key.", {200: Success("The model.", ListedModel)}, errors=(errors.ModelNotFound,)
    ),
}
