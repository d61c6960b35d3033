"""What was deployed, run as Lambda and its adapter run it: with a bare Python, and frozen after every last byte."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pytest

from tests.deploy.adapter import Instance, InvocationFailedError, url_event
from tests.deploy.deployment import Deployment
from tests.fakes.providers import Script, Upstream
from tests.fakes.slow_model import Pausing, serving_pausing
from tests.fakes.tcp_proxy import line_to
from tests.providers import variables
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, frames, log_row, receipt_of, text_of

Database = psycopg.Connection[dict[str, Any]]
_SCHEDULE = {"source": "schedule", "job": "refresh"}


@pytest.fixture(scope="module")
def chat(deployed: Deployment, upstream: Upstream, stack: Stack) -> Instance:
    """chat, to which every provider is the scripted upstream."""
    return deployed.start("chat", DATABASE_PATH=stack["DATABASE_PATH"], **variables(upstream))


@pytest.fixture(scope="module")
def llms(deployed: Deployment, upstream: Upstream) -> Instance:
    """llms, with the same providers."""
    return deployed.start("llms", **variables(upstream))


@pytest.fixture(scope="module")
def refresh(deployed: Deployment) -> Instance:
    """refresh, as it is deployed."""
    return deployed.start("refresh")


@pytest.fixture
def pausing() -> Iterator[Pausing]:
    """A model that stops in the middle of its answer until it is let go on."""
    with serving_pausing("one ", "two") as running:
        yield running


def _asked(token: str, path: str = "/", **body: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Origin": "https://app.example"}
    return url_event("POST", path, headers, json.dumps(body).encode())


def test_words_come_while_the_model_speaks_and_the_turn_is_booked_before_the_last_byte(
    chat: Instance, alice: Person, model: Models, pausing: Pausing, db: Database
) -> None:
    """The first word arrives while the model still holds the second; frozen at the receipt, the row is there."""
    body = {"message": "count", "model": model("pausing", base_url=pausing.url)}
    with chat.streaming(_asked(alice.token, **body)) as (answer, pieces):
        while "one " not in answer.text:
            answer.pieces.append(next(pieces))
        assert "two" not in answer.text
        pausing.may_go_on.set()
        while "data-receipt" not in answer.text:
            answer.pieces.append(next(pieces))
        chat.freeze()
        (row,) = alice.rows("chat_logs")
        assert (row["status"], row["input_tokens"], row["output_tokens"]) == ("completed", 10, 5)
        chat.thaw()
        answer.pieces.extend(pieces)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://app.example")
    said = frames(answer.text)
    assert text_of(said) == "one two"
    assert receipt_of(said)["logged"] is True
    assert log_row(db, receipt_of(said)["turn_id"])["response"] == "one two"


def test_a_turn_whose_database_went_away_lies_in_the_bucket_before_the_last_byte(
    deployed: Deployment, bucket: str, stack: Stack, alice: Person, model: Models, pausing: Pausing
) -> None:
    """The stack's own bucket, written with what the function was deployed with, and with its role."""
    assert bucket
    secret = json.loads((Path(stack["DATA"]) / "keys.json").read_text())["jwt_secret"]
    with line_to(stack["SUPABASE_URL"]) as line:
        claims = {"sub": alice.id, "aud": "authenticated", "role": "authenticated", "iss": f"{line.url}/auth/v1"}
        now = int(time.time())
        token = jwt.encode(claims | {"iat": now, "exp": now + 60}, secret, "HS256")
        chat = deployed.start("chat", SUPABASE_URL=line.url, SUPABASE_JWT_SECRET=secret, ALLOW_PRIVATE_NODES="1")
        body = {"message": "count", "model": model("pausing", base_url=pausing.url)}
        with chat.streaming(_asked(token, **body)) as (answer, pieces):
            answer.pieces.append(next(pieces))
            line.cut()
            pausing.may_go_on.set()
            with deployed.account.guarded():
                while "data-receipt" not in answer.text:
                    answer.pieces.append(next(pieces))
            chat.freeze()
            (key,) = deployed.spooled()
            chat.thaw()
            answer.pieces.extend(pieces)
    receipt = receipt_of(frames(answer.text))
    assert receipt["logged"] == "spooled"
    assert key.startswith(f"spool/{receipt['turn_id']}.")


@pytest.mark.parametrize("provider", ["google", "anthropic", "openai", "matcha"])
def test_every_providers_client_is_in_the_unit(llms: Instance, admin: Person, provider: str) -> None:
    """Also the SDKs that are loaded when they are needed: each asks the provider once, with a key that it takes."""
    answer = llms.invoke(_asked(admin.token, "/debug/test", identifier=provider))
    assert (answer.status, answer.json().get("error")) == (200, None)
    assert answer.json()["ok"]


@pytest.mark.parametrize("provider", ["google", "anthropic"])
def test_chat_speaks_through_the_sdks(chat: Instance, alice: Person, model: Models, provider: str) -> None:
    """They came as bytecode alone, and that is enough for them."""
    body: dict[str, Any] = {"message": "one two three", "model": model("echo", provider=provider), "stream": False}
    answer = chat.invoke(_asked(alice.token, **body))
    assert answer.status == 200, answer.text
    assert "one two three" in answer.text


def test_the_sql_tools_child_starts_from_the_unit(
    chat: Instance, alice: Person, model: Models, upstream: Upstream, db: Database
) -> None:
    """DuckDB answers in a process of its own that finds its modules where the function does."""
    identifier = model("sql")
    db.execute(
        "update public.llm_models set capabilities = capabilities || '{\"supports_tools\": true}' where model_key = %s",
        [identifier],
    )
    db.execute("update public.client_nodes set may_use_tools = true")
    sql = "select count(*) as n from bars_1m"
    upstream.plays["sql"] = (Script((), calls=(("analyze_data", {"sql": sql}),)), Script(("done",)))
    body: dict[str, Any] = {"message": "how many bars?", "model": identifier, "agent": "research", "stream": False}
    answer = chat.invoke(_asked(alice.token, **body))
    assert answer.status == 200, answer.text
    (used,) = answer.json()["receipt"]["tools_used"]
    assert (used["name"], used["ok"], used.get("error")) == ("analyze_data", True, None)


def test_the_models_are_listed(llms: Instance, alice: Person) -> None:
    """Llms answers somebody who is signed in, and nobody else."""
    listed = llms.invoke(url_event("GET", "/", alice.headers))
    assert (listed.status, listed.json()["count"] > 0) == (200, True)
    assert llms.invoke(url_event("GET", "/", {})).status == 401


def test_the_schedules_event_runs_refresh(deployed: Deployment, refresh: Instance, db: Database) -> None:
    """With the very input that the account holds; its run is a row when it ends."""
    events = deployed.account.client("events")
    (rule,) = [each for each in events.list_rules()["Rules"] if each["Name"].startswith(deployed.name)]
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    answer = refresh.invoke(json.loads(target["Input"]))
    assert answer.status in {200, 207}, answer.text
    row = db.execute("select * from public.refresh_runs where id = %s", [answer.json()["run_id"]]).fetchone()
    assert row is not None
    assert (row["trigger"], row["finished_at"] is not None) == ("aws-event", True)
    (line,) = [each for each in deployed.logged("refresh", "refresh") if each["run_id"] == str(row["id"])]
    assert (line["status"], line["is_dry_run"]) == (row["status"], False)  # what the alarms' filters count


@pytest.mark.parametrize("path", ["/", "/_events"])
@pytest.mark.parametrize("name", ["", "x-amzn-request-context", "X-Amzn-Request-Context"])
def test_nobody_from_outside_passes_for_the_schedule(refresh: Instance, path: str, name: str) -> None:
    """What the adapter puts in the header's place cannot be sent; the path alone opens nothing."""
    headers = {name: "null"} if name else {}
    answer = refresh.invoke(url_event("POST", path, headers, json.dumps(_SCHEDULE).encode()))
    assert answer.status == (401 if path == "/" else 404)


def test_an_event_is_nothing_to_the_other_functions(chat: Instance, llms: Instance) -> None:
    """Whoever could send them one would get as far as anybody without a token."""
    assert {function.invoke(_SCHEDULE).status for function in (chat, llms)} == {404}


def test_a_refresh_that_fails_is_an_invocation_that_failed(deployed: Deployment) -> None:
    """So Lambda tries it again and then keeps it; also when it was the secrets that could not be had."""
    for changes in ({"SUPABASE_URL": "http://127.0.0.1:9"}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}):
        with pytest.raises(InvocationFailedError, match="599"):
            deployed.start("refresh", **changes).invoke(_SCHEDULE)


def test_a_urls_caller_hears_of_a_failure_from_the_function(deployed: Deployment, stack: Stack) -> None:
    """Status, JSON, CORS and request id, of every kind of failure: the adapter leaves a request's 5xx alone."""
    refresh = deployed.start("refresh", SUPABASE_URL="http://127.0.0.1:9")
    sent = {"Authorization": f"Bearer {stack['CRON_SECRET']}", "Origin": "https://app.example", "X-Request-Id": "mine"}
    for method, path in (("POST", "/"), ("GET", "/health/ready")):
        answer = refresh.invoke(url_event(method, path, sent))
        assert (answer.status, answer.json()["error"]["code"]) == (503, "database_unavailable")
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert answer.headers["x-request-id"] == "mine"


def test_a_function_that_cannot_be_imported_fails_at_its_start(deployed: Deployment) -> None:
    """Instead of answering every request with an error."""
    with pytest.raises(InvocationFailedError, match="did not start"):
        deployed.start("llms", FUNCTION_TARGET="nothing")


def test_no_instance_wrote_into_its_unit(deployed: Deployment, chat: Instance) -> None:
    """Lambda's is read-only, and here nobody would have noticed."""
    there = {path.relative_to(chat.root).as_posix() for path in chat.root.rglob("*") if path.is_file()}
    assert there == deployed.names("chat")
