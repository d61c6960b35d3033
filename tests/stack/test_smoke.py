"""The smoke test against the real functions: healthy ones pass, and each fault fails its own check."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from deploy.smoke.run import check_url
from deploy.smoke.values import SmokeOptions, Verdict
from tests.stack.conftest import ROOT, Models
from tests.stack.people import Person, Stack, eventually

Function = Callable[..., tuple[str, subprocess.Popen[bytes]]]
NAMES = ("REFRESH_URL", "CHAT_URL", "LLMS_URL", "ASSIST_URL")
NOWHERE = "http://127.0.0.1:9"
_DEMO = "client:1:smollm2-135m-instruct"


def _smoke(*arguments: str) -> tuple[int, list[str]]:
    """The exit code and the lines of the output."""
    command = [sys.executable, "-m", "deploy.smoke", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_the_running_stack_passes(stack: Stack, alice: Person) -> None:
    """All four functions, a turn of the default model and a dry refresh included; nothing is skipped or failed."""
    urls = [stack[name] for name in NAMES]
    options = ["--token", alice.token, "--origin", stack["CORS_ORIGINS"].split(",")[0].replace("*", "5173")]
    code, lines = _smoke(*urls, *options, f"--cron-secret={stack['CRON_SECRET']}")
    assert (code, [line for line in lines if line.startswith("FAIL")]) == (0, []), lines
    assert {line.split()[1] for line in lines[:-1]} == {"chat", "llms", "refresh", "assist"}
    assert any(line.startswith("ok") and "cron secret" in line and "dry run" in line for line in lines)


def test_a_check_without_its_option_is_skipped(stack: Stack) -> None:
    """The verdict names the missing option; the other checks still run."""
    found = {verdict.check: verdict for verdict in check_url(stack["REFRESH_URL"], SmokeOptions())}
    assert {check for check, verdict in found.items() if verdict.passed is None} == {"CORS", "cron secret"}
    assert found["cron secret"].detail == "no --cron-secret"
    assert found["health"].passed is found["strangers"].passed is True


def _failures(url: str, options: SmokeOptions) -> dict[str, str]:
    found: list[Verdict] = list(check_url(url, options))
    assert all("\n" not in str(verdict) for verdict in found)
    return {verdict.check: verdict.detail for verdict in found if verdict.passed is False}


def test_a_chat_whose_provider_refuses_its_key_fails(alice: Person, chat_url: str, model: Models) -> None:
    """Only the turn fails; the verdict says which key to set."""
    options = SmokeOptions(token=alice.token, model=model("badkey", provider="openai"))
    failed = _failures(chat_url, options)
    assert set(failed) == {"streaming and booking"}
    assert "provider_auth_failed" in failed["streaming and booking"]
    assert "set the right key" in failed["streaming and booking"]


def test_an_llms_without_its_database_fails(alice: Person, function: Function) -> None:
    """Readiness and the model list fail; the verdict names the variable to check."""
    url, _ = function("llms", SUPABASE_URL=NOWHERE)
    failed = _failures(url, SmokeOptions(token=alice.token))
    assert set(failed) == {"health", "models"}
    assert all("SUPABASE_URL" in detail for detail in failed.values())


def test_a_refresh_with_another_secret_fails(function: Function, stack: Stack) -> None:
    """Only the cron check fails; the verdict says which secret to give."""
    url, _ = function("refresh", CRON_SECRET="another-secret-of-at-least-32-characters")
    failed = _failures(url, SmokeOptions(cron_secret=stack["CRON_SECRET"]))
    assert set(failed) == {"cron secret"}
    assert "give refresh's own CRON_SECRET" in failed["cron secret"]


def test_a_list_of_models_without_a_default_fails(alice: Person, stack: Stack, db: Any) -> None:
    """The check fails because a turn without a model could not run."""
    with db.transaction():
        before = db.execute(
            """update public.llm_models set is_default = false, is_active = provider <> 'client'
               where is_default or provider = 'client' and is_active returning id"""
        ).fetchall()
    try:
        # llms caches the list for a moment.
        failed = eventually(lambda: _failures(stack["LLMS_URL"], SmokeOptions(token=alice.token)))
    finally:
        db.execute("update public.llm_models set is_active = true where id = any(%s)", [[row["id"] for row in before]])
        db.execute("update public.llm_models set is_default = true, default_by = 'seed' where model_key = %s", [_DEMO])
    assert "names no default model" in failed["models"]


@pytest.mark.parametrize("where", ["SUPABASE_URL", "MODEL_URL"])
def test_the_url_of_another_server_fails(stack: Stack, where: str) -> None:
    """The verdict is one line with the URL, its response and advice; the exit code is 1."""
    code, lines = _smoke(stack[where])
    failed = [line for line in lines if line.startswith("FAIL")]
    assert (code, len(failed)) == (1, 1)
    assert stack[where] in failed[0]
    assert "check the URL" in failed[0]
