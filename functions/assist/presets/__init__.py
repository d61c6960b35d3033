"""The presets, one file each: every Preset and Bundle that a file of this folder defines."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Final

from functions.assist.preset import Bundle, Offer, Preset


def _found() -> dict[str, Offer]:
    """The presets by name, in alphabetical order of their files."""
    offers: dict[str, Offer] = {}
    for each in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        module = importlib.import_module(f"{__name__}.{each.name}")
        for value in vars(module).values():
            if isinstance(value, Preset | Bundle):
                offers.setdefault(value.name, value)
    return offers


OFFERS: Final = _found()
"""Every preset and bundle by name."""
PRESETS: Final = {name: offer for name, offer in OFFERS.items() if isinstance(offer, Preset)}
"""The presets alone."""
