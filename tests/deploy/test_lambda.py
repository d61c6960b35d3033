"""The deployed code, run as Lambda and its adapter run it: with a bare Python, frozen after each last byte."""

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
    """An instance of chat; the scripted upstream serves every provider."""
    return deployed.start("chat", DATABASE_PATH=stack["DATABASE_PATH"], **variables(upstream))


@pytest.fixture(scope="module")
def llms(deployed: Deployment, upstream: Upstream) -> Instance:
    """An instance of llms with the same providers."""
    return deployed.start("llms", **variables(upstream))


@pytest.fixture(scope="module")
def refresh(deployed: Deployment) -> Instance:
    """An instance of refresh."""
    return deployed.start("refresh")


@pytest.fixture
def pausing() -> Iterator[Pausing]:
    """A model that pauses in the middle of its answer until the test releases it."""
    with serving_pausing("one ", "two") as running:
        yield running


def _chat_event(token: str, path: str = "/", **body: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Origin": "https://app.example"}
    return url_event("POST", path, headers, json.dumps(body).encode())


def test_chat_streams_and_books_the_turn_before_the_last_byte(
    chat: Instance, alice: Person, model: Models, pausing: Pausing, db: Database
) -> None:
    """The first word arrives before the model sends the second; the row exists when the receipt arrives."""
    body = {"message": "count", "model": model("pausing", base_url=pausing.url)}
    with chat.streaming(_chat_event(alice.token, **body)) as (answer, pieces):
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
    events = frames(answer.text)
    assert text_of(events) == "one two"
    assert receipt_of(events)["logged"] is True
    assert log_row(db, receipt_of(events)["turn_id"])["response"] == "one two"


def test_a_turn_without_a_database_is_spooled_before_the_last_byte(
    deployed: Deployment, bucket: str, stack: Stack, alice: Person, model: Models, pausing: Pausing
) -> None:
    """The function writes to the deployed bucket with its own role."""
    assert bucket
    secret = json.loads((Path(stack["DATA"]) / "keys.json").read_text())["jwt_secret"]
    with line_to(stack["SUPABASE_URL"]) as line:
        claims = {"sub": alice.id, "aud": "authenticated", "role": "authenticated", "iss": f"{line.url}/auth/v1"}
        now = int(time.time())
        token = jwt.encode(claims | {"iat": now, "exp": now + 60}, secret, "HS256")
        chat = deployed.start("chat", SUPABASE_URL=line.url, SUPABASE_JWT_SECRET=secret, ALLOW_PRIVATE_NODES="1")
        body = {"message": "count", "model": model("pausing", base_url=pausing.url)}
        with chat.streaming(_chat_event(token, **body)) as (answer, pieces):
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
    """The lazily loaded SDKs too: each makes one request to its provider with a valid key."""
    answer = llms.invoke(_chat_event(admin.token, "/debug/test", identifier=provider))
    assert (answer.status, answer.json().get("error")) == (200, None)
    assert answer.json()["ok"]


@pytest.mark.parametrize("provider", ["google", "anthropic"])
def test_chat_streams_through_the_sdks(chat: Instance, alice: Person, model: Models, provider: str) -> None:
    """The SDKs work without their sources."""
    body: dict[str, Any] = {"message": "one two three", "model": model("echo", provider=provider), "stream": False}
    answer = chat.invoke(_chat_event(alice.token, **body))
    assert answer.status == 200, answer.text
    assert "one two three" in answer.text


def test_the_sql_tools_child_starts_from_the_unit(
    chat: Instance, alice: Person, model: Models, upstream: Upstream, db: Database
) -> None:
    """DuckDB runs in a child process that finds its modules in the unit."""
    identifier = model("sql")
    db.execute(
        "update public.llm_models set capabilities = capabilities || '{\"supports_tools\": true}' where model_key = %s",
        [identifier],
    )
    db.execute("update public.client_nodes set may_use_tools = true")
    sql = "select count(*) as n from bars_1m"
    upstream.plays["sql"] = (Script((), calls=(("analyze_data", {"sql": sql}),)), Script(("done",)))
    body: dict[str, Any] = {"message": "how many bars?", "model": identifier, "agent": "research", "stream": False}
    answer = chat.invoke(_chat_event(alice.token, **body))
    assert answer.status == 200, answer.text
    (used,) = answer.json()["receipt"]["tools_used"]
    assert (used["name"], used["ok"], used.get("error")) == ("analyze_data", True, None)


def test_the_models_are_listed(llms: Instance, alice: Person) -> None:
    """A signed-in user gets the list; llms rejects a request without a token."""
    listed = llms.invoke(url_event("GET", "/", alice.headers))
    assert (listed.status, listed.json()["count"] > 0) == (200, True)
    assert llms.invoke(url_event("GET", "/", {})).status == 401


def test_the_schedules_event_runs_refresh(deployed: Deployment, refresh: Instance, db: Database) -> None:
    """The event has the input from the account; the run is stored when it ends."""
    events = deployed.account.client("events")
    (rule,) = [each for each in events.list_rules()["Rules"] if each["Name"].startswith(deployed.name)]
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    answer = refresh.invoke(json.loads(target["Input"]))
    assert answer.status in {200, 207}, answer.text
    row = db.execute("select * from public.refresh_runs where id = %s", [answer.json()["run_id"]]).fetchone()
    assert row is not None
    assert (row["trigger"], row["finished_at"] is not None) == ("aws-event", True)
    (line,) = [each for each in deployed.logged("refresh", "refresh") if each["run_id"] == str(row["id"])]
    assert (line["status"], line["is_dry_run"]) == (
        row["status"],
        False,
    )  # the fields that the filters of the alarms count


@pytest.mark.parametrize("path", ["/", "/_events"])
@pytest.mark.parametrize("name", ["", "x-amzn-request-context", "X-Amzn-Request-Context"])
def test_an_http_client_cannot_send_the_schedules_event(refresh: Instance, path: str, name: str) -> None:
    """The adapter replaces the header of the client, and the path alone is not enough."""
    headers = {name: "null"} if name else {}
    answer = refresh.invoke(url_event("POST", path, headers, json.dumps(_SCHEDULE).encode()))
    assert answer.status == (401 if path == "/" else 404)


def test_other_functions_reject_an_event(chat: Instance, llms: Instance) -> None:
    """An event gets the same answer as a request without a token."""
    assert {function.invoke(_SCHEDULE).status for function in (chat, llms)} == {404}


def test_a_refresh_that_fails_is_an_invocation_that_failed(deployed: Deployment) -> None:
    """Lambda then retries the event and keeps it; also when the function cannot fetch its secrets."""
    for changes in ({"SUPABASE_URL": "http://127.0.0.1:9"}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}):
        with pytest.raises(InvocationFailedError, match="599"):
            deployed.start("refresh", **changes).invoke(_SCHEDULE)


def test_an_http_client_gets_the_functions_own_error(deployed: Deployment, stack: Stack) -> None:
    """The adapter passes status, JSON, CORS headers and request id of every 5xx."""
    refresh = deployed.start("refresh", SUPABASE_URL="http://127.0.0.1:9")
    sent = {"Authorization": f"Bearer {stack['CRON_SECRET']}", "Origin": "https://app.example", "X-Request-Id": "mine"}
    for method, path in (("POST", "/"), ("GET", "/health/ready")):
        answer = refresh.invoke(url_event(method, path, sent))
        assert (answer.status, answer.json()["error"]["code"]) == (503, "database_unavailable")
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert answer.headers["x-request-id"] == "mine"


def test_a_function_that_cannot_be_imported_fails_at_its_start(deployed: Deployment) -> None:
    """The instance does not start; it does not answer every request with an error."""
    with pytest.raises(InvocationFailedError, match="did not start"):
        deployed.start("llms", FUNCTION_TARGET="nothing")


def test_no_instance_wrote_into_its_unit(deployed: Deployment, chat: Instance) -> None:
    """The unit is read-only on Lambda, but not in these tests."""
    there = {path.relative_to(chat.root).as_posix() for path in chat.root.rglob("*") if path.is_file()}
    assert there == deployed.names("chat")
