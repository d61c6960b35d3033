"""Agents and tools over real HTTP, through the official SDKs, into real rows."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import httpx
import pytest

from tests.fakes.providers import Script, Upstream
from tests.fakes.providers.server import Act
from tests.fakes.providers.wire import Asked, Refusal
from tests.providers import STREAMING, named
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, frames, log_row, receipt_of, text_of
from tests.stack.turns import Database, reserved_usd

_ABLE = '{"context_window": 8192, "max_output_tokens": 1000, "supports_tools": true, "supports_json": true}'


def _able(db: Database, identifier: str) -> str:
    """The model, able to use tools, for itself and at its node."""
    db.execute("update public.llm_models set capabilities = %s where identifier = %s", [_ABLE, identifier])
    db.execute(
        "update public.client_nodes set may_use_tools = true "
        "where id = (select node_id from public.llm_models where identifier = %s)",
        [identifier],
    )
    return identifier


def _playing(db: Database, upstream: Upstream, model: Models, provider: str, *acts: Act) -> str:
    """A model of that provider which says these acts, call by call."""
    name = named("echo", provider)
    upstream.plays[name] = acts
    return _able(db, model(name, provider=provider))


def _asked(person: Person, url: str, message: str, identifier: str, **fields: Any) -> httpx.Response:
    response = person.ask({"message": message, "model": identifier, **fields}, url)
    assert response.status_code == 200, response.text
    return response


def _hand_over(to: str) -> Script:
    return Script(("Let me fetch somebody.",), calls=(("hand_off", {"agent": to, "reason": "It is about code."}),))


@pytest.mark.parametrize("provider", STREAMING)
def test_a_hand_off_in_the_middle_of_a_turn_is_one_answer_of_two_agents(
    alice: Person, chat_url: str, model: Models, upstream: Upstream, db: Database, provider: str
) -> None:
    """At every provider: two steps in the stream, both named in receipt, row and conversation, one message."""
    identifier = _playing(db, upstream, model, provider, _hand_over("technical"), Script(("Use ", "a lock.")))
    response = _asked(alice, chat_url, "How do I protect this?", identifier, agent="general")
    received = frames(response.text)
    kinds = [frame["type"] for frame in received]
    assert (kinds.count("start-step"), kinds.count("finish-step")) == (2, 2)
    assert kinds.index("tool-input-available") < kinds.index("tool-output-available") < kinds.index("finish-step")
    receipt = receipt_of(received)
    assert receipt["agents"] == ["general", "technical"]
    row = log_row(db, receipt["turn_id"])
    assert (row["agent_type"], row["escalation_suggested"], row["status"]) == ("technical", True, "completed")
    assert row["escalation_metadata"]["hand_offs"][0]["reason"] == "It is about code."
    assert [used["name"] for used in row["tools_used"]] == ["hand_off"]
    (conversation,) = alice.rows(f"llm_conversations?id=eq.{receipt['conversation_id']}")
    assert (conversation["agent_handoffs"], conversation["primary_agent"]) == (1, "technical")
    message = alice.rows(f"messages?turn_id=eq.{receipt['turn_id']}&role=eq.assistant")[0]
    assert message["content"] == "Let me fetch somebody.\n\nUse a lock."
    assert [part["type"] for part in message["parts"]] == [
        "step-start",
        "text",
        "tool-hand_off",
        "step-start",
        "text",
    ]


def test_a_turn_of_two_calls_costs_both(
    alice: Person, chat_url: str, model: Models, upstream: Upstream, db: Database
) -> None:
    """Cost and tokens of the row are the sums of its attempts, and no reservation is left."""
    identifier = _playing(db, upstream, model, "openai", _hand_over("technical"), Script(("Done",)))
    receipt = receipt_of(frames(_asked(alice, chat_url, "Hi", identifier).text))
    row = log_row(db, receipt["turn_id"])
    assert [attempt["usage"]["input_tokens"] for attempt in row["attempts"]] == [60, 60]
    assert (row["input_tokens"], row["context_size_tokens"]) == (120, 60)
    assert float(row["cost_usd"]) == pytest.approx(2 * 0.000074)
    assert reserved_usd(db, alice) == 0


def test_a_technical_question_goes_to_the_technical_agent(
    alice: Person, chat_url: str, model: Models, db: Database
) -> None:
    """The request names no agent; the row has the domain and its confidence."""
    question = "Why does my Python script crash with a TypeError in main.py?"
    answer = _asked(alice, chat_url, question, model("echo~auto"), stream=False, agent="auto").json()
    assert answer["agent"] == "technical"
    row = log_row(db, answer["id"])
    assert (row["agent_type"], row["domain_classification"], row["escalation_suggested"]) == (
        "technical",
        "technical",
        False,
    )
    assert 0.6 <= float(row["domain_confidence"]) <= 1


def test_a_budget_that_ends_in_the_middle_ends_the_turn_well(
    alice: Person, chat_url: str, model: Models, upstream: Upstream, db: Database
) -> None:
    """The turn is completed with the text so far, and its cost stays below the cap."""
    identifier = _playing(db, upstream, model, "openai", _hand_over("technical"), Script(("Never said",)))
    dry = alice.ask({"message": "Hi", "model": identifier, "dry_run": True}, chat_url).json()
    cap = dry["estimate"]["cost_usd"]["most"]
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, %s)", [alice.id, cap])
    received = frames(_asked(alice, chat_url, "Hi", identifier).text)
    assert text_of(received) == "Let me fetch somebody."
    row = log_row(db, receipt_of(received)["turn_id"])
    assert (row["status"], row["finish_reason"], len(row["attempts"])) == ("completed", "budget", 1)


def test_wrong_tool_calls_are_returned_to_the_model_in_every_dialect(
    alice: Person, chat_url: str, model: Models, upstream: Upstream, db: Database
) -> None:
    """After an unknown tool or invalid arguments the model gets the reason and answers."""
    slips = Script(("Hm.",), calls=(("rm_rf", {"path": "/"}), ("hand_off", {"agent": "nobody"})))
    for provider in STREAMING:
        identifier = _playing(db, upstream, model, provider, slips, Script(("Sorry",)))
        receipt = receipt_of(frames(_asked(alice, chat_url, "Hi", identifier).text))
        row = log_row(db, receipt["turn_id"])
        assert row["status"] == "completed", (provider, row["error_code"])
        assert [(used["name"], used.get("error")) for used in row["tools_used"]] == [
            ("unknown", "unknown_tool"),
            ("hand_off", "invalid_arguments"),
        ]
        asked = upstream.calls_of(identifier.rpartition(":")[2])[-1].asked
        assert asked is not None
        assert ["error" in json.loads(result) for result in asked.tool_results] in ([True, True], [])


def _answer_from_tools(asked: Asked) -> Script:
    """The number from the query, in a model's sentence."""
    content = json.loads(asked.tool_results[-1])
    return Script(("There are ", str(content["rows"][0][0]), " bars."))


@pytest.mark.parametrize("provider", STREAMING)
def test_a_question_about_data_runs_describe_then_query_then_answer(
    alice: Person, stack: Stack, chat_url: str, model: Models, upstream: Upstream, db: Database, provider: str
) -> None:
    """Every provider gives the right number from the demo market; the row has the tools."""
    sql = "select count(*) as n from bars_1m"
    identifier = _playing(
        db,
        upstream,
        model,
        provider,
        Script(("Let me look.",), calls=(("describe_data", {}),)),
        Script((), calls=(("analyze_data", {"sql": sql}),)),
        _answer_from_tools,
    )
    received = frames(_asked(alice, chat_url, "How many bars are there per day on average?", identifier).text)
    with duckdb.connect(stack["DATABASE_PATH"], read_only=True) as data:
        (count,) = data.execute(sql).fetchone() or (0,)
    assert text_of(received).endswith(f"There are {count} bars.")
    row = log_row(db, receipt_of(received)["turn_id"])
    assert (row["agent_type"], row["status"], row["error_code"]) == ("research", "completed", None)
    assert [(used["name"], used["ok"]) for used in row["tools_used"]] == [
        ("describe_data", True),
        ("analyze_data", True),
    ]
    assert row["tools_used"][1]["rows"] == 1


def test_a_turn_with_a_hand_off_is_replayed_with_its_receipt(
    alice: Person, chat_url: str, model: Models, upstream: Upstream, db: Database
) -> None:
    """The second receipt has the agents and tools of the first; no model is called and nothing is charged."""
    identifier = _playing(db, upstream, model, "openai", _hand_over("technical"), Script(("Done",)))
    body, key = (
        {"message": "Hi", "model": identifier, "stream": False, "agent": "general"},
        {"Idempotency-Key": "again"},
    )
    first = alice.ask(body, chat_url, **key).json()
    second = alice.ask(body, chat_url, **key).json()
    assert second["receipt"]["agents"] == first["receipt"]["agents"] == ["general", "technical"]
    assert second["tools_used"] == first["tools_used"]
    assert len(upstream.calls_of(identifier.rpartition(":")[2])) == 2


def test_a_fallback_without_tools_gets_them_in_words(
    alice: Person, chat_url: str, model: Models, upstream: Upstream, db: Database
) -> None:
    """After a fallback during a turn, earlier calls and results are text in the prompt."""
    able, name = named("echo", "openai"), named("echo", "anthropic")
    upstream.plays[able] = (_hand_over("technical"), lambda _: Refusal(529))
    first = _able(db, model(able, provider="openai"))
    second = model(name, provider="anthropic")
    for place, key in enumerate((first, second)):
        db.execute(
            "insert into public.llm_routes (alias, model_key, fallback_order) values (%s, %s, %s)",
            [f"plain-{able[-3:].strip('~')}", key, place],
        )
    received = frames(_asked(alice, chat_url, "Hi", f"plain-{able[-3:].strip('~')}").text)
    row = log_row(db, receipt_of(received)["turn_id"])
    assert (row["status"], row["model_identifier"]) == ("completed", second)
    body = upstream.calls_of(name)[-1].body
    assert "tools" not in body
    assert "A tool answered" in json.dumps(body["messages"])


def test_nothing_private_in_a_reason_reaches_a_log_row(
    alice: Person, chat_url: str, model: Models, upstream: Upstream, db: Database
) -> None:
    """Personal data in a model's reason for a hand-off is redacted."""
    reason = {"agent": "technical", "reason": "ada@example.com wants code"}
    identifier = _playing(
        db, upstream, model, "openai", Script(("A moment.",), calls=(("hand_off", reason),)), Script(("Done",))
    )
    receipt = receipt_of(frames(_asked(alice, chat_url, "Hi", identifier).text))
    row = log_row(db, receipt["turn_id"])
    assert "ada@example.com" not in json.dumps(row, default=str)
    assert "[email]" in json.dumps(row["escalation_metadata"])
