"""How a stack starts, ends, fails and comes back: each test has one of its own."""

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
    """A value that a stack and everything it starts carry in their environment."""
    return secrets.token_hex(8)


def test_somebody_elses_directory_is_neither_used_nor_reset() -> None:
    """A directory that holds other things is left alone."""
    with data_folder() as data:
        data.mkdir()
        (data / "thesis.txt").write_text("years of work")
        assert "other things" in command("up", "--data", str(data)).stderr
        assert "nothing was deleted" in command("reset", "--data", str(data)).stderr
        assert [path.name for path in data.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("given", "scheme", "named"),
    [
        ("SUPABASE_URL", "http", "SUPABASE_ANON_KEY and SUPABASE_SERVICE_KEY"),
        ("DATABASE_URL", "postgresql", "DATABASE_URL without"),
    ],
)
def test_half_a_project_is_refused(given: str, scheme: str, named: str) -> None:
    """A project's address without its keys is an error that names them; so is its database without its address."""
    with data_folder() as data:
        done = command("up", "--data", str(data), environ={given: f"{scheme}://127.0.0.1:9"})
    assert done.returncode == 1
    assert named in done.stderr


def test_a_wrong_variable_stops_up_before_anything_starts() -> None:
    """One line names it, and there is neither a database nor a traceback."""
    with data_folder() as data:
        done = command("up", "--data", str(data), environ={"CRON_SECRET": "s" * 12})
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "CRON_SECRET is too short; write at least 32 characters, for example the output of: openssl rand -hex 32\n"
        )
        assert not (data / "postgres").exists()


def test_a_shell_that_sourced_the_file_starts_the_same_stack_again() -> None:
    """Sourcing a stack's variables is no choice of a project; a secret that was really given stays given."""
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


def test_what_was_stored_is_there_after_a_restart(mark: str) -> None:
    """SIGTERM leaves no process behind, the next `up` finds the same people and password."""
    with data_folder() as data:
        options = ("--only", "llms", "--no-model", "--no-reload")
        with running_stack(data, free_ports(), *options, environ={MARK: mark}) as first:
            person = first.whoami(first.token("grace@parley.local"))["id"]
            assert len(marked(mark)) >= 5  # the supervisor, its guard, postgres, the api, a function
            assert first.stop() == 0
            assert marked(mark) == {}
            assert not (data / "env").exists()
        with running_stack(data, free_ports(), "--only", "", "--no-model", environ={MARK: mark}) as second:
            for name in ("DEMO_PASSWORD", "SUPABASE_SERVICE_KEY", "CRON_SECRET"):
                assert second.values[name] == first.values[name]
            assert second.whoami(second.token("grace@parley.local"))["id"] == person


def test_without_the_model_the_catalogues_first_is_the_default() -> None:
    """`--no-model` takes the demo model out of the catalogue, also after it has been the default."""
    sql = "select model_key from public.llm_models where is_default"
    with data_folder() as data:
        given = {"MODEL_URL": "http://127.0.0.1:9/v1"}
        with running_stack(data, free_ports(), "--only", "", environ=given) as first:
            assert first.query(sql) == "client:1:smollm2-135m-instruct"
        with running_stack(data, free_ports(), "--only", "", "--no-model") as second:
            assert second.query(sql) == "gemini-2-5-flash-lite"


def test_down_and_reset(mark: str) -> None:
    """`down` ends a stack in the background and says so; `reset` then empties its directory."""
    with data_folder() as data:
        with running_stack(data, free_ports(), "--only", "", "--no-model", environ={MARK: mark}) as running:
            assert f"process {running.process.pid}" in command("down", "--data", str(data)).stdout
            assert running.process.wait(10) == 0
        assert marked(mark) == {}
        assert "Nothing is running" in command("down", "--data", str(data)).stdout
        assert command("reset", "--data", str(data)).returncode == 0
        assert not (data / "postgres").exists()
        assert not (data / "secrets.json").exists()


def test_a_killed_supervisor_takes_everything_with_it(mark: str) -> None:
    """After `kill -9` nothing stays, and an `up` that comes at once waits for that and works."""
    base = free_ports()
    with data_folder() as data:
        with running_stack(data, base, "--only", "llms", environ={MARK: mark}) as first:
            first.process.kill()
            first.process.wait()
            options = ("--only", "", "--no-model", "--no-reload")
            with running_stack(data, base, *options, environ={MARK: mark}):
                assert not [line for line in marked(mark).values() if "uvicorn" in line or "local.model" in line]
        assert marked(mark) == {}


def test_a_function_that_dies_is_started_again_and_one_that_cannot_live_ends_everything(mark: str) -> None:
    """The first death is told and mended, as in a cloud; the third in a row ends `up` with code 1 and the log's end."""
    options = ("--only", "llms", "--no-model", "--no-reload")
    with data_folder() as data, running_stack(data, free_ports(), *options, environ={MARK: mark}) as running:
        for _ in range(2):
            _kill(mark, "-m uvicorn")
            assert wait_until(lambda: answers(f"{running.values['LLMS_URL']}/health/ready"), 20)
        assert running.console_text().count("llms ended by SIGKILL; it is started again") == 2
        _kill(mark, "-m uvicorn")
        assert running.process.wait(20) == 1
        assert "the end of" in running.console_text()
        assert wait_until(lambda: marked(mark) == {}, 5)


def test_a_database_that_dies_is_told_and_the_functions_say_503(mark: str) -> None:
    """The rest goes on, answers that it misses the database, and ends in good order."""
    options = ("--only", "llms", "--no-model", "--no-reload")
    with data_folder() as data, running_stack(data, free_ports(), *options, environ={MARK: mark}) as running:
        _kill(mark, "bin/postgres -D")
        assert wait_until(lambda: "database ended" in running.console_text(), 10)
        assert httpx.get(f"{running.values['LLMS_URL']}/health").status_code == 200
        assert httpx.get(f"{running.values['LLMS_URL']}/health/ready").status_code == 503
        assert running.stop() == 0
        assert wait_until(lambda: marked(mark) == {}, 5)


def _kill(mark: str, program: str) -> None:
    """Returns when it is dead, so that what answers afterwards is something else."""
    pid = next(pid for pid, line in marked(mark).items() if program in line)
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: pid not in marked(mark), 10)


def test_commands_need_a_running_stack() -> None:
    """`token` and `psql` say how to start one."""
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
def test_a_token_that_cannot_be_had_is_one_line(email: str, environ: dict[str, str], words: str) -> None:
    """It says what to change, without a traceback."""
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
