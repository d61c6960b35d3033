"""What tests of shared/ may ask for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared import fallback
from tests.fakes.providers import Upstream
from tests.providers import variables


@pytest.fixture
def configured(
    environ: Callable[..., None],
    upstream: Upstream,
    sessions: None,  # noqa: ARG001 - closed after the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every provider is the scripted upstream, and nobody waits before trying again."""
    monkeypatch.setattr(fallback, "BACKOFF_SECONDS", 0.0)
    environ(**variables(upstream))
