"""Fixtures of the tests of shared/."""

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
    """Every provider is the scripted server, and retries do not wait."""
    monkeypatch.setattr(fallback, "BACKOFF_SECONDS", 0.0)
    environ(**variables(upstream))
