"""Entry point for `functions-framework --target chat`, `llms` or `refresh` in this folder.

One process serves one function. It is imported when the framework asks for it by name, and the others are not.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

_FUNCTIONS = ("chat", "llms", "refresh")


def __getattr__(name: str) -> Callable[..., Any]:
    """The function of this name. Raises AttributeError for any other name."""
    if name not in _FUNCTIONS:
        raise AttributeError(name)
    function: Callable[..., Any] = getattr(importlib.import_module(f"functions.{name}.main"), name)
    return function


def __dir__() -> list[str]:
    """The functions; the framework lists them when it does not know a target."""
    return [*_FUNCTIONS]
