"""`python -m tests.web.screenshots`: makes the pictures of README.md from the running product."""

from __future__ import annotations

import subprocess
import sys

from tests.web.scene import WEB, missing, page_scene, playwright


def main() -> int:
    """The exit code of Playwright; 1 with the reason where the page cannot be opened."""
    if reason := missing():
        print(reason, file=sys.stderr)  # noqa: T201 - a command of the terminal
        return 1
    with page_scene() as scene:
        command = playwright("test", "--config", "screenshots.config.ts")
        return subprocess.run(command, cwd=WEB, env=scene.environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
