"""`python -m local` as a user runs it: real processes and ports, one stack for most tests."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local import seeding
from local.data_dir import display_path
from local.processes import answers
from tests.stack_process import RunningStack, command, data_folder, free_ports, running_stack, wait_until


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    """A stack with one function and the model in reload mode; no test stops it."""
    with data_folder() as data, running_stack(data, free_ports(), "--only", "llms") as running:
        yield running


def test_every_address_works_once_the_file_exists(stack: RunningStack) -> None:
    """When the variables are written, every address in them answers."""
    assert answers(stack.values["LLMS_URL"] + "/health")
    assert answers(stack.values["SUPABASE_URL"] + "/auth/v1/health")
    assert answers(stack.values["MODEL_URL"] + "/models")
    assert stack.query("select 1") == "1"


def test_chat_finds_the_demo_data(stack: RunningStack) -> None:
    """DATABASE_PATH is a file in the data directory; without chat it is not built."""
    assert stack.values["DATABASE_PATH"] == str(stack.data / "trading.duckdb")
    assert not (stack.data / "trading.duckdb").exists()


def test_the_variables_are_private_and_sh_can_source_them(stack: RunningStack) -> None:
    """Only the owner can read the file, and `set -a; . env` works."""
    path = stack.data / "env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    script = f'set -a; . {path}; exec "$0" -c "import os; print(os.environ[\'DATABASE_URL\'])"'
    done = subprocess.run(["sh", "-c", script, sys.executable], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == stack.values["DATABASE_URL"]
    assert len(stack.values["CRON_SECRET"]) >= 32


def test_the_banner_shows_how_to_use_the_stack(stack: RunningStack) -> None:
    """The banner has the addresses, a demo user and the place of the logs."""
    printed = stack.console_text()
    for name in ("LLMS_URL", "SUPABASE_URL", "DATABASE_URL", "MODEL_URL", "DEMO_EMAIL", "DEMO_PASSWORD"):
        assert stack.values[name] in printed
    assert str(stack.data / "logs") in printed


def test_the_demo_user_signs_in(stack: RunningStack) -> None:
    """The printed e-mail address and password work."""
    response = httpx.post(
        f"{stack.values['SUPABASE_URL']}/auth/v1/token?grant_type=password",
        headers={"apikey": stack.values["SUPABASE_ANON_KEY"]},
        json={"email": stack.values["DEMO_EMAIL"], "password": stack.values["DEMO_PASSWORD"]},
    )
    assert response.status_code == 200, response.text
    assert stack.whoami(response.json()["access_token"])["email"] == stack.values["DEMO_EMAIL"]


def test_a_sign_in_link_appears_in_the_terminal(stack: RunningStack) -> None:
    """There is no mail: `up` prints a magic link, and nothing else of the API's log."""
    response = httpx.post(
        f"{stack.values['SUPABASE_URL']}/auth/v1/otp",
        headers={"apikey": stack.values["SUPABASE_ANON_KEY"]},
        json={"email": "linus@parley.local", "create_user": True},
    )
    assert response.status_code == 200, response.text
    assert wait_until(lambda: "magic link for linus@parley.local: http" in stack.console_text(), 5)


def test_a_token_is_for_one_user(stack: RunningStack) -> None:
    """`token EMAIL` creates the user once and reuses the account later; the function accepts the token."""
    first, second = stack.token("ada@parley.local"), stack.token("ada@parley.local")
    assert stack.whoami(first)["id"] == stack.whoami(second)["id"]
    response = httpx.get(stack.values["LLMS_URL"], headers={"Authorization": f"Bearer {first}"})
    assert response.status_code == 200, response.text


def test_without_a_provider_key_the_local_model_is_the_default(stack: RunningStack) -> None:
    """A first chat works offline: the demo model is active, free, reachable and the only default."""
    assert stack.query("select model_key from public.llm_models where is_default") == "client:1:smollm2-135m-instruct"
    node = stack.query("select base_url from public.client_nodes where id = 1 and is_active and owner_id is null")
    assert node == stack.values["MODEL_URL"]


def test_a_users_first_node_gets_its_own_id(stack: RunningStack) -> None:
    """The local model's node does not take the ids of users' nodes."""
    made = stack.query(
        "insert into public.client_nodes (name, base_url) values ('n', 'http://example.com/v1') returning id"
    )
    assert int(made.split()[0]) > 1


def test_a_seed_runs_once(stack: RunningStack, tmp_path: Path) -> None:
    """A seed file with several statements runs at its first sight only."""
    seed = tmp_path / "fruit.sql"
    seed.write_text("create table public.fruit (name text); insert into public.fruit values ('5% apple'); select 1;")
    assert seeding.run_seed(stack.values["DATABASE_URL"], seed)
    assert not seeding.run_seed(stack.values["DATABASE_URL"], seed)
    assert stack.query("select count(*) from public.fruit") == "1"


def test_a_second_up_on_the_same_data_is_rejected(stack: RunningStack) -> None:
    """The error names the running process and a command that stops it as it is."""
    done = command("up", "--data", str(stack.data), "--ports", str(free_ports()))
    assert done.returncode == 1
    assert f"process {stack.process.pid}" in done.stderr
    assert f"`{display_path(Path(sys.executable))} -m local down --data " in done.stderr


def test_a_taken_port_is_named_with_its_process(stack: RunningStack) -> None:
    """Nothing is started; the error names the part and the process."""
    with data_folder() as data:
        done = command("up", "--data", str(data), "--ports", str(stack.base), "--only", "llms")
    assert done.returncode == 1
    assert re.search(rf"port {stack.base + 2} \(llms\) is in use by process \d+ \(", done.stderr)
    assert re.search(rf"port {stack.base + 11} \(database\) is in use by process \d+ \(postgres\)", done.stderr)


def test_a_running_stack_is_not_reset(stack: RunningStack) -> None:
    """`reset` deletes nothing while a stack runs."""
    assert command("reset", "--data", str(stack.data)).returncode == 1
    assert stack.query("select 1") == "1"


def test_a_given_project_is_used_and_never_written_to(stack: RunningStack) -> None:
    """With SUPABASE_URL only functions start; the project gets no user and keeps its default model."""
    names = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY")
    given = {name: stack.values[name] for name in names}
    people = stack.query("select count(*) from auth.users")
    options = ("--only", "llms", "--no-model", "--no-reload")
    with data_folder() as data, running_stack(data, free_ports(), *options, environ=given) as other:
        assert other.values["SUPABASE_URL"] == stack.values["SUPABASE_URL"]
        assert "DEMO_EMAIL" not in other.values
        assert not (data / "postgres").exists()
        assert "writes nothing to it" in other.console_text()
        headers = {"Authorization": f"Bearer {stack.token('demo@parley.local')}"}
        assert httpx.get(other.values["LLMS_URL"], headers=headers).status_code == 200
    assert stack.query("select count(*) from auth.users") == people
    assert stack.query("select count(*) from public.llm_models where is_default and provider = 'client'") == "1"
