"""`python -m tests.upstream`: the server in a process of its own, until its standard input ends."""

from __future__ import annotations

import json
import sys

from tests.providers import variables
from tests.upstream.server import serving_upstream

with serving_upstream() as upstream:
    print(json.dumps(variables(upstream) | {"NODE_URL": upstream.url("client")}), flush=True)  # noqa: T201 - read by whoever started it
    sys.stdin.read()
