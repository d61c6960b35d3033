"""`python -m tests.fakes.providers`: the server in a process of its own, until its standard input ends."""

from __future__ import annotations

import json
import sys

from tests.fakes.providers.server import serving_upstream
from tests.providers import variables

with serving_upstream() as upstream:
    print(json.dumps(variables(upstream) | {"NODE_URL": upstream.url("client")}), flush=True)  # noqa: T201 - read by the parent
    sys.stdin.read()
