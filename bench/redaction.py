"""CPU of redaction per KB of text, after the first call, which compiles patterns and loads numbering plans."""

from __future__ import annotations

import statistics
import time

from local.environment import ROOT
from shared.redaction import redact

_ROUNDS = 15
_AIM_MS = 0.3
_DIALOGUE = (
    "My order 4711-2024 has not arrived yet. Could you check whether it was sent to the right address, please?\n"
    "You can reach me at ada@example.com or on +44 20 7946 0958 after six, the card was 4111 1111 1111 1111.\n"
    "On 28.11.2026 I paid 129.90 EUR, and version 3.2.1 of the app still says that nothing was booked.\n"
)
_TABLE = "AAPL 190.25 1204300 2026-11-28 14:30:00 MSFT 410.10 88 120 340 closes 4512 4513\n"


def measure() -> None:
    """Prints the median milliseconds for one KB of each kind of text."""
    texts = {
        "prose": (ROOT / "docs" / "limits-and-costs.md").read_text(),
        "dialogue": _DIALOGUE * 12,
        "code": (ROOT / "shared" / "gateway.py").read_text(),
        "JSON": (ROOT / "docs" / "openapi-llms.json").read_text(),
        "only numbers": _TABLE * 40,
    }
    print(f"redaction, median of {_ROUNDS}, CPU in ms for one KB (aim: under {_AIM_MS})")
    for name, text in texts.items():
        started = time.process_time()
        redact(text)
        first = (time.process_time() - started) * 1000
        print(f"  {name:13s} {_per_kilobyte(text):6.3f}   {len(text) / 1024:5.1f} KB, the first call {first:.0f} ms")


def _per_kilobyte(text: str) -> float:
    times = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        redact(text)
        times.append((time.process_time() - started) * 1000 / (len(text) / 1024))
    return statistics.median(times)
