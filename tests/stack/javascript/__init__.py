"""Clients in JavaScript: each script takes JSON on stdin and prints JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def run(script: str, *, node: Sequence[str] = (), **received: Any) -> Any:
    """The output of the script for this input, with these options of node."""
    path = Path(__file__).with_name(f"{script}.mjs")
    done = subprocess.run(
        ["node", *node, str(path)], input=json.dumps(received), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
