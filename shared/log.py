"""Our own log: one JSON line per event on stdout; never content, tokens, keys or SQL parameters.

The one exception is the record of a turn that could be booked nowhere else, redacted as its row would have been.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any


def log(event: str, **fields: Any) -> None:
    """Writes one line; `fields` are ids, outcomes and timings."""
    line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event} | fields
    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()
