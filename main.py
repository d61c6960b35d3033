"""Entry point for `functions-framework --target chat`, `llms`, `refresh` or `assist` in this folder.

One process serves one function: the framework asks for it by name, and only that one is imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

_FUNCTIONS = ("chat", "llms", "refresh", "assist")


def __getattr__(name: str) -> Callable[..., Any]:
    """The function of this name. Raises AttributeError for an unknown name."""
    if name not in _FUNCTIONS:
        raise AttributeError(name)
    function: Callable[..., Any] = getattr(importlib.import_module(f"functions.{name}.main"), name)
    return function


def __dir__() -> list[str]:
    """The names of the functions; the framework shows them when a target is unknown."""
    return [*_FUNCTIONS]
