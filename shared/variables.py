"""The table of every environment variable that Parley reads: its form, second names, and the variables it needs."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from shared import addresses, forms
from shared.forms import Form

PROVIDER_NAMES: Final[Mapping[str, str]] = {
    "google": "google",
    "gemini": "google",
    "anthropic": "anthropic",
    "claude": "anthropic",
    "openai": "openai",
    "huggingface": "huggingface",
    "hf": "huggingface",
    "matcha": "matcha",
    "matchai": "matcha",
}
"""Provider names by each spelling that LLM_PROVIDER accepts."""

_WEBHOOK_URL = "https://hooks.example.com/alerts"
_PROJECT_URL = "https://<project>.supabase.co"
_known_provider = forms.one_of(*PROVIDER_NAMES)


def _llm_provider(value: str) -> str | None:
    if value.lower() == "runpod":
        names = ", ".join(PROVIDER_NAMES)
        return f"names runpod, which is retired; register its server as a client node, or write one of {names}"
    return _known_provider(value)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable. The first of `name` and `second_names` that is set counts; `form` checks its value.

    `needs` names variables without which this one has no effect. `example` is the value that error messages suggest.
    """

    name: str
    form: Form = forms.text
    second_names: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    example: str = ""
    needs_for: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Variables that one value, in lower case, needs."""


@dataclass(frozen=True, slots=True)
class WrongVariable:
    """A variable that must be changed. Its text has the name, the reason and what to write, never the value."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"


_TABLE = (
    Variable("SUPABASE_URL", addresses.project_url, ("NEXT_PUBLIC_SUPABASE_URL",), (), _PROJECT_URL),
    Variable(
        "SUPABASE_ANON_KEY",
        forms.publishable_key,
        ("SUPABASE_PUBLISHABLE_KEY", "NEXT_PUBLIC_SUPABASE_ANON_KEY"),
        (),
        "the publishable key (sb_publishable_…)",
    ),
    Variable(
        "SUPABASE_SERVICE_KEY",
        forms.secret_key,
        ("SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SECRET_KEY"),
        (),
        "the secret key (sb_secret_…)",
    ),
    Variable(
        "LEDGER_DATABASE_URL",
        addresses.ledger_url,
        example="the address of PostgreSQL's pooler with the role parley_ledger",
    ),
    Variable("SUPABASE_JWT_SECRET", forms.long_text(32)),
    Variable("SUPABASE_ISSUER", forms.listed(addresses.url(f"{_PROJECT_URL}/auth/v1"))),
    Variable("LLM_PROVIDER", _llm_provider, ("LEXYBRAIN_PROVIDER",)),
    Variable("GEMINI_MODEL", forms.word),
    Variable("CLAUDE_MODEL", forms.word),
    Variable("OPENAI_MODEL", forms.word),
    Variable("HF_MODEL", forms.word, ("LEXYBRAIN_MODEL_ID",)),
    Variable("MATCHA_MODEL", forms.whole(1, 10**9 - 1, "the platform's number of a model")),
    Variable("GOOGLE_API_KEY", forms.key, ("GEMINI_API_KEY",)),
    Variable("GEMINI_BASE_URL", addresses.url("https://generativelanguage.googleapis.com")),
    Variable("ANTHROPIC_API_KEY", forms.key),
    Variable("ANTHROPIC_ADMIN_KEY", forms.key),
    Variable("ANTHROPIC_BASE_URL", addresses.url("https://api.anthropic.com")),
    Variable("OPENAI_API_KEY", forms.key),
    Variable("OPENAI_ADMIN_KEY", forms.key),
    Variable("OPENAI_BASE_URL", addresses.url("https://api.openai.com/v1")),
    Variable("HF_TOKEN", forms.key),
    Variable("HF_BASE_URL", addresses.url("https://router.huggingface.co/v1")),
    Variable("MATCHA_API_KEY", forms.key, needs=("MATCHA_BASE_URL", "MATCHA_MISSION_ID")),
    Variable(
        "MATCHA_BASE_URL",
        addresses.url("https://matcha.example.com/api"),
        example="the platform's URL above /completions",
    ),
    Variable("MATCHA_MISSION_ID", forms.whole(0, 10**12, "a mission's number"), example="the mission's number"),
    Variable("PRELOAD_PROVIDERS", forms.listed(forms.one_of("google", "anthropic"))),
    Variable("CORS_ORIGINS", forms.listed(addresses.origin)),
    Variable("MCP_URL", addresses.url("https://assist.example.com/mcp")),
    Variable("CRON_SECRET", forms.secret(32)),
    Variable("CRON_OIDC_AUDIENCE", forms.word, needs=("CRON_OIDC_EMAILS",), example="the URL of refresh"),
    Variable(
        "CRON_OIDC_EMAILS",
        forms.listed(forms.email),
        needs=("CRON_OIDC_AUDIENCE",),
        example="the e-mail address of the scheduler's service account",
    ),
    Variable("CRON_OIDC_KEYS_URL", addresses.url("https://www.googleapis.com/oauth2/v3/certs")),
    Variable(
        "SECRETS_SOURCE", forms.parameter_path, needs=("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    ),
    Variable("AWS_LAMBDA_FUNCTION_NAME", forms.word),
    Variable("AWS_REGION", forms.word, example="a region, such as eu-central-1"),
    Variable("AWS_ACCESS_KEY_ID", forms.key, example="the access key's id"),
    Variable("AWS_SECRET_ACCESS_KEY", forms.key, example="the secret access key"),
    Variable("AWS_SESSION_TOKEN", forms.key),
    Variable("AWS_ENDPOINT_URL", addresses.url("http://127.0.0.1:4566", has_path=False)),
    Variable(
        "LOG_CONTENT", forms.one_of("redacted", "encrypted", "none"), needs_for={"encrypted": ("LOG_ENCRYPTION_KEYS",)}
    ),
    Variable(
        "LOG_ENCRYPTION_KEYS",
        forms.encryption_keys,
        example="an id, a colon and the output of: openssl rand -base64 32",
    ),
    Variable("HASH_PEPPER", forms.passphrase),
    Variable("SPOOL_URL", forms.store),
    Variable("EXPORT_URL", forms.store),
    Variable("JUDGE_MODEL", forms.word, needs=("JUDGE_DAILY_USD",)),
    Variable("JUDGE_DAILY_USD", forms.usd, example="a number of US dollars a day, such as 1"),
    Variable("LOG_RETENTION_DAYS", forms.whole(1, 10**9 - 1, "a number of days")),
    Variable("DAILY_COST_THRESHOLD", forms.usd, ("LEXYBRAIN_DAILY_COST_CAP",)),
    Variable("MONTHLY_COST_THRESHOLD", forms.usd),
    Variable(
        "ALERT_WEBHOOK_URL",
        addresses.url(_WEBHOOK_URL, has_query=True, plain_http="loopback"),
        example="the address that takes alerts",
    ),
    Variable("WEBHOOK_SECRET", forms.webhook_secret, needs=("ALERT_WEBHOOK_URL",)),
    Variable("ALERT_ERROR_PERCENT", forms.whole(0, 100, "a percentage")),
    Variable("ALERT_LATENCY_SECONDS", forms.whole(0, 800, "a number of seconds")),
    Variable("ALERT_REFRESH_HOURS", forms.whole(0, 8760, "a number of hours")),
    Variable("ALERT_ANOMALY_USD", forms.usd),
    Variable("DATABASE_PATH", forms.file),
    Variable("TURN_SECONDS", forms.whole(1, 800, "a number of seconds")),
    Variable("FIRST_CONTENT_SECONDS", forms.whole(1, 800, "a number of seconds")),
    Variable("ALLOW_PRIVATE_NODES", forms.switch),
    Variable("CLASSIFY_WITH_MODEL", forms.switch),
    Variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT", addresses.url("https://otlp.example.com"), example="the address of a collector"
    ),
    Variable("OTEL_EXPORTER_OTLP_HEADERS", forms.headers, needs=("OTEL_EXPORTER_OTLP_ENDPOINT",)),
    Variable("OTEL_SERVICE_NAME", forms.word),
    Variable("METRICS_SECRET", forms.secret(32)),
)
VARIABLES: Final[Mapping[str, Variable]] = {each.name: each for each in _TABLE}
_NAMES: Final = {each.name: (each.name, *each.second_names) for each in _TABLE}
FIRST_NAMES: Final[Mapping[str, str]] = {second: each.name for each in _TABLE for second in each.second_names}
"""First names by second name."""
REQUIRED: Final = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY")
"""The variables without which no function works; refresh works without SUPABASE_ANON_KEY."""
DIRECT_REQUIRED: Final = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "LEDGER_DATABASE_URL")
"""The variables of a chat that calls the ledger over a connection of its own."""


def names_of(name: str) -> tuple[str, ...]:
    """The name and its second names, in the order in which they count."""
    return _NAMES.get(name) or (name,)


def found(values: Mapping[str, str], name: str) -> tuple[str, str]:
    """The name that the variable is set under and its trimmed value; `name` and an empty value when it is unset."""
    for each in names_of(name):
        if value := values.get(each, "").strip():
            return each, value
    return name, ""


def laid_over(lower: Mapping[str, str], upper: Mapping[str, str]) -> dict[str, str]:
    """Both mappings merged; a variable that `upper` sets under any of its names overrides `lower`."""
    set_above = {FIRST_NAMES.get(name, name) for name, value in upper.items() if value.strip()}
    kept = {name: value for name, value in lower.items() if FIRST_NAMES.get(name, name) not in set_above}
    return kept | {name: value for name, value in upper.items() if value.strip()}


def with_first_names(values: Mapping[str, str]) -> dict[str, str]:
    """The same variables, each under its first name only."""
    renamed = {name: value for name, value in values.items() if name not in FIRST_NAMES}
    return renamed | {name: found(values, name)[1] for name in FIRST_NAMES.values() if found(values, name)[1]}


@functools.lru_cache(maxsize=512)
def wrong_value(name: str, value: str) -> str | None:
    """Why a trimmed value is wrong for the variable and what to write; None when it is right or unset."""
    variable = VARIABLES.get(name)
    if variable is None or not value:
        return None
    return forms.common(value) or variable.form(value)


def wrong_variables(values: Mapping[str, str]) -> Iterator[WrongVariable]:
    """The variables with a wrong value, each under the name that is set."""
    for name in VARIABLES:
        set_under, value = found(values, name)
        if reason := wrong_value(name, value):
            yield WrongVariable(set_under, reason)


def missing_variables(
    values: Mapping[str, str], required: tuple[str, ...], *, is_fetched: bool = True
) -> Iterator[WrongVariable]:
    """Unset variables that are in `required`, or that a variable with a right value needs.

    If `is_fetched` is false and SECRETS_SOURCE is set, only variables that are needed to fetch the others count.
    """
    awaits_more = not is_fetched and bool(found(values, "SECRETS_SOURCE")[1])
    for name in () if awaits_more else required:
        if not found(values, name)[1]:
            yield WrongVariable(name, f"is not set; write {VARIABLES[name].example}")
    for each in [VARIABLES["SECRETS_SOURCE"]] if awaits_more else _TABLE:
        set_under, value = found(values, each.name)
        needs = (*each.needs, *each.needs_for.get(value.lower(), ()))
        for needed in needs if value and not wrong_value(each.name, value) else ():
            if not found(values, needed)[1]:
                example = VARIABLES[needed].example
                yield WrongVariable(needed, f"is not set, but {set_under} is and needs it; write {example}")


def conflicts(values: Mapping[str, str], stated: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of names of one variable: the one that counts in `values`, and one that `stated` sets to another value."""
    for name in dict.fromkeys(FIRST_NAMES.values()):
        used, value = found(values, name)
        for other in names_of(name):
            if other != used and stated.get(other, "").strip() not in {"", value}:
                yield used, other
