"""The body of OpenAI's old completions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator
from starlette.requests import Request

from functions.chat.protocols.completions.sampling import Sampling
from functions.chat.protocols.stateless import StatelessRequest
from functions.chat.request import MAX_TOKENS
from shared.auth import Person
from shared.body import MAX_BYTES_WITH_FILES, parse_body, read_body
from shared.messages import Message
from shared.model_request import Options

_REFUSALS = {
    "n": "Parley gives one answer, so n is 1",
    "best_of": "Parley gives one answer, so best_of is 1",
    "logprobs": "log probabilities are not available",
    "echo": "the prompt is not repeated",
    "suffix": "text is not inserted before a suffix",
}


class TextCompletionRequest(Sampling):
    """One stateless answer to a prompt, which becomes the user's only message."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1, fail_fast=True)] = Field(
        description="One prompt; numbers of tokens are refused."
    )
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description=MAX_TOKENS)
    n: int | None = Field(default=None, description="1: there is one answer.")
    best_of: int | None = Field(default=None, description="1: there is one answer.")
    logprobs: int | None = Field(default=None, description="Above 0 it is refused.")
    echo: bool | None = Field(default=None, description="`true` is refused.")
    suffix: str | None = Field(default=None, description="A text is refused.")

    @field_validator("n", "best_of", "logprobs", "echo", "suffix")
    @classmethod
    def _promises_what_it_gives(cls, value: Any, info: ValidationInfo) -> Any:
        name = str(info.field_name)
        if value and not (name in {"n", "best_of"} and value == 1):
            raise ValueError(_REFUSALS[name])
        return value

    @field_validator("prompt")
    @classmethod
    def _can_be_answered(cls, prompt: str | list[str]) -> str | list[str]:
        if not "".join(prompt).strip():
            raise ValueError("there is nothing to answer")
        return prompt

    @property
    def stateless(self) -> StatelessRequest:
        """The request in the form of every protocol."""
        prompt = "".join(self.prompt)
        return StatelessRequest(
            endpoint="completions",
            model=self.model,
            conversation=(Message("user", prompt),),
            question=prompt,
            options=Options(temperature=self.temperature, stop=self.stops, parameters=self.parameters),
            max_tokens=self.max_tokens,
            is_streamed=bool(self.stream),
            wishes=self.wishes,
            log_words=self.store is not False,
            metadata=self.metadata or {},
            wants_usage=self.wants_usage,
        )


async def read_text_completion_request(request: Request, _person: Person) -> StatelessRequest:
    """The validated request. Raises InvalidRequest, BodyTooLarge, Unprocessable, …"""
    return parse_body(await read_body(request, MAX_BYTES_WITH_FILES), TextCompletionRequest).stateless
