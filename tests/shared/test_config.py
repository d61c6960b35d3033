"""Settings: their values, and what is never printed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.config import Settings, settings
from shared.errors import NotConfigured
from shared.variables import FIRST_NAMES


@pytest.mark.parametrize(
    "environ", [{}, {"SUPABASE_URL": ""}, {"SUPABASE_URL": "  \n"}], ids=["unset", "empty", "blank"]
)
def test_a_missing_variable_is_named(environ: dict[str, str]) -> None:
    """The error names the variable; clients get a 500."""
    with pytest.raises(NotConfigured, match="SUPABASE_URL") as caught:
        Settings(environ).require("SUPABASE_URL")
    assert caught.value.status == 500


def test_values_are_trimmed() -> None:
    """A line end of a pasted key is not part of the value."""
    assert Settings({"OPENAI_API_KEY": " sk-1\n"}).require("OPENAI_API_KEY") == "sk-1"


def test_a_default_replaces_an_unset_or_blank_value() -> None:
    """An empty variable counts as unset."""
    assert Settings({"A": "", "B": " "}).get("A", "x") == Settings({"B": " "}).get("B", "x") == "x"
    assert Settings({}).get("A") == ""


@pytest.mark.parametrize(
    ("text", "is_on"),
    [
        ("1", True),
        ("true", True),
        ("YES", True),
        (" on ", True),
        ("0", False),
        ("off", False),
        ("", False),
        ("2", False),
    ],
)
def test_switches(text: str, is_on: bool) -> None:
    """Only 1, true, yes and on are on."""
    assert Settings({"ALLOW_PRIVATE_NODES": text}).is_on("ALLOW_PRIVATE_NODES") is is_on


def test_the_representation_has_no_values() -> None:
    """No secret gets into a log by `repr`."""
    secretive = Settings({"OPENAI_API_KEY": "sk-secret"})
    assert "secret" not in f"{secretive!r} {secretive} {[secretive]}"


def test_origins_are_an_exact_list() -> None:
    """Commas separate; spaces and empty entries are ignored."""
    assert Settings({"CORS_ORIGINS": " https://a.example, ,https://b.example,"}).cors_origins == {
        "https://a.example",
        "https://b.example",
    }
    assert Settings({}).cors_origins == frozenset()


def test_the_projects_address_has_no_slash_at_its_end() -> None:
    """Paths are appended to it."""
    assert Settings({"SUPABASE_URL": "https://p.supabase.co/"}).supabase_url == "https://p.supabase.co"


def test_log_rows_are_redacted_by_default() -> None:
    """An unset LOG_CONTENT means redacted; a wrong value stores no text."""
    assert Settings({}).log_content == "redacted"
    assert Settings({"LOG_CONTENT": "Redacted"}).log_content == "redacted"
    assert Settings({"LOG_CONTENT": "none"}).log_content == "none"
    assert Settings({"LOG_CONTENT": "of"}).log_content == "none"


@pytest.mark.parametrize(("second", "first"), FIRST_NAMES.items())
def test_second_names_work_everywhere(second: str, first: str) -> None:
    """get, require and raw read them; the first name wins."""
    values = {"SUPABASE_URL": "https://p.supabase.co", "LLM_PROVIDER": "claude", "DAILY_COST_THRESHOLD": "2"}
    value = values.get(first, "some-key")
    assert Settings({second: value}).get(first) == Settings({second: value}).require(first) == value
    assert Settings({second: f" {value}"}).raw(first) == f" {value}"
    assert Settings({second: "x", first: value}).get(first) == value


def test_a_wrong_value_raises_where_it_is_used() -> None:
    """The error has the name that is set, and never the value."""
    with pytest.raises(NotConfigured, match="SUPABASE_SECRET_KEY holds") as caught:
        Settings({"SUPABASE_SECRET_KEY": "sb_publishable_hush"}).require("SUPABASE_SERVICE_KEY")
    assert "hush" not in caught.value.message
    assert Settings({"OPENAI_BASE_URL": ""}).checked("OPENAI_BASE_URL", "https://a.example") == "https://a.example"


def test_the_project_is_the_issuer_unless_supabase_issuer_is_set() -> None:
    """SUPABASE_ISSUER replaces the project's issuer."""
    url = {"SUPABASE_URL": "https://p.supabase.co/"}
    assert Settings(url).issuers == ("https://p.supabase.co/auth/v1",)
    assert Settings({**url, "SUPABASE_ISSUER": "https://a/auth/v1, https://b"}).issuers == (
        "https://a/auth/v1",
        "https://b",
    )


def test_the_environment_is_read_once(environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Later changes are not seen, so that every part of a request has the same settings."""
    environ(CORS_ORIGINS="https://a.example")
    before = settings()
    monkeypatch.setenv("CORS_ORIGINS", "https://b.example")
    assert settings() is before
    assert settings().cors_origins == {"https://a.example"}


@pytest.mark.parametrize(("text", "seconds"), [("", 290), ("1", 1), (" 60 ", 60), ("800", 800)])
def test_turn_seconds_has_a_default(text: str, seconds: int) -> None:
    """The default fits a platform's five minutes."""
    assert Settings({"TURN_SECONDS": text}).turn_seconds == seconds


@pytest.mark.parametrize("text", ["soon", "0", "-1", "801", "1.5", "nan", "inf", "\u00b2"])
def test_a_wrong_turn_seconds_raises(text: str) -> None:
    """The error names the variable."""
    with pytest.raises(NotConfigured, match="TURN_SECONDS"):
        assert Settings({"TURN_SECONDS": text}).turn_seconds


def test_names_are_separated_by_commas() -> None:
    """Blanks and empty entries are ignored."""
    assert Settings({"PRELOAD_PROVIDERS": " google,,anthropic "}).names("PRELOAD_PROVIDERS") == ("google", "anthropic")
