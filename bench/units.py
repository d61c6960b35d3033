"""The built units: their size, and the time from run.sh to the first response, beside a bare hello."""

from __future__ import annotations

import functools
import http.client
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg

from bench.function import HELLO
from deploy.build import RUNTIME, build_lambda, find_python, unzipped_bytes
from local.users import access_token
from tests.fakes.providers import serving_upstream
from tests.providers import named, variables
from tests.stack_process import free_ports

_ROUNDS = 7
_ARCH = "x86_64" if platform.machine() == "x86_64" else "arm64"
_MODELS = {provider: f"bench-echo-{provider}" for provider in ("openai", "google", "anthropic")}
_AIMS = {"chat": 100, "llms": 65}
TurnRequest = Callable[[str], bool]


def measure(stack: Mapping[str, str]) -> None:
    """Prints sizes, then the median of a few starts for each unit; the units take turns."""
    version = RUNTIME if find_python(RUNTIME) else "{}.{}".format(*sys.version_info[:2])
    with tempfile.TemporaryDirectory() as name, serving_upstream() as upstream:
        folder = Path(name)
        python = _bare_python(version, folder / "python")
        for unit in ("chat", "llms", "refresh"):
            _print_size(unit, build_lambda(unit, _ARCH, folder, python=version))
        (folder / "hello").mkdir()
        (folder / "hello" / "main.py").write_text(HELLO)
        _add_models(stack)
        token = access_token(stack["SUPABASE_URL"], stack["SUPABASE_SERVICE_KEY"], "bench@parley.local")
        environ = {**stack, **variables(upstream), "PATH": f"{python.parent}:/usr/bin:/bin"}
        probes: dict[str, tuple[str, TurnRequest]] = {
            "hello": ("hello", _is_healthy),
            "llms /health": ("llms", _is_healthy),
            "refresh /health": ("refresh", _is_healthy),
            "chat /health": ("chat", _is_healthy),
            **{
                f"chat, first byte: {provider}": ("chat", functools.partial(_streams, token=token, model=model))
                for provider, model in _MODELS.items()
            },
        }
        times: dict[str, list[float]] = {each: [] for each in probes}
        for _ in range(_ROUNDS + 1):
            for each, (unit, ask) in probes.items():
                times[each].append(_start(folder, unit, environ, ask))
    _print_times({each: taken[1:] for each, taken in times.items()}, version)


def _print_times(times: Mapping[str, list[float]], version: str) -> None:
    """Prints medians, and the minimum as the time on an idle machine."""
    print(f"cold start of the built units, Python {version}, {_ROUNDS} alternating rounds: median, minimum")
    for each, taken in times.items():
        middle, least = statistics.median(taken), min(taken)
        ratios = middle / statistics.median(times["hello"]), least / min(times["hello"])
        aim = "   (aim: 1.5)" if each == "llms /health" else "   (aim: 3)" if each.startswith("chat, first") else ""
        print(f"  {each:26s} {middle:6.0f} {least:6.0f} ms   {ratios[0]:.2f} {ratios[1]:.2f} x hello{aim}")


def _print_size(unit: str, path: Path) -> None:
    unzipped, zipped = unzipped_bytes(path.with_suffix("")) / 1e6, path.stat().st_size / 1e6
    library = path.with_suffix("") / "_duckdb.so.gz"
    size_of_duckdb = f", of which DuckDB's library {library.stat().st_size / 1e6:.1f}" if library.exists() else ""
    aim = f"   (aim: under {_AIMS[unit]})" if unit in _AIMS else ""
    print(f"unit {unit:8s} {_ARCH} {unzipped:6.1f} MB unzipped{size_of_duckdb}, {zipped:.1f} zipped{aim}")


def _bare_python(version: str, folder: Path) -> Path:
    subprocess.run([str(find_python(version)), "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python3"


def _add_models(stack: Mapping[str, str]) -> None:
    with psycopg.connect(stack["DATABASE_URL"], autocommit=True) as db:
        for provider, key in _MODELS.items():
            db.execute(
                """insert into public.llm_models (model_key, model_name, provider, upstream_id)
                   values (%s, %s, %s, %s)""",
                [key, key, provider, named("echo", provider)],
            )


def _start(folder: Path, unit: str, environ: Mapping[str, str], ask: TurnRequest) -> float:
    """Milliseconds until `ask` returns true. hello uses the packages and bytecode of llms, without run.sh."""
    port, root = str(free_ports()), folder / ("llms" if unit == "hello" else unit)
    variables_of_unit = {"LAMBDA_TASK_ROOT": str(root), "AWS_LWA_PORT": port, "FUNCTION_TARGET": unit}
    command = [str(root / "run.sh")]
    if unit == "hello":
        variables_of_unit |= {"FUNCTION_SOURCE": str(folder / "hello" / "main.py"), "PYTHONPATH": str(root)}
        command = ["python3", "-m", "uvicorn", "functions_framework.aio:app", "--port", port, "--lifespan", "on"]
        command += ["--no-access-log", "--log-level", "warning"]
    started = time.perf_counter()
    process = subprocess.Popen(command, env={**environ, **variables_of_unit}, stdout=subprocess.DEVNULL)
    try:
        while not ask(f"http://127.0.0.1:{port}"):
            if process.poll() is not None or time.perf_counter() - started > 30:
                raise SystemExit(f"{unit} did not start")
            time.sleep(0.002)
        return (time.perf_counter() - started) * 1000
    finally:
        process.kill()
        process.wait()


def _is_healthy(url: str) -> bool:
    """Whether /health answers 200. It uses http.client, as a heavier client would slow down the measured process."""
    line = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        line.request("GET", "/health")
        return line.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


def _streams(url: str, token: str, model: str) -> bool:
    if not _is_healthy(url):
        return False
    line = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    line.request("POST", "/", json.dumps({"message": "one two three", "model": model}), headers)
    response = line.getresponse()
    try:
        while piece := response.read1(65536):
            if b"text-delta" in piece:
                return True
    finally:
        line.close()
    raise SystemExit(f"{model} sent no text: {response.status}")
