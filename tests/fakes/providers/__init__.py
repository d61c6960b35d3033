"""A scripted model server on loopback with every provider's protocol; the model's name chooses its behaviour."""

from tests.fakes.providers.kinds import GOLDEN, HALVES_SANITISED, HOSTILE, HOSTILE_SANITISED, matcha_id
from tests.fakes.providers.lists import Shelf, entry
from tests.fakes.providers.server import Received, Upstream, serving_upstream
from tests.fakes.providers.wire import Script

__all__ = [
    "GOLDEN",
    "HALVES_SANITISED",
    "HOSTILE",
    "HOSTILE_SANITISED",
    "Received",
    "Script",
    "Shelf",
    "Upstream",
    "entry",
    "matcha_id",
    "serving_upstream",
]
