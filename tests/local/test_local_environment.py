"""Which variables count as given, and the format of the file with the generated ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from local import configuration, environment
from local.data_dir import DataDir
from local.errors import StackError
from local.ports import Ports
from local.stack_plan import Options, StackPlan, make_stack_plan
from shared import addresses
from shared.addresses import LOOPBACK_ORIGINS
from shared.variables import FIRST_NAMES, VARIABLES
from tests.stack_process import clean_environ

EXAMPLE = environment.ROOT / ".env.example"
# One wrong value for each variable; tests/shared/test_variables.py has more of them.
WRONG = {
    **dict.fromkeys(VARIABLES, "'# <your value>'"),
    "MODEL_URL": "ollama:11434",
    "DATABASE_URL": "https://p.supabase.co",
    "CHAT_URL": "our-chat",
}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Removes the project's file and the variables of the process."""
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    for name in (*VARIABLES, *FIRST_NAMES, *os.environ.keys() - clean_environ().keys()):
        monkeypatch.delenv(name, raising=False)


def _planned(tmp_path: Path) -> StackPlan:
    folder = DataDir(tmp_path / "data")
    folder.prepare()
    return make_stack_plan(Options(folder, Ports()))


def _env(tmp_path: Path, *lines: str) -> None:
    (tmp_path / ".env").write_text("".join(f"{line}\n" for line in lines))


def test_a_written_value_is_read_unchanged(tmp_path: Path) -> None:
    """Quotes, spaces, dollars and hashes survive the file."""
    values = {"A": "it's", "B": 'two "words" # here', "C": "$HOME `id`", "D": "a=b"}
    environment.write_file(tmp_path / "env", values, generated=[])
    read = environment.read_file(tmp_path / "env")
    assert {name: read[name] for name in values} == values


def test_generated_values_of_an_earlier_stack_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that sourced a stack's file gives no variables by that; a changed value counts."""
    generated_variables = {"SUPABASE_URL": "http://127.0.0.1:54321", "MODEL_URL": "http://127.0.0.1:54323/v1"}
    environment.write_file(tmp_path / "env", generated_variables, generated=generated_variables)
    for name, value in environment.read_file(tmp_path / "env").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MODEL_URL", "http://127.0.0.1:11434/v1")
    given = environment.given()
    assert "SUPABASE_URL" not in given
    assert given["MODEL_URL"] == "http://127.0.0.1:11434/v1"


def test_the_environment_overrides_the_projects_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env` in the project's root gives defaults in the usual formats; an empty value does not count."""
    (tmp_path / ".env").write_text(
        "# keys\nexport HF_TOKEN='from file'\nHF_MODEL=small # comment\nEMPTY=\nX_TOKEN=file\n"
    )
    monkeypatch.setenv("X_TOKEN", "environment")
    monkeypatch.setenv("HF_TOKEN", "")
    given = environment.given()
    assert (given["HF_TOKEN"], given["HF_MODEL"], given["X_TOKEN"]) == ("from file", "small", "environment")
    assert "EMPTY" not in given


def test_a_copied_example_changes_nothing(tmp_path: Path) -> None:
    """With one key filled in, functions get only that key beside the defaults."""
    before = _planned(tmp_path)
    shutil.copy(EXAMPLE, tmp_path / ".env")
    copied = _planned(tmp_path)
    assert copied.parts == before.parts
    defaults = {"LOG_CONTENT": "redacted", "TURN_SECONDS": "290", "FIRST_CONTENT_SECONDS": "120"}
    assert copied.function_environ("chat") == before.function_environ("chat") | defaults
    text = EXAMPLE.read_text().replace("\nOPENAI_API_KEY=\n", "\nOPENAI_API_KEY=sk-mine\n")
    (tmp_path / ".env").write_text(text)
    filled = _planned(tmp_path)
    assert filled.has_provider_key
    assert filled.function_environ("chat") == copied.function_environ("chat") | {"OPENAI_API_KEY": "sk-mine"}
    assert configuration.warnings() == []


def test_a_shell_that_sources_the_example_gets_the_same(tmp_path: Path) -> None:
    """Its empty values do not hide values of the file."""
    script = f"set -a; . {EXAMPLE}; exec env -0"
    done = subprocess.run(
        ["sh", "-eu", "-c", script], env={"PATH": os.defpath}, capture_output=True, text=True, check=True
    )
    sourced = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    assert {name: sourced[name] for name in VARIABLES} == environment.read_file(EXAMPLE)
    with pytest.MonkeyPatch.context() as patch:
        for name in VARIABLES:
            patch.setenv(name, sourced[name])
        _env(tmp_path, "OPENAI_API_KEY=sk-mine")
        assert environment.given()["OPENAI_API_KEY"] == "sk-mine"


@pytest.mark.parametrize(
    "value", ["it's", "a\\b", "a\\\\b", "end\\", 'say "it\'s"', "$HOME `id`", "a # b", "${X}", "'\\"]
)
def test_the_stacks_file_reads_the_same_in_sh_and_here(tmp_path: Path, value: str) -> None:
    """Both sh and dotenv readers agree for any given value."""
    environment.write_file(tmp_path / "env", {"A": value}, generated=[])
    script = f'. {tmp_path / "env"}; printf %s "$A"'
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == environment.read_file(tmp_path / "env")["A"] == value


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("HF_TOKEN=hf_a", "hf_a"),
        ("  export HF_TOKEN = hf_a ", "hf_a"),
        ('HF_TOKEN="hf_a" # mine', "hf_a"),
        ("HF_TOKEN=hf_a # mine", "hf_a"),
        ("HF_TOKEN=hf_a#b", "hf_a#b"),
        ("HF_TOKEN='hf_${HOME}'", "hf_${HOME}"),
        ("HF_TOKEN=   # mine", None),
        ("HF_TOKEN=", None),
        ("#HF_TOKEN=hf_a", None),
        ("\ufeffHF_TOKEN=hf_a\r", "hf_a"),
    ],
)
def test_the_projects_file_is_read_like_other_dotenv_readers(tmp_path: Path, line: str, value: str | None) -> None:
    """Comments, quotes, export and line ends work as in any dotenv file; values are not substituted."""
    (tmp_path / ".env").write_text(f"{line}\n", newline="")
    assert environment.given().get("HF_TOKEN") == value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A=1\n\nHF_TOKEN='hf_a\nB=2\n", 3),
        ("HF_TOKEN\n", 1),
        ("A=1\n# x\nsk-hush\n", 3),
        ("A=1\nmy token=hf\n", 2),
        ("\n\n\nA='1'2\n", 4),
    ],
)
def test_an_invalid_line_is_named_by_number(tmp_path: Path, text: str, line: int) -> None:
    """The error has the line number, not the text, which may be a secret."""
    (tmp_path / ".env").write_text(text)
    with pytest.raises(StackError, match=rf"\.env, line {line}: this is not NAME=value") as caught:
        environment.given()
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    """Editors and shells of other systems can write such files."""
    (tmp_path / ".env").write_bytes("HF_TOKEN=hf_a\n".encode("utf-16"))
    with pytest.raises(StackError, match="is not UTF-8 text"):
        environment.given()


@pytest.mark.parametrize(("name", "value"), WRONG.items())
def test_an_invalid_value_stops_the_plan_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """This holds for every variable, from the file or from the environment."""
    monkeypatch.setenv(name, value)
    with pytest.raises(StackError, match=f"^{name} ") as caught:
        _planned(tmp_path)
    assert "\n" not in str(caught.value)
    assert value not in str(caught.value)


def test_every_invalid_variable_has_its_line(tmp_path: Path) -> None:
    """The user sees all errors at once."""
    _env(tmp_path, "CRON_SECRET=short", "MATCHA_API_KEY=key-of-matcha", "GEMINI_API_KEY=two words")
    with pytest.raises(StackError) as caught:
        _planned(tmp_path)
    named = [line.split(" ")[0] for line in str(caught.value).splitlines()]
    assert sorted(named) == ["CRON_SECRET", "GEMINI_API_KEY", "MATCHA_BASE_URL", "MATCHA_MISSION_ID"]


def test_a_project_can_be_given_by_second_names(tmp_path: Path) -> None:
    """Functions get the values under the first names, which override the generated ones."""
    _env(
        tmp_path,
        "NEXT_PUBLIC_SUPABASE_URL=https://p.supabase.co",
        "SUPABASE_PUBLISHABLE_KEY=sb_publishable_a",
        "SUPABASE_SERVICE_ROLE_KEY=sb_secret_b",
        "GEMINI_API_KEY=AIza-c",
    )
    made = _planned(tmp_path)
    assert (made.is_embedded, made.has_provider_key) == (False, True)
    environ = made.function_environ("chat")
    assert (environ["SUPABASE_URL"], environ["SUPABASE_SERVICE_KEY"]) == ("https://p.supabase.co", "sb_secret_b")
    assert (environ["SUPABASE_ANON_KEY"], environ["GOOGLE_API_KEY"]) == ("sb_publishable_a", "AIza-c")
    assert not environ.keys() & FIRST_NAMES.keys()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["NEXT_PUBLIC_SUPABASE_URL=https://p.supabase.co"],
            "NEXT_PUBLIC_SUPABASE_URL is set, so SUPABASE_ANON_KEY and",
        ),
        (["SUPABASE_SECRET_KEY=sb_secret_b"], "SUPABASE_SECRET_KEY without SUPABASE_URL"),
        (["SUPABASE_ISSUER=https://a.example/auth/v1"], "SUPABASE_ISSUER without SUPABASE_URL"),
    ],
)
def test_an_incomplete_project_is_named_as_given(tmp_path: Path, lines: list[str], words: str) -> None:
    """The error uses the names in the file."""
    _env(tmp_path, *lines)
    with pytest.raises(StackError, match=words):
        _planned(tmp_path)


def test_secrets_of_a_store_are_not_missing(tmp_path: Path) -> None:
    """Functions fetch them later; the variables for fetching them are required."""
    _env(tmp_path, "SECRETS_SOURCE=ssm:/x/", "SUPABASE_URL=https://p.supabase.co", "MATCHA_API_KEY=key-of-matcha")
    with pytest.raises(StackError) as caught:
        _planned(tmp_path)
    named = [line.split(" ")[0] for line in str(caught.value).splitlines()]
    assert named == ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    with (tmp_path / ".env").open("a") as file:
        file.write("AWS_REGION=r\nAWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n")
    assert not _planned(tmp_path).is_embedded


def test_similar_names_and_conflicting_names_give_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only names in `.env` are checked for mistakes, as the environment belongs to many programs."""
    _env(tmp_path, "OPENAI_APIKEY=sk-a", "UNRELATED=1", "GOOGLE_API_KEY=a", "HF_TOKEN=hf_a")
    monkeypatch.setenv("GEMINI_API_KEY", "b")
    monkeypatch.setenv("OPENAI_API_KEYS", "c")
    slip, conflict = configuration.warnings()
    assert slip == ".env sets OPENAI_APIKEY, which Parley does not read; do you mean OPENAI_API_KEY?"
    assert conflict.startswith("GEMINI_API_KEY and GOOGLE_API_KEY name one variable and have different values")
    assert conflict.endswith("GEMINI_API_KEY is used, remove GOOGLE_API_KEY")
    assert environment.given()["GOOGLE_API_KEY"] == "b"


def test_dev_servers_may_call_unless_origins_are_given(tmp_path: Path) -> None:
    """By default every port of this machine may call; given origins are the complete list."""
    assert _planned(tmp_path).function_environ("chat")["CORS_ORIGINS"].split(",") == list(LOOPBACK_ORIGINS)
    _env(tmp_path, "CORS_ORIGINS=https://a.example")
    assert _planned(tmp_path).function_environ("chat")["CORS_ORIGINS"] == "https://a.example"


def test_chat_connects_itself_and_has_no_service_key(tmp_path: Path) -> None:
    """Its own role has a password of this data directory; the other functions keep the key."""
    plan = _planned(tmp_path)
    assert "SUPABASE_SERVICE_KEY" not in plan.function_environ("chat")
    assert plan.function_environ("llms")["SUPABASE_SERVICE_KEY"].startswith("sb_secret_")
    url = plan.function_environ("chat")["LEDGER_DATABASE_URL"]
    assert addresses.ledger_url(url) is None
    assert _planned(tmp_path).function_environ("chat")["LEDGER_DATABASE_URL"] == url
