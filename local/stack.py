"""The supervisor: starts the parts of a stack in order, watches them and stops them."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

import psycopg

from local import cluster_cache, configuration, environment, migrations, page, postgres, seeding
from local.banner import banner_text
from local.data_dir import DataDir, command, display_path
from local.demo_data import built_in_background
from local.environment import ROOT
from local.errors import Interrupted, StackError
from local.ports import is_taken, occupant
from local.processes import Child, Children, Daemon
from local.reaper import Reaper
from local.stack_plan import DATABASE_NAME, Options, StackPlan, make_stack_plan
from local.users import DEMO_EMAIL, create_user

_READY_SECONDS = 30.0
_DOWN_SECONDS = 20.0


def up(options: Options) -> None:
    """Runs a stack until a stop signal. Raises StackError when it cannot start or a part fails."""
    started = time.monotonic()
    stop = _stop_event()
    data_dir = options.data_dir
    data_dir.prepare()
    with data_dir.lock() as lock:
        data_dir.env_file.unlink(missing_ok=True)
        plan = make_stack_plan(options)
        for line in configuration.warnings():
            print(f"warning: {line}", file=sys.stderr, flush=True)
        end_database(data_dir)  # a killed supervisor may have left it running
        _reject_taken_ports(plan)
        reaper = Reaper(lock)
        reaper.watch_file(data_dir.env_file)
        children = Children(reaper, stop)
        try:
            with built_in_background(plan.demo_data):
                _start(plan, children)
            environment.write_file(data_dir.env_file, plan.variables, generated=plan.generated_names)
            print(banner_text(plan, time.monotonic() - started), flush=True)
            children.watch()
        except Interrupted:
            raise StackError("stopped before it was ready") from None
        except psycopg.Error as error:
            raise StackError(f"database error: {error}") from error
        finally:
            data_dir.env_file.unlink(missing_ok=True)
            children.stop()
            end_database(data_dir)
            reaper.end()
    print("Stopped; nothing is left running.", flush=True)


def _start(plan: StackPlan, children: Children) -> None:
    """Starts the slow parts first, so that they load while the database starts."""
    print(f"Starting {', '.join(plan.parts)}", flush=True)
    children_to_check = [_start_function(plan, children, name) for name in plan.functions]
    if plan.starts_model:
        children_to_check.append(_start_model(plan, children))
    if plan.is_embedded:
        _start_database(plan, children)
        api = _start_api(plan, children)
        children.wait_ready([api], _READY_SECONDS)
        values = plan.variables
        create_user(values["SUPABASE_URL"], values["SUPABASE_SERVICE_KEY"], DEMO_EMAIL, values["DEMO_PASSWORD"])
    if plan.starts_page:
        children_to_check.append(_start_page(plan, children))
    children.wait_ready(children_to_check, _READY_SECONDS)


def _start_function(plan: StackPlan, children: Children, name: str) -> Child:
    path = "/health/ready" if name == "chat" and plan.is_embedded else "/health"
    return children.start(
        name,
        plan.function_command(name),
        cwd=ROOT,
        environ=plan.function_environ(name),
        log=plan.options.data_dir.logs / f"{name}.log",
        ready_url=plan.options.ports.url(name) + path,
        sources=plan.function_sources(name),
    )


def _start_page(plan: StackPlan, children: Children) -> Child:
    ports = plan.options.ports
    settings = {
        "PARLEY_PAGE_PORT": str(ports.page),
        "PARLEY_PAGE_CONFIG": json.dumps(page.page_config(plan.variables)),
    }
    return children.start(
        "page",
        [sys.executable, "-m", "local.page"],
        cwd=ROOT,
        environ={**os.environ, **settings},
        log=plan.options.data_dir.logs / "page.log",
        ready_url=ports.url("page") + "/config.json",
    )


def _start_model(plan: StackPlan, children: Children) -> Child:
    ports = plan.options.ports
    return children.start(
        "model",
        [sys.executable, "-m", "local.model", "--port", str(ports.model)],
        cwd=ROOT,
        environ=os.environ,
        log=plan.options.data_dir.logs / "model.log",
        ready_url=ports.url("model") + "/health",
    )


def _start_database(plan: StackPlan, children: Children) -> None:
    data_dir, port = plan.options.data_dir, plan.options.ports.database
    if postgres.is_new(data_dir.database):
        print(f"Creating the database in {display_path(data_dir.database)}", flush=True)
        cluster_cache.create(data_dir.database, port, DATABASE_NAME, children.guarding)
    pid = postgres.start(data_dir.database, port)
    children.watch_daemon(Daemon("database", pid, data_dir.database / "log"))
    postgres.prepare_database(port, DATABASE_NAME)
    _fill_database(plan, plan.generated["DATABASE_URL"])


def _fill_database(plan: StackPlan, dsn: str) -> None:
    migrations.apply(dsn, cluster_cache.MIGRATIONS)
    seeding.give_login(dsn, plan.generated["LEDGER_DATABASE_URL"])
    seeding.run_seed(dsn, ROOT / "supabase" / "seed.sql")
    if plan.options.has_model:
        seeding.register_model(dsn, plan.variables["MODEL_URL"], is_preferred=not plan.has_provider_key)
    else:
        seeding.retire_model(dsn, f"{plan.options.ports.url('model')}/v1")


def _start_api(plan: StackPlan, children: Children) -> Child:
    ports, data_dir = plan.options.ports, plan.options.data_dir
    settings = {
        "PARLEY_API_PORT": str(ports.api),
        "PARLEY_API_URL": ports.url("api"),
        "PARLEY_SITE_URL": ports.url("page"),
        "PARLEY_DATABASE_PORT": str(ports.database),
        "PARLEY_DATABASE_NAME": DATABASE_NAME,
        "PARLEY_KEYS_FILE": str(data_dir.keys_file),
        "PYTHONUNBUFFERED": "1",  # a sign-in link must appear at once
    }
    return children.start(
        "api",
        [sys.executable, "-m", "local.api"],
        cwd=ROOT,
        environ={**os.environ, **settings},
        log=data_dir.logs / "api.log",
        ready_url=ports.url("api") + "/auth/v1/health",
        echo_prefix=b"magic link",
    )


def down(data_dir: DataDir) -> str:
    """Stops a running stack and waits for its end; returns a message."""
    pid = data_dir.running_pid()
    if pid is None:
        return f"Nothing is running on {display_path(data_dir.path)}."
    if pid:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_SECONDS
    while data_dir.running_pid() is not None:
        if time.monotonic() > deadline:
            raise StackError(f"process {pid} has not ended within {_DOWN_SECONDS:.0f} s")
        time.sleep(0.05)
    return f"Stopped the stack on {display_path(data_dir.path)} (process {pid})."


def reset(data_dir: DataDir) -> str:
    """Deletes the state of a stopped stack; returns a message."""
    if not data_dir.path.exists():
        return f"There is nothing at {display_path(data_dir.path)}."
    if not data_dir.is_ours:
        raise StackError(f"{display_path(data_dir.path)} was not made by `python -m local up`; nothing was deleted")
    with data_dir.lock():
        end_database(data_dir)
        data_dir.clear()
    return f"{display_path(data_dir.path)} is empty; `{command('up', data_dir.path)}` starts a new stack."


def end_database(data_dir: DataDir) -> None:
    """Stops PostgreSQL if it runs on this directory."""
    if postgres.is_running(data_dir.database):
        postgres.stop(data_dir.database)


def _reject_taken_ports(plan: StackPlan) -> None:
    ports = plan.options.ports
    taken = [
        f"port {ports.of(part)} ({part}) is in use by {occupant(ports.of(part))}"
        for part in plan.parts
        if is_taken(ports.of(part))
    ]
    if taken:
        raise StackError("\n".join(taken) + '\nend that process, or choose other ports: make run ARGS="--ports 9000"')


def _stop_event() -> threading.Event:
    """An event that Ctrl-C, SIGTERM or a closed terminal sets; the current step always finishes first."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda *_: stop.set())
    return stop
