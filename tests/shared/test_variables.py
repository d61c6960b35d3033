"""The table of variables: wrong values, their messages, and second names."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from local import environment
from shared.variables import (
    FIRST_NAMES,
    PROVIDER_NAMES,
    REQUIRED,
    VARIABLES,
    conflicts,
    found,
    laid_over,
    missing_variables,
    with_first_names,
    wrong_value,
    wrong_variables,
)

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
KEY = "k3yOfAProvider-0123456789"
KEY_32 = base64.b64encode(bytes(range(32))).decode()


def legacy(role: str) -> str:
    """A legacy key: a JWT with this role."""
    claims = base64.urlsafe_b64encode(json.dumps({"role": role}).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJIUzI1NiJ9.{claims}.c2ln"


_URLS = (
    "api.openai.com",
    "https://",
    "https://a:b@c.example",
    "https://a b.example",
    "https://a.example/x?y",
    "ftp://a.example",
)
_KEYS = (
    '"sk-1"',
    "sk-1 # mine",
    "# comment",
    "sk-…",
    "<your key>",
    "your-api-key",
    "sk-\u00fc",
    "a\nb",
    "xxxxxxxx",
    "two words",
)
BAD = {
    "LEDGER_DATABASE_URL": (
        "db.example",
        "https://parley_ledger:x@db.example/postgres",
        "postgresql://db.example:5432/postgres",
        "postgresql://parley_ledger@db.example:5432/postgres",
        "postgresql://parley_ledger:x@db.example:5432",
        "postgresql://parley_ledger:x@db.example:5432x/postgres",
        "postgresql://parley_ledger:x@db.example:5432/postgres#x",
        "postgresql://parley_ledger:<password>@db.example:5432/postgres",
        "postgresql://postgres:x@db.example:5432/postgres",
        "postgresql://postgres.abc:x@aws-0-eu.pooler.supabase.com:6543/postgres",
        "postgresql://parley_ledger.abc:x@aws-0-eu.pooler.supabase.com:5432/postgres",
        "postgresql://parley_ledger:x@db.example:5432/postgres?sslmode=require",
        "postgresql://parley_ledger:x@db.example:5432/postgres?sslmode=disable",
        "postgresql://parley_ledger:x@db.example:5432/postgres?pgbouncer=true",
    ),
    "SUPABASE_URL": (
        *_URLS,
        "http://project.supabase.co",
        "https://p.supabase.co/rest/v1",
        "https://supabase.com/dashboard/project/p",
        "https://<project>.supabase.co",
        "https://your-project.supabase.co",
        "https://p.supabase.co,",
        "postgresql://postgres@db.p.supabase.co/postgres",
    ),
    "SUPABASE_ANON_KEY": (
        *_KEYS,
        "sb_secret_abc",
        legacy("service_role"),
        legacy("authenticated"),
        "sbp_abc",
        "https://a.b",
    ),
    "SUPABASE_SERVICE_KEY": (*_KEYS, "sb_publishable_abc", legacy("anon"), legacy("authenticated"), "sbp_abc"),
    "SUPABASE_JWT_SECRET": ("short", "'" + "s" * 40 + "'"),
    "SUPABASE_ISSUER": ("supabase", "https://a.example/auth/v1,b", ","),
    "LLM_PROVIDER": ("gemni", "runpod", "gemini,claude"),
    **dict.fromkeys(("GEMINI_MODEL", "CLAUDE_MODEL", "OPENAI_MODEL", "HF_MODEL"), ("two words", "# default", "'x'")),
    **dict.fromkeys(("GOOGLE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "MATCHA_API_KEY"), _KEYS),
    **dict.fromkeys(("ANTHROPIC_ADMIN_KEY", "OPENAI_ADMIN_KEY"), _KEYS),
    **dict.fromkeys(
        ("GEMINI_BASE_URL", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "HF_BASE_URL", "MATCHA_BASE_URL"),
        (
            *_URLS,
            "http://api.openai.com/v1",
            "http://34.1.2.3:8000",
            "http://127.0.0.1:99999",
            "http://[::1",
            "http://127.0.0.1:0",
        ),
    ),
    "MATCHA_MODEL": ("claude-3-7-sonnet", "0", "1.5"),
    "MATCHA_MISSION_ID": ("three", "-1", "1.5", "\u00b2"),
    "PRELOAD_PROVIDERS": ("openai", "google;anthropic"),
    "MCP_URL": ("mcp.example.com/mcp", "https://mcp.example.com/mcp?a=1"),
    "CORS_ORIGINS": (
        "*",
        "https://a.example/",
        "https://a.example/path",
        "https://A.example",
        "a.example",
        "https://*.example",
        "https://a.example:*",
        "https://a.example:443",
        "https://a.example:70000",
        "app://localhost:*",
        "https://a.example,b.example",
        "null",
    ),
    "CRON_SECRET": ("x" * 12, "s" * 31, "s" * 20 + " " + "s" * 20),
    "CRON_OIDC_AUDIENCE": ("# the URL", "a b"),
    "CRON_OIDC_EMAILS": ("scheduler", "a@b@c", "a@b.c, d"),
    "CRON_OIDC_KEYS_URL": _URLS,
    "SECRETS_SOURCE": ("/parley/dev/", "ssm:parley", "vault:/x/", "ssm:/<path>/"),
    "AWS_LAMBDA_FUNCTION_NAME": ("a b",),
    "AWS_REGION": ("eu central",),
    **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), _KEYS),
    "AWS_ENDPOINT_URL": ("http://127.0.0.1:9/store", "http://127.0.0.1:9//", "http://127.0.0.1:9/?a=b"),
    "LOG_CONTENT": ("full", "off"),
    "JUDGE_MODEL": ("two words", "# default"),
    "JUDGE_DAILY_USD": ("$1", "one", "-1"),
    "LOG_ENCRYPTION_KEYS": ("k1", "k1:short", f"k 1:{KEY_32}", f"k1:{KEY_32},k1:{KEY_32}", f"k1:{KEY_32},"),
    "HASH_PEPPER": ("# a long secret", "changeme"),
    "SPOOL_URL": ("/var/spool", "s3://", "file://relative", "ftp://a/b", "https://bucket"),
    "LOG_RETENTION_DAYS": ("0", "-1", "1.5", "ninety", "\u00b2"),
    **dict.fromkeys(("DAILY_COST_THRESHOLD", "MONTHLY_COST_THRESHOLD"), ("25EUR", "$25", "-1", "nan", "inf", "1e400")),
    "ALERT_WEBHOOK_URL": ("http://hooks.example/x", "http://10.0.0.1/x", "hook", "https://[x"),
    "DATABASE_PATH": ("duckdb:///x", "~/trading.duckdb", "/"),
    "TURN_SECONDS": ("0", "801", "soon", "1.5"),
    "FIRST_CONTENT_SECONDS": ("0", "801", "soon", "1.5"),
    "ALLOW_PRIVATE_NODES": ("2", "maybe"),
    "CLASSIFY_WITH_MODEL": ("yess",),
    "WEBHOOK_SECRET": ("secret", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all, not at all"),
    "ALERT_ERROR_PERCENT": ("101", "20%"),
    "ALERT_LATENCY_SECONDS": ("801", "1.5"),
    "ALERT_REFRESH_HOURS": ("8761", "a day"),
    "ALERT_ANOMALY_USD": ("-1", "some"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("collector:4318", "https://otlp.example/?key=1"),
    "OTEL_EXPORTER_OTLP_HEADERS": ("x-key", "x-key: secret", "x-key=a b"),
    "OTEL_SERVICE_NAME": ("two words",),
    "METRICS_SECRET": ("short", "two words " * 4),
    "EXPORT_URL": ("https://bucket.example", "s3://", "file://relative"),
}
GOOD = {
    "WEBHOOK_SECRET": (f"whsec_{'QUJD' * 8}",),
    "ALERT_ERROR_PERCENT": ("0", "100"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("http://collector:4318", "https://otlp.example/otlp"),
    "OTEL_EXPORTER_OTLP_HEADERS": ("x-key=a%20b", "x-key=secret==, x-team = blue"),
    "LEDGER_DATABASE_URL": (
        "postgresql://parley_ledger@127.0.0.1:54322/postgres",
        "postgres://parley_ledger:p%40ss@db.example:5432/postgres?sslmode=verify-full&sslrootcert=ca.pem",
        "postgresql://parley_ledger.abc:x@aws-0-eu.pooler.supabase.com:6543/postgres",
        "postgresql://parley_ledger:x@localhost/postgres?sslmode=disable",
    ),
    "SUPABASE_URL": (
        "https://p.supabase.co",
        "https://p.supabase.co/",
        "http://127.0.0.1:54321",
        "http://kong:8000",
        "http://kong.prod.example:8000",
    ),
    "SUPABASE_ANON_KEY": ("sb_publishable_abc", legacy("anon"), "opaque-key-of-a-gateway"),
    "SUPABASE_SERVICE_KEY": ("sb_secret_abc", legacy("service_role")),
    "SUPABASE_JWT_SECRET": ("your-super-secret-jwt-token-with-at-least-32-characters-long",),
    "SUPABASE_ISSUER": ("https://a.example/auth/v1", "https://a.example/auth/v1, http://10.0.0.7:8000/auth/v1"),
    "LLM_PROVIDER": (*PROVIDER_NAMES, "Claude"),
    "OPENAI_MODEL": ("gpt-4o-mini",),
    "MATCHA_MODEL": ("28",),
    "HF_MODEL": ("meta-llama/Llama-3.1-8B-Instruct:cheapest",),
    "OPENAI_API_KEY": (KEY, "sk-proj-A_b-9"),
    "OPENAI_BASE_URL": (
        "https://api.openai.com/v1",
        "http://localhost:4000",
        "http://litellm:4000/v1",
        "http://[::1]:9/v1",
    ),
    "MATCHA_MISSION_ID": ("0", "28"),
    "PRELOAD_PROVIDERS": ("google,anthropic", "google,"),
    "CORS_ORIGINS": (
        "https://a.example,http://localhost:*,http://[::1]:*",
        "https://a.example:8443",
        "capacitor://localhost",
    ),
    "CRON_SECRET": ("s" * 32,),
    "CRON_OIDC_EMAILS": ("a@b.iam.gserviceaccount.com, c@d.example",),
    "SECRETS_SOURCE": ("ssm:/parley/dev/", "ssm:/parley"),
    "AWS_ENDPOINT_URL": ("http://127.0.0.1:9", "https://ssm.eu-central-1.amazonaws.com/"),
    "LOG_CONTENT": ("redacted", "encrypted", "none"),
    "LOG_ENCRYPTION_KEYS": (f"2026-11:{KEY_32}", f"k2:{KEY_32}, k1:{KEY_32}"),
    "SPOOL_URL": ("file:///var/spool", "s3://bucket/spool", "gs://bucket", "memory://x"),
    "LOG_RETENTION_DAYS": ("1", "365"),
    "DAILY_COST_THRESHOLD": ("0", "25", "2.50"),
    "ALERT_WEBHOOK_URL": ("https://hooks.example/x?sig=1", "http://127.0.0.1:9/hook"),
    "DATABASE_PATH": ("data/trading.duckdb", "/nowhere/x.duckdb"),
    "TURN_SECONDS": ("1", "800"),
    "FIRST_CONTENT_SECONDS": ("1", "800"),
    "ALLOW_PRIVATE_NODES": ("1", "Yes", "off", "0"),
}


def test_every_variable_has_a_wrong_value() -> None:
    """Each variable has a form that rejects some value."""
    assert set(BAD) == set(VARIABLES)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_wrong_value_is_one_line_that_names_the_variable_and_says_what_to_write(name: str, value: str) -> None:
    """The text fits a terminal, a log line and a response."""
    (wrong,) = wrong_variables({name: value})
    line = str(wrong)
    assert line.startswith(f"{name} ")
    assert ";" in line
    assert "\n" not in line


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("value", ["hush\nhush", "'hush'", "hush!,https://hush.example/hush?", "your-hush hush"])
def test_a_value_is_never_repeated(name: str, value: str) -> None:
    """The text does not contain the value, which may be a secret."""
    assert "hush" not in str(wrong_value(name, value))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_right_values_are_accepted(name: str, value: str) -> None:
    """Typical valid values are accepted."""
    assert wrong_value(name, value) is None


def test_a_message_names_the_variable_the_reason_and_the_fix() -> None:
    """The example is a secret that is too short."""
    (wrong,) = wrong_variables({"CRON_SECRET": "s" * 12})
    assert str(wrong) == (
        "CRON_SECRET is too short; write at least 32 characters, for example the output of: openssl rand -hex 32"
    )


def test_a_key_in_the_wrong_variable_is_recognised() -> None:
    """For every kind of key the message names the right variable."""
    for public, private in (("sb_publishable_a", "sb_secret_b"), (legacy("anon"), legacy("service_role"))):
        wrong = list(wrong_variables({"SUPABASE_ANON_KEY": private, "SUPABASE_SERVICE_KEY": public}))
        assert ["SUPABASE_SERVICE_KEY" in wrong[0].reason, "SUPABASE_ANON_KEY" in wrong[1].reason] == [True, True]


@pytest.mark.parametrize(("second", "first"), FIRST_NAMES.items())
def test_a_second_name_counts_when_the_first_is_unset(second: str, first: str) -> None:
    """The first name precedes, an empty value does not count, and errors have the name that is set."""
    assert found({second: " there "}, first) == (second, "there")
    assert found({second: "there", first: " "}, first) == (second, "there")
    assert found({second: "there", first: "first"}, first) == (first, "first")
    assert with_first_names({second: "there", "OTHER": "x"}) == {first: "there", "OTHER": "x"}
    assert [wrong.name for wrong in wrong_variables({second: "'# <your>'"})] == [second]


def test_upper_values_override_lower_ones_under_any_name() -> None:
    """The environment's SUPABASE_SECRET_KEY overrides a fetched SUPABASE_SERVICE_KEY."""
    both = laid_over(
        {"SUPABASE_SERVICE_KEY": "old", "HF_TOKEN": "kept"}, {"SUPABASE_SECRET_KEY": "new", "HF_TOKEN": " "}
    )
    assert found(both, "SUPABASE_SERVICE_KEY") == ("SUPABASE_SECRET_KEY", "new")
    assert both["HF_TOKEN"] == "kept"


def test_two_names_with_different_values_are_a_conflict() -> None:
    """The name that counts comes first; equal values are no conflict."""
    values = {"GOOGLE_API_KEY": "a", "GEMINI_API_KEY": "b", "HF_MODEL": "c", "LEXYBRAIN_MODEL_ID": "c"}
    assert list(conflicts(values, values)) == [("GOOGLE_API_KEY", "GEMINI_API_KEY")]


def test_variables_that_another_one_needs_are_missing() -> None:
    """A provider, a scheduler or a store without its other variables is reported with what to write."""
    names = [wrong.name for wrong in missing_variables({"MATCHA_API_KEY": KEY, "CRON_OIDC_EMAILS": "a@b.c"}, ())]
    assert names == ["MATCHA_BASE_URL", "MATCHA_MISSION_ID", "CRON_OIDC_AUDIENCE"]
    assert [wrong.name for wrong in missing_variables({}, REQUIRED)] == list(REQUIRED)
    assert list(missing_variables({"SUPABASE_SECRET_KEY": "k"}, ("SUPABASE_SERVICE_KEY",))) == []


def test_variables_that_may_still_be_fetched_are_not_missing() -> None:
    """Only the variables to reach the store are missing."""
    values = {"SECRETS_SOURCE": "ssm:/x/", "MATCHA_API_KEY": KEY, "AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "a"}
    before = [wrong.name for wrong in missing_variables(values, REQUIRED, is_fetched=False)]
    assert before == ["AWS_SECRET_ACCESS_KEY"]
    after = [wrong.name for wrong in missing_variables(values, REQUIRED)]
    assert after == [*REQUIRED, "MATCHA_BASE_URL", "MATCHA_MISSION_ID", "AWS_SECRET_ACCESS_KEY"]


def test_the_example_file_has_real_defaults_only() -> None:
    """A copy of .env.example changes no setting, and its comments are on lines of their own."""
    values = {name: value for name, value in environment.read_file(EXAMPLE).items() if value}
    assert values == {"LOG_CONTENT": "redacted", "TURN_SECONDS": "290", "FIRST_CONTENT_SECONDS": "120"}
    assert list(wrong_variables(values)) == []
    lines = EXAMPLE.read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"|#.*|[A-Z][A-Z0-9_]*=[a-z0-9]*", line)] == []
