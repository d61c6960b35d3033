"""Starts a local stack as a user does, for tests that need their own."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.environment import PROVIDER_KEYS, ROOT, read_file
from local.ports import HOST, is_taken
from shared.variables import FIRST_NAMES

MARK = "TEST_STACK_MARK"  # a test sets it to find all processes that its stack started
_READY_SECONDS = 60.0
_READY = "Parley is ready"
_BLOCK = 13  # from the page's port to the model's
_STEP = 20  # from one block to the next


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A supervisor in its own process; `values` are the variables it wrote."""

    process: subprocess.Popen[str]
    data: Path
    base: int
    console: Path
    values: dict[str, str]

    def console_text(self) -> str:
        """The output of the supervisor so far."""
        return self.console.read_text()

    def query(self, sql: str) -> str:
        """What psql prints for it."""
        return printed("psql", "--data", str(self.data), "--", "-XAtc", sql)

    def token(self, email: str) -> str:
        """An access token of this person."""
        return printed("token", email, "--data", str(self.data))

    def whoami(self, access_token: str) -> dict[str, str]:
        """The person the Auth server sees behind a token."""
        headers = {"apikey": self.values["SUPABASE_ANON_KEY"], "Authorization": f"Bearer {access_token}"}
        response = httpx.get(f"{self.values['SUPABASE_URL']}/auth/v1/user", headers=headers)
        assert response.status_code == 200, response.text
        user: dict[str, str] = response.json()
        return user

    def stop(self) -> int:
        """Its exit code, after everything has ended."""
        self.process.terminate()
        return self.process.wait(30)


def command(*words: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `python -m local …` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "local", *words],
        cwd=ROOT,
        env=clean_environ() | (environ or {}),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def printed(*words: str) -> str:
    """What `python -m local …` prints when it succeeds."""
    done = command(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextlib.contextmanager
def running_stack(
    data: Path, base: int, *options: str, environ: dict[str, str] | None = None
) -> Iterator[RunningStack]:
    """A stack that is ready, ended afterwards. Raises RuntimeError with its output when it does not become ready."""
    console = data.with_name(f"{data.name}-console.txt")
    with console.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "local", "up", "--data", str(data), "--ports", str(base), *options],
            cwd=ROOT,
            env=clean_environ() | (environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        # Its own word, not the file: a stack that was just killed may not have taken its file with it yet.
        wait_until(lambda: _READY in console.read_text() or process.poll() is not None, _READY_SECONDS)
        if _READY not in console.read_text():
            raise RuntimeError(f"the stack did not become ready:\n{console.read_text()}")
        yield RunningStack(process, data, base, console, read_file(data / "env"))
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def data_folder() -> Iterator[Path]:
    """A path for a stack's data that PostgreSQL's own user can reach when tests run as root; deleted afterwards."""
    parent = Path(tempfile.mkdtemp(prefix="parley-"))
    parent.chmod(0o755)
    try:
        yield parent / "data"
    finally:
        shutil.rmtree(parent)


def free_ports() -> int:
    """A base for --ports whose whole block is free, and this process's until it ends.

    It is below the range that the kernel hands out for outgoing connections.
    """
    while True:
        base = random.randrange(20_000, 32_000, _STEP)  # noqa: S311 - apart from other runs, not secret
        if _reserve(base) and not any(is_taken(base + offset) for offset in range(_BLOCK)):
            return base


def _reserve(base: int) -> bool:
    """Whether no other test run has the block: the run that has it holds the block's last port, which no part uses."""
    with socket.socket() as mark:
        try:
            mark.bind((HOST, base + _STEP - 1))
        except OSError:
            return False
        mark.detach()  # left open until this process ends
    return True


def marked(mark: str) -> dict[int, str]:
    """The command lines of all living processes that carry the mark in their environment, by process id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def clean_environ() -> dict[str, str]:
    """This process's environment without what a person may have set for a stack of their own."""
    ours = (
        "SUPABASE_",
        "PARLEY_",
        "DATABASE_URL",
        "LEDGER_DATABASE_URL",
        "MODEL_URL",
        "CHAT_URL",
        "LLMS_URL",
        "REFRESH_URL",
        "ASSIST_URL",
        "LLM_PROVIDER",
        *PROVIDER_KEYS,
        *FIRST_NAMES,
    )
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """True as soon as the condition holds, False when it never did."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
