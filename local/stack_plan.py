"""What a stack will consist of, decided before anything starts: which parts, on which ports, with which variables."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local import configuration, environment, keys, postgres
from local.data_dir import DataDir
from local.environment import ROOT
from local.errors import StackError
from local.ports import HOST, Ports
from local.users import DEMO_EMAIL
from shared.variables import found, with_first_names

DATABASE_NAME = "postgres"
_SUPABASE = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY")
_OF_PROJECT = ("SUPABASE_ISSUER", "DATABASE_URL")  # of no use without a project's address
_SHOWN_WHEN_GIVEN = (*_SUPABASE, "DATABASE_URL", "MODEL_URL", "CHAT_URL", "LLMS_URL", "REFRESH_URL", "ASSIST_URL")


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line; `only` None means every function there is."""

    data_dir: DataDir
    ports: Ports
    only: tuple[str, ...] | None = None
    has_model: bool = True
    has_reload: bool = True


@dataclass(frozen=True, slots=True)
class StackPlan:
    """`given` are the caller's variables, `own` the ones made up here; what is given wins and is not started."""

    options: Options
    functions: tuple[str, ...]
    given: Mapping[str, str]
    own: Mapping[str, str]

    @property
    def is_embedded(self) -> bool:
        return "SUPABASE_URL" not in self.given

    @property
    def starts_model(self) -> bool:
        return self.options.has_model and "MODEL_URL" not in self.given

    @property
    def has_provider_key(self) -> bool:
        return any(name in self.given for name in environment.PROVIDER_KEYS)

    @property
    def parts(self) -> tuple[str, ...]:
        """Everything that listens on a port of its own."""
        return (
            *(("database", "api") if self.is_embedded else ()),
            *(("model",) if self.starts_model else ()),
            *self.functions,
        )

    @property
    def variables(self) -> dict[str, str]:
        """Made up and given together, as the file and the table show them."""
        return {name: self.given.get(name, value) for name, value in self.own.items()} | {
            name: self.given[name] for name in _SHOWN_WHEN_GIVEN if name in self.given
        }

    @property
    def own_names(self) -> list[str]:
        """The variables whose values nobody gave."""
        return [name for name in self.own if name not in self.given]

    @property
    def demo_data(self) -> Path | None:
        """Where chat will look for data to ask about; None when it does not run here or has data of its own."""
        is_ours = "chat" in self.functions and "DATABASE_PATH" not in self.given
        return self.options.data_dir.trading if is_ours else None

    def function_environ(self, name: str) -> dict[str, str]:
        """The whole environment of one function's process."""
        return {
            **self.own,
            **self.given,
            "FUNCTION_TARGET": name,
            "FUNCTION_SOURCE": f"functions/{name}/main.py",
            "PYTHONPATH": str(ROOT),
        }

    def function_command(self, name: str) -> list[str]:
        """functions-framework's ASGI app under uvicorn, as the cloud starts it."""
        command = [sys.executable, "-m", "uvicorn", "functions_framework.aio:app", "--host", HOST]
        command += ["--port", str(self.options.ports.of(name)), "--timeout-keep-alive", "75"]
        command += ["--lifespan", "on"]  # with `auto` an import error of main.py is swallowed
        command += ["--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "3"]
        return command

    def function_sources(self, name: str) -> tuple[Path, ...]:
        """What a function is started again for when it changes."""
        return (ROOT / "functions" / name, ROOT / "shared") if self.options.has_reload else ()


def make_stack_plan(options: Options) -> StackPlan:
    """Raises StackError for a function that does not exist, half of a Supabase project and any other wrong variable."""
    stated = environment.stated()
    configuration.reject_invalid(stated)
    _reject_incomplete_project(stated)
    given = with_first_names(stated)
    functions = tuple(name for name in _chosen(options.only) if f"{name.upper()}_URL" not in given)
    own = environment.generated_variables(options.data_dir)
    own |= {f"{name.upper()}_URL": options.ports.url(name) for name in functions}
    if "SUPABASE_URL" not in given:
        own |= _embedded(options.data_dir, options.ports)
    if options.has_model:
        own["MODEL_URL"] = f"{options.ports.url('model')}/v1"
    return StackPlan(options, functions, given, own)


def _reject_incomplete_project(stated: Mapping[str, str]) -> None:
    """The names are those that the caller wrote; a key that SECRETS_SOURCE may hold is not missing."""
    set_under = {name: found(stated, name)[0] for name in (*_SUPABASE, *_OF_PROJECT) if found(stated, name)[1]}
    if "SUPABASE_URL" in set_under:
        missing = [name for name in _SUPABASE if name not in set_under]
        if missing and "SECRETS_SOURCE" not in stated:
            raise StackError(
                f"{set_under['SUPABASE_URL']} is set, so {' and '.join(missing)} must be too; "
                "unset it for the embedded one"
            )
    elif stray := list(set_under.values()):
        raise StackError(
            f"{' and '.join(stray)} without SUPABASE_URL: unset it for the embedded stack, or set that too"
        )


def _embedded(data_dir: DataDir, ports: Ports) -> dict[str, str]:
    pair = keys.load_or_create(data_dir.keys_file)
    return {
        "SUPABASE_URL": ports.url("api"),
        "SUPABASE_ANON_KEY": pair.publishable_key,
        "SUPABASE_SERVICE_KEY": pair.secret_key,
        "DATABASE_URL": postgres.dsn(ports.database, dbname=DATABASE_NAME),
        "ALLOW_PRIVATE_NODES": "1",  # the model listens on loopback
        "DEMO_EMAIL": DEMO_EMAIL,
        "DEMO_PASSWORD": data_dir.secret("DEMO_PASSWORD", characters=16),
    }


def _chosen(only: tuple[str, ...] | None) -> list[str]:
    present = sorted(path.parent.name for path in (ROOT / "functions").glob("*/main.py"))
    if only is None:
        return present
    for name in only:
        if name not in present:
            raise StackError(f"there is no function {name!r}; there are {', '.join(present) or 'none yet'}")
    return [name for name in present if name in only]
