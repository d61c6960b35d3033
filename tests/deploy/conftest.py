"""Fixtures of the deployment tests: the built units, an AWS account on loopback and a local stack."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.build import ROOT, RUNTIME, build_lambda, find_python, functions
from tests.deploy import resources
from tests.deploy.deployment import Deployment
from tests.fakes.aws import Account, serving_account
from tests.stack.conftest import model
from tests.stack.people import Person, Stack, connect, new_admin, sign_up
from tests.stack_process import data_folder, free_ports, running_stack

__all__ = ["model"]
ARCH = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
STAGE = "test"
# Lambda's Python version where this machine has it, else the version that runs the tests.
PYTHON = RUNTIME if find_python(RUNTIME) else "{}.{}".format(*sys.version_info[:2])


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with serverless.yml and the built unit of every function for this machine."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "deploy").mkdir()
    for name in ("serverless.yml", "deploy/resources.yml", "package.json"):
        shutil.copy(ROOT / name, folder / name)
    for name in functions():
        build_lambda(name, ARCH, folder / "build" / "lambda" / ARCH, python=PYTHON)
    return folder


@pytest.fixture(scope="session")
def units(service: Path) -> Path:
    """The folder of the zips; each has its unpacked folder beside it."""
    return service / "build" / "lambda" / ARCH


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the standard library only, as on Lambda."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([str(find_python(PYTHON)), "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python3"


def osls(service: Path, *arguments: str, stage: str = STAGE, environ: dict[str, str] | None = None) -> str:
    """The output of a successful osls command; without `environ` it has no account."""
    named = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [str(ROOT / "node_modules" / ".bin" / "osls"), *arguments, "--stage", stage],
        cwd=service,
        env=named | {"CI": "1", "LAMBDA_ARCH": ARCH, "AWS_EC2_METADATA_DISABLED": "true"} | (environ or {}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def packaged(service: Path) -> Path:
    """The folder with the output of `osls package`, made without an account."""
    osls(service, "package", "--package", "packaged", "--param", "alarmEmail=ops@example.com")
    return service / "packaged"


@pytest.fixture(scope="session")
def account() -> Iterator[Account]:
    """An AWS account on loopback."""
    assert resources.KINDS
    with serving_account() as running:
        yield running


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A local stack whose database and API the deployed functions use."""
    with data_folder() as data, running_stack(data, free_ports(), "--no-reload", "--no-model") as running:
        yield Stack(running.values | {"DATA": str(data)})


@pytest.fixture(scope="session")
def db(stack: Stack) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection to the stack's database as its owner."""
    with connect(stack) as connection:
        yield connection


@pytest.fixture
def alice(stack: Stack) -> Person:
    """A new user for this test."""
    return sign_up(stack)


@pytest.fixture
def admin(stack: Stack) -> Person:
    """A new user with the admin role."""
    return new_admin(stack)


@pytest.fixture(scope="session")
def deployed(
    service: Path, account: Account, stack: Stack, bare_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """All functions, deployed by `osls deploy`, with their secrets in the account's Parameter Store."""
    environ = account.environ | {"SLS_AWS_MONITORING_FREQUENCY": "200"}
    osls(service, "deploy", "--param", "corsOrigins=https://app.example", environ=environ)
    names = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY", "CRON_SECRET", "HASH_PEPPER")
    account.put_secrets(f"/parley/{STAGE}/", **{name: stack[name] for name in names})
    deployment = Deployment(account, f"parley-{STAGE}", bare_python, tmp_path_factory.mktemp("deployed"))
    deployment.adapt_policies_to_moto()
    yield deployment
    deployment.end()


@pytest.fixture
def bucket(deployed: Deployment) -> str:
    """The name of the spool's bucket."""
    return deployed.resource("SpoolBucket")
