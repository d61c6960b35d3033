"""The supervisor: what is started, in which order, and how all of it ends again."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import psycopg

from local import cluster_cache, configuration, demo, environment, migrations, postgres
from local.announce import announcement
from local.demo_data import built_meanwhile
from local.environment import ROOT
from local.folder import Folder, command, shown
from local.guard import Guard
from local.people import DEMO_EMAIL, create_person
from local.plan import DATABASE_NAME, Options, Plan, make_plan
from local.ports import is_taken, occupant
from local.problems import Interrupted, Problem
from local.processes import Child, Children, Daemon

_READY_SECONDS = 30.0
_DOWN_SECONDS = 20.0


def up(options: Options) -> None:
    """Runs a stack until it is told to end. Raises Problem when it cannot start or a part of it fails."""
    started = time.monotonic()
    stop = _stop_event()
    folder = options.folder
    folder.prepare()
    with folder.lock() as lock:
        folder.env_file.unlink(missing_ok=True)
        plan = make_plan(options)
        for line in configuration.warnings():
            print(f"warning: {line}", file=sys.stderr, flush=True)
        end_database(folder)  # a supervisor that was killed may have left it
        _refuse_taken_ports(plan)
        guard = Guard(lock)
        guard.watch_file(folder.env_file)
        children = Children(guard, stop)
        try:
            with built_meanwhile(plan.demo_data):
                _start(plan, children)
            environment.write_file(folder.env_file, plan.variables, own=plan.own_names)
            print(announcement(plan, time.monotonic() - started), flush=True)
            children.watch()
        except Interrupted:
            raise Problem("stopped before it was ready") from None
        except psycopg.Error as error:
            raise Problem(f"the database refused: {error}") from error
        finally:
            folder.env_file.unlink(missing_ok=True)
            children.stop()
            end_database(folder)
            guard.dismiss()
    print("Stopped; nothing is left running.", flush=True)


def _start(plan: Plan, children: Children) -> None:
    """The slow loaders first, so that they load while the database starts."""
    print(f"Starting {', '.join(plan.parts)}", flush=True)
    waiting = [_start_function(plan, children, name) for name in plan.functions]
    if plan.starts_model:
        waiting.append(_start_model(plan, children))
    if plan.is_embedded:
        _start_database(plan, children)
        api = _start_api(plan, children)
        children.wait_ready([api], _READY_SECONDS)
        values = plan.variables
        create_person(values["SUPABASE_URL"], values["SUPABASE_SERVICE_KEY"], DEMO_EMAIL, values["DEMO_PASSWORD"])
    children.wait_ready(waiting, _READY_SECONDS)


def _start_function(plan: Plan, children: Children, name: str) -> Child:
    path = "/health/ready" if name == "chat" and plan.is_embedded else "/health"
    return children.start(
        name,
        plan.function_command(name),
        cwd=ROOT,
        environ=plan.function_environ(name),
        log=plan.options.folder.logs / f"{name}.log",
        ready_url=plan.options.ports.url(name) + path,
        sources=plan.function_sources(name),
    )


def _start_model(plan: Plan, children: Children) -> Child:
    ports = plan.options.ports
    return children.start(
        "model",
        [sys.executable, "-m", "local.model", "--port", str(ports.model)],
        cwd=ROOT,
        environ=os.environ,
        log=plan.options.folder.logs / "model.log",
        ready_url=ports.url("model") + "/health",
    )


def _start_database(plan: Plan, children: Children) -> None:
    folder, port = plan.options.folder, plan.options.ports.database
    if postgres.is_new(folder.database):
        print(f"Creating the database in {shown(folder.database)}", flush=True)
        cluster_cache.create(folder.database, port, DATABASE_NAME, children.guarding)
    pid = postgres.start(folder.database, port)
    children.watch_daemon(Daemon("database", pid, folder.database / "log"))
    postgres.prepare_database(port, DATABASE_NAME)
    _fill_database(plan, plan.own["DATABASE_URL"])


def _fill_database(plan: Plan, dsn: str) -> None:
    migrations.apply(dsn, cluster_cache.MIGRATIONS)
    demo.seed(dsn, ROOT / "supabase" / "seed.sql")
    if plan.options.has_model:
        demo.register_model(dsn, plan.variables["MODEL_URL"], is_preferred=not plan.has_provider_key)
    else:
        demo.retire_model(dsn, f"{plan.options.ports.url('model')}/v1")


def _start_api(plan: Plan, children: Children) -> Child:
    ports, folder = plan.options.ports, plan.options.folder
    settings = {
        "PARLEY_API_PORT": str(ports.api),
        "PARLEY_API_URL": ports.url("api"),
        "PARLEY_DATABASE_PORT": str(ports.database),
        "PARLEY_DATABASE_NAME": DATABASE_NAME,
        "PARLEY_KEYS_FILE": str(folder.keys_file),
        "PYTHONUNBUFFERED": "1",  # a sign-in link is wanted at once
    }
    return children.start(
        "api",
        [sys.executable, "-m", "local.api"],
        cwd=ROOT,
        environ={**os.environ, **settings},
        log=folder.logs / "api.log",
        ready_url=ports.url("api") + "/auth/v1/health",
        echoed=b"magic link",
    )


def down(folder: Folder) -> str:
    """Asks a running stack to end and waits for it; what came of it, in words."""
    pid = folder.running_pid()
    if pid is None:
        return f"Nothing is running on {shown(folder.path)}."
    if pid:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_SECONDS
    while folder.running_pid() is not None:
        if time.monotonic() > deadline:
            raise Problem(f"process {pid} has not ended within {_DOWN_SECONDS:.0f} s")
        time.sleep(0.05)
    return f"Stopped the stack on {shown(folder.path)} (process {pid})."


def reset(folder: Folder) -> str:
    """Deletes what a stack left, itself stopped; what came of it, in words."""
    if not folder.path.exists():
        return f"There is nothing at {shown(folder.path)}."
    if not folder.is_ours:
        raise Problem(f"{shown(folder.path)} was not made by `python -m local up`; nothing was deleted")
    with folder.lock():
        end_database(folder)
        folder.clear()
    return f"{shown(folder.path)} is empty; `{command('up', folder.path)}` starts afresh."


def end_database(folder: Folder) -> None:
    """Stops PostgreSQL if it runs on this directory."""
    if postgres.is_running(folder.database):
        postgres.stop(folder.database)


def _refuse_taken_ports(plan: Plan) -> None:
    ports = plan.options.ports
    taken = [
        f"port {ports.of(part)} ({part}) is in use by {occupant(ports.of(part))}"
        for part in plan.parts
        if is_taken(ports.of(part))
    ]
    if taken:
        raise Problem("\n".join(taken) + '\nend it, or choose other ports: make run ARGS="--ports 9000"')


def _stop_event() -> threading.Event:
    """Set by Ctrl-C, SIGTERM and a closing terminal; steps finish first, so nothing is left half made."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda *_: stop.set())
    return stop
