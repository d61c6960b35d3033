"""Pydantic's validation errors as sentences, without the rejected values, which may contain secrets."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def problems(error: ValidationError, most: int, *, with_context: bool = False) -> list[ErrorDetails]:
    """The first `most` problems; their context may contain rejected values."""
    return error.errors(include_url=False, include_context=with_context, include_input=False)[:most]


def describe(error: ValidationError, root: str, most: int) -> list[str]:
    """One sentence for each of the first `most` problems: where and what. `root` is the name of the whole value."""
    return [f"{'.'.join(map(str, each['loc'])) or root}: {each['msg']}" for each in problems(error, most)]
