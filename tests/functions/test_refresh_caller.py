"""Who may start a refresh."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.refresh.caller import authorize
from functions.refresh.main import ROUTES
from shared.endpoint import answer
from shared.errors import Unauthenticated
from tests.asgi import Caller, call, request_of

SECRET = "c" * 32


def _request(authorization: str) -> str:
    return authorize(request_of(Caller(), "POST", "/", {"Authorization": authorization}))


def test_whoever_holds_the_secret_may(environ: Callable[..., None]) -> None:
    """And the run's row says what started it."""
    environ(CRON_SECRET=SECRET)
    assert _request(f"Bearer {SECRET}") == "cron-secret"


@pytest.mark.parametrize(
    ("secret", "given"),
    [
        (SECRET, "Bearer " + "d" * 32),
        (SECRET, f"Bearer {SECRET}x"),
        (SECRET, f"Bearer {SECRET[:-1]}"),
        (SECRET, f"Basic {SECRET}"),
        (SECRET, SECRET),
        (SECRET, ""),
        (SECRET, "Bearer ccccé"),
        ("c" * 31, "Bearer " + "c" * 31),
        ("", "Bearer "),
        ("", "Bearer x"),
    ],
)
def test_nobody_else_may(environ: Callable[..., None], secret: str, given: str) -> None:
    """A secret that is unset or short admits nobody, not even whoever knows it."""
    environ(CRON_SECRET=secret)
    with pytest.raises(Unauthenticated):
        _request(given)


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/", "/refresh", "/api/llms/refresh"])
async def test_every_way_in_is_guarded(environ: Callable[..., None], method: str, path: str) -> None:
    """A stranger starts nothing by any alias, and is told so before anything else is looked at."""
    environ(CRON_SECRET=SECRET)
    got = await call(lambda request: answer(request, ROUTES), method, path, chunks=[b"{nonsense"])
    assert (got.status, got.taken) == (401, 0)
