"""The export of training data: rows per second and the memory of refresh, for two numbers of rows."""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import httpx
import psycopg

from bench.function import running

_SIZES = (20_000, 100_000)
_AIM = 5_000
_ROWS = """
insert into public.chat_logs (turn_id, user_id, endpoint, status, question, response, model_identifier)
select gen_random_uuid(), %s, 'chat', 'completed', 'Question ' || n || repeat(' why?', 20),
  repeat('Because. ', 60) || n, 'bench:model'
from generate_series(%s::integer, %s::integer) as n"""


def measure(stack: Mapping[str, str]) -> None:
    """Prints rows per second of the whole step, and the highest memory of the process; the aim is 5,000 rows."""
    with psycopg.connect(stack["DATABASE_URL"], autocommit=True) as db:
        user_id = str(uuid.uuid4())
        db.execute("insert into auth.users (id) values (%s)", [user_id])
        db.execute("insert into public.user_llm_profiles (user_id, allows_training) values (%s, true)", [user_id])
        db.execute("alter table public.chat_logs disable trigger user")  # the roll-up would count each row apart
        print("export of training data, one row about 700 bytes")
        first = 1
        for size in _SIZES:
            db.execute(_ROWS, [user_id, first, size])
            db.execute("analyze public.chat_logs")  # as autovacuum does
            first = size + 1
            with tempfile.TemporaryDirectory() as folder:
                _export(stack, folder, size)
        db.execute("alter table public.chat_logs enable trigger user")
        db.execute("delete from public.chat_logs where user_id = %s", [user_id])
        db.execute("delete from auth.users where id = %s", [user_id])


def _export(stack: Mapping[str, str], folder: str, size: int) -> None:
    with running("refresh", {**stack, "EXPORT_URL": Path(folder).as_uri()}) as (url, pid):
        headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
        httpx.post(url, json={"steps": ["rollup"]}, headers=headers, timeout=60)
        before_mb = _memory_mb(pid)
        peaks = [before_mb]
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.wait(0.05):
                peaks.append(_memory_mb(pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        started = time.perf_counter()
        answer = httpx.post(url, json={"steps": ["export"]}, headers=headers, timeout=300).json()
        took = time.perf_counter() - started
        is_over.set()
        watcher.join()
        step = answer["steps"]["export"]
        if not step["ok"] or step["examples"] < size:
            raise SystemExit(f"the export failed: {step}")
        print(
            f"  {step['examples']:8,} rows  {took:5.1f} s  {step['examples'] / took:8,.0f} rows/s (aim: {_AIM:,})"
            f"   memory {before_mb:.0f} MB before, {max(peaks):.0f} MB at most"
        )


def _memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
