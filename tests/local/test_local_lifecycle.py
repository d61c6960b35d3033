"""How a stack starts, stops, fails and restarts; each test has its own stack."""

from __future__ import annotations

import os
import re
import secrets
import signal

import httpx
import pytest

from local.environment import ROOT
from local.processes import answers
from tests.stack_process import MARK, command, data_folder, free_ports, marked, running_stack, wait_until


@pytest.fixture
def mark() -> str:
    """A value in the environment of a stack and of all its processes."""
    return secrets.token_hex(8)


def test_a_foreign_directory_is_neither_used_nor_reset() -> None:
    """A directory with other files stays unchanged."""
    with data_folder() as data:
        data.mkdir()
        (data / "thesis.txt").write_text("years of work")
        assert "other files" in command("up", "--data", str(data)).stderr
        assert "nothing was deleted" in command("reset", "--data", str(data)).stderr
        assert [path.name for path in data.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("given", "scheme", "named"),
    [
        ("SUPABASE_URL", "http", "SUPABASE_ANON_KEY and SUPABASE_SERVICE_KEY"),
        ("DATABASE_URL", "postgresql", "DATABASE_URL without"),
    ],
)
def test_an_incomplete_project_is_rejected(given: str, scheme: str, named: str) -> None:
    """A project's address without its keys is an error that names them; so is a database without an address."""
    with data_folder() as data:
        done = command("up", "--data", str(data), environ={given: f"{scheme}://127.0.0.1:9"})
    assert done.returncode == 1
    assert named in done.stderr


def test_an_invalid_variable_stops_up_before_anything_starts() -> None:
    """One line names the variable; there is no database and no traceback."""
    with data_folder() as data:
        done = command("up", "--data", str(data), environ={"CRON_SECRET": "s" * 12})
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "CRON_SECRET is too short; write at least 32 characters, for example the output of: openssl rand -hex 32\n"
        )
        assert not (data / "postgres").exists()


def test_a_shell_that_sourced_the_file_starts_the_same_stack_again() -> None:
    """Sourced variables do not count as given; a secret that the user set stays."""
    secret = secrets.token_hex(20)
    options = ("--only", "", "--no-model")
    with data_folder() as data:
        base = free_ports()
        with running_stack(data, base, *options, environ={"CRON_SECRET": secret}) as first:
            assert first.values["CRON_SECRET"] == secret
        with running_stack(data, base, *options, environ=first.values) as second:
            assert second.values["SUPABASE_URL"] == first.values["SUPABASE_URL"]
            assert second.values["CRON_SECRET"] == secret
            assert (data / "postgres" / "postmaster.pid").exists()


def test_data_survives_a_restart(mark: str) -> None:
    """SIGTERM leaves no process; the next `up` has the same users and password."""
    with data_folder() as data:
        options = ("--only", "llms", "--no-model", "--no-reload")
        with running_stack(data, free_ports(), *options, environ={MARK: mark}) as first:
            person = first.whoami(first.token("grace@parley.local"))["id"]
            assert len(marked(mark)) >= 5  # the supervisor, its reaper, postgres, the api, a function
            assert first.stop() == 0
            assert marked(mark) == {}
            assert not (data / "env").exists()
        with running_stack(data, free_ports(), "--only", "", "--no-model", environ={MARK: mark}) as second:
            for name in ("DEMO_PASSWORD", "SUPABASE_SERVICE_KEY", "CRON_SECRET"):
                assert second.values[name] == first.values[name]
            assert second.whoami(second.token("grace@parley.local"))["id"] == person


def test_without_the_model_the_catalogues_first_is_the_default() -> None:
    """`--no-model` removes the demo model from the catalogue, also when it was the default."""
    sql = "select model_key from public.llm_models where is_default"
    with data_folder() as data:
        given = {"MODEL_URL": "http://127.0.0.1:9/v1"}
        with running_stack(data, free_ports(), "--only", "", environ=given) as first:
            assert first.query(sql) == "client:1:smollm2-135m-instruct"
        with running_stack(data, free_ports(), "--only", "", "--no-model") as second:
            assert second.query(sql) == "gemini-2-5-flash-lite"


def test_down_and_reset(mark: str) -> None:
    """`down` stops a stack in the background and prints so; `reset` then empties its directory."""
    with data_folder() as data:
        with running_stack(data, free_ports(), "--only", "", "--no-model", environ={MARK: mark}) as running:
            assert f"process {running.process.pid}" in command("down", "--data", str(data)).stdout
            assert running.process.wait(10) == 0
        assert marked(mark) == {}
        assert "Nothing is running" in command("down", "--data", str(data)).stdout
        assert command("reset", "--data", str(data)).returncode == 0
        assert not (data / "postgres").exists()
        assert not (data / "secrets.json").exists()


def test_a_killed_supervisor_leaves_no_process(mark: str) -> None:
    """After `kill -9` all processes end; an immediate `up` waits for that and works."""
    base = free_ports()
    with data_folder() as data:
        with running_stack(data, base, "--only", "llms", environ={MARK: mark}) as first:
            first.process.kill()
            first.process.wait()
            options = ("--only", "", "--no-model", "--no-reload")
            with running_stack(data, base, *options, environ={MARK: mark}):
                assert not [line for line in marked(mark).values() if "local.serve" in line or "local.model" in line]
        assert marked(mark) == {}


def test_a_function_is_restarted_twice_then_the_stack_stops(mark: str) -> None:
    """The first exits are printed and followed by a restart; the third ends `up` with code 1 and the log's end."""
    options = ("--only", "llms", "--no-model", "--no-reload")
    with data_folder() as data, running_stack(data, free_ports(), *options, environ={MARK: mark}) as running:
        for _ in range(2):
            _kill(mark, "-m local.serve")
            assert wait_until(lambda: answers(f"{running.values['LLMS_URL']}/health/ready"), 20)
        assert running.console_text().count("llms ended by SIGKILL; it is restarted") == 2
        _kill(mark, "-m local.serve")
        assert running.process.wait(20) == 1
        assert "the end of" in running.console_text()
        assert wait_until(lambda: marked(mark) == {}, 5)


def test_a_dead_database_is_printed_and_functions_answer_503(mark: str) -> None:
    """The other parts continue, answer 503 and stop normally."""
    options = ("--only", "llms", "--no-model", "--no-reload")
    with data_folder() as data, running_stack(data, free_ports(), *options, environ={MARK: mark}) as running:
        _kill(mark, "bin/postgres -D")
        assert wait_until(lambda: "database ended" in running.console_text(), 10)
        assert httpx.get(f"{running.values['LLMS_URL']}/health").status_code == 200
        assert httpx.get(f"{running.values['LLMS_URL']}/health/ready").status_code == 503
        assert running.stop() == 0
        assert wait_until(lambda: marked(mark) == {}, 5)


def _kill(mark: str, program: str) -> None:
    """Kills a process and returns when it has ended, so later answers come from another one."""
    pid = next(pid for pid, line in marked(mark).items() if program in line)
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: pid not in marked(mark), 10)


def test_commands_need_a_running_stack() -> None:
    """`token` and `psql` print how to start one."""
    with data_folder() as data:
        for words in (["token", "a@b.c"], ["psql"]):
            done = command(*words, "--data", str(data))
            assert done.returncode == 1
            assert "no stack is running" in done.stderr


@pytest.mark.parametrize(
    ("email", "environ", "words"),
    [
        ("bob", {}, "'bob' is not an e-mail address"),
        ("a@b.c", {"SUPABASE_URL": "p.supabase.co"}, "SUPABASE_URL does not begin with https://"),
        ("a@b.c", {"SUPABASE_SECRET_KEY": "sb_publishable_a"}, "SUPABASE_SERVICE_KEY holds the public key"),
    ],
)
def test_a_failing_token_command_prints_one_line(email: str, environ: dict[str, str], words: str) -> None:
    """The line says what to change; there is no traceback."""
    with data_folder() as data:
        done = command("token", email, "--data", str(data), environ=environ)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert words in done.stderr


def test_the_readme_has_every_command() -> None:
    """`--help` and the README list the same commands."""
    listed = re.findall(r"^\| `(\w+)", (ROOT / "local" / "README.md").read_text(), re.MULTILINE)
    helped = re.findall(r"^    (\w+) ", command("--help").stdout, re.MULTILINE)
    assert set(helped) <= set(listed)
    assert helped
