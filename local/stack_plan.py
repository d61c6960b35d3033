"""The plan of a stack, made before anything starts: its parts, their ports and their variables."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local import configuration, environment, keys, page, postgres
from local.data_dir import DataDir
from local.environment import ROOT
from local.errors import StackError
from local.ports import Ports
from local.users import DEMO_EMAIL
from shared.variables import found, with_first_names

DATABASE_NAME = "postgres"
_SUPABASE = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY")
_PROJECT_OPTIONAL = ("SUPABASE_ISSUER", "DATABASE_URL", "LEDGER_DATABASE_URL")  # useless without a project's address
_FUNCTION_URLS = ("CHAT_URL", "LLMS_URL", "REFRESH_URL", "ASSIST_URL")
_OVER_THE_LEDGER = ("chat", "assist")
_SHOWN_WHEN_GIVEN = (*_SUPABASE, "DATABASE_URL", "LEDGER_DATABASE_URL", "MODEL_URL", *_FUNCTION_URLS)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `up`; `only` None means all functions."""

    data_dir: DataDir
    ports: Ports
    only: tuple[str, ...] | None = None
    has_model: bool = True
    has_reload: bool = True


@dataclass(frozen=True, slots=True)
class StackPlan:
    """`given` are the user's variables, `generated` the generated ones. A given part is used and not started."""

    options: Options
    functions: tuple[str, ...]
    given: Mapping[str, str]
    generated: Mapping[str, str]

    @property
    def is_embedded(self) -> bool:
        return "SUPABASE_URL" not in self.given

    @property
    def starts_model(self) -> bool:
        return self.options.has_model and "MODEL_URL" not in self.given

    @property
    def starts_page(self) -> bool:
        """Whether the page is built and has all functions that it needs."""
        return self.options.only is None and page.is_built() and self.variables.keys() >= page.NEEDED

    @property
    def has_provider_key(self) -> bool:
        return any(name in self.given for name in environment.PROVIDER_KEYS)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts; each listens on its own port."""
        return (
            *(("database", "api") if self.is_embedded else ()),
            *(("model",) if self.starts_model else ()),
            *self.functions,
            *(("page",) if self.starts_page else ()),
        )

    @property
    def variables(self) -> dict[str, str]:
        """Generated and given variables together, for the file and the banner."""
        return {name: self.given.get(name, value) for name, value in self.generated.items()} | {
            name: self.given[name] for name in _SHOWN_WHEN_GIVEN if name in self.given
        }

    @property
    def generated_names(self) -> list[str]:
        """The variables with a generated value."""
        return [name for name in self.generated if name not in self.given]

    @property
    def demo_data(self) -> Path | None:
        """The path of the demo data; None when chat does not run here or DATABASE_PATH is given."""
        is_ours = "chat" in self.functions and "DATABASE_PATH" not in self.given
        return self.options.data_dir.trading if is_ours else None

    def function_environ(self, name: str) -> dict[str, str]:
        """The complete environment of the process of a function; chat and assist get no service key."""
        environ = {
            **self.generated,
            **self.given,
            "FUNCTION_TARGET": name,
            "FUNCTION_SOURCE": f"functions/{name}/main.py",
            "PYTHONPATH": str(ROOT),
        }
        if name in _OVER_THE_LEDGER and "LEDGER_DATABASE_URL" in environ:
            environ.pop("SUPABASE_SERVICE_KEY", None)
        return environ

    def function_command(self, name: str) -> list[str]:
        """The command that serves a function: functions-framework's ASGI app under uvicorn, as in the cloud."""
        return [sys.executable, "-m", "local.serve", str(self.options.ports.of(name))]

    def function_sources(self, name: str) -> tuple[Path, ...]:
        """The folders whose changes restart a function; empty without reload."""
        return (ROOT / "functions" / name, ROOT / "shared") if self.options.has_reload else ()


def make_stack_plan(options: Options) -> StackPlan:
    """The plan. Raises StackError for an unknown function, an incomplete Supabase project or an invalid variable."""
    given_as_written = environment.given_as_written()
    configuration.reject_invalid(given_as_written)
    _reject_incomplete_project(given_as_written)
    given = with_first_names(given_as_written)
    functions = tuple(name for name in _selected_functions(options.only) if f"{name.upper()}_URL" not in given)
    generated = environment.generated_variables(options.data_dir)
    generated |= {f"{name.upper()}_URL": options.ports.url(name) for name in functions}
    if "SUPABASE_URL" not in given:
        generated |= _embedded(options.data_dir, options.ports)
    if options.has_model:
        generated["MODEL_URL"] = f"{options.ports.url('model')}/v1"
    return StackPlan(options, functions, given, generated)


def _reject_incomplete_project(given_as_written: Mapping[str, str]) -> None:
    """Messages use the names that the user wrote. With SECRETS_SOURCE a missing key is allowed."""
    name_used = {
        name: found(given_as_written, name)[0]
        for name in (*_SUPABASE, *_PROJECT_OPTIONAL)
        if found(given_as_written, name)[1]
    }
    if "SUPABASE_URL" in name_used:
        missing = [name for name in _SUPABASE if name not in name_used]
        if missing and "SECRETS_SOURCE" not in given_as_written:
            raise StackError(
                f"{name_used['SUPABASE_URL']} is set, so {' and '.join(missing)} must be too; "
                "unset it for the embedded one"
            )
    elif stray := list(name_used.values()):
        raise StackError(
            f"{' and '.join(stray)} without SUPABASE_URL: unset it for the embedded stack, or set that too"
        )


def _embedded(data_dir: DataDir, ports: Ports) -> dict[str, str]:
    project_keys = keys.load_or_create(data_dir.keys_file)
    return {
        "SUPABASE_URL": ports.url("api"),
        "SUPABASE_ANON_KEY": project_keys.publishable_key,
        "SUPABASE_SERVICE_KEY": project_keys.secret_key,
        "DATABASE_URL": postgres.dsn(ports.database, dbname=DATABASE_NAME),
        "LEDGER_DATABASE_URL": postgres.dsn(
            ports.database, "parley_ledger", DATABASE_NAME, data_dir.secret("LEDGER_PASSWORD", characters=32)
        ),
        "ALLOW_PRIVATE_NODES": "1",  # the model listens on loopback
        "DEMO_EMAIL": DEMO_EMAIL,
        "DEMO_PASSWORD": data_dir.secret("DEMO_PASSWORD", characters=16),
    }


def _selected_functions(only: tuple[str, ...] | None) -> list[str]:
    present = sorted(path.parent.name for path in (ROOT / "functions").glob("*/main.py"))
    if only is None:
        return present
    for name in only:
        if name not in present:
            raise StackError(f"there is no function {name!r}; there are {', '.join(present) or 'none yet'}")
    return [name for name in present if name in only]
