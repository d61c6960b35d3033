"""The page in a real Chromium: `web/e2e` against a running stack with scripted providers."""

from __future__ import annotations

import subprocess

import pytest

from tests.web.scene import WEB, missing, page_scene, playwright

pytestmark = pytest.mark.processes


def test_the_page_works_in_a_browser(request: pytest.FixtureRequest) -> None:
    """Every view does what docs/web.md says, with no error in the console and no request that fails."""
    if reason := missing():
        if request.config.getoption("--require-chromium"):
            pytest.fail(reason)
        pytest.skip(reason)
    with page_scene() as scene:
        done = subprocess.run(
            playwright("test"),
            cwd=WEB,
            env=scene.environ,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
