"""What the routes that several functions share take and give, by the name of their handler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel

from shared import errors
from shared.openapi import Answer, Operation


class Health(BaseModel):
    """That the function runs, and with `ready` that its database answers."""

    status: Literal["ok", "ready"]


class ListedModel(BaseModel):
    """A model in OpenAI's shape, with the fields that OpenRouter made customary; prices in USD per token, as text."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    context_length: int | None
    pricing: dict[str, str] | None
    supported_parameters: list[str]


class ModelList(BaseModel):
    """All of them, by display order."""

    object: Literal["list"]
    data: list[ListedModel]


_READY = Operation(
    "Whether its database answers.",
    {200: Answer("It does.", Health)},
    needs="nobody",
    refusals=(errors.DatabaseUnavailable,),
)
SHARED_OPERATIONS: Final[Mapping[str, Operation]] = {
    "healthy": Operation("Whether the function runs.", {200: Answer("It does.", Health)}, needs="nobody"),
    "ready": _READY,
    "service_ready": _READY,
    "list_openai_models": Operation("The models people can choose from.", {200: Answer("All of them.", ModelList)}),
    "get_openai_model": Operation(
        "One model, by identifier or key.", {200: Answer("The model.", ListedModel)}, refusals=(errors.ModelNotFound,)
    ),
}
