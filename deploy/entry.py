"""The main.py of a packed function."""

from __future__ import annotations

# Imported modules live as long as the process, so the garbage collector can ignore them: its work is 12 us of a turn
# then, not 64.
_MAIN = """import gc

gc.disable()
from functions.{name}.main import {name} as {name}

gc.freeze()
gc.enable()
"""


def entry_of(name: str) -> str:
    """The source of the file that the host loads for the function `name`."""
    return _MAIN.format(name=name)
