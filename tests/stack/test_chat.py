"""chat over real HTTP against the running stack."""

from __future__ import annotations

import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.providers import Upstream
from tests.stack.conftest import Models
from tests.stack.people import Person, frames, log_row, receipt_of, text_of
from tests.stack.turns import Database


def test_a_person_hears_the_real_model_and_sees_the_turn_in_their_own_log(alice: Person, bob: Person) -> None:
    """The stream of the real model ends with a logged receipt; only its user sees the row."""
    response = alice.ask({"message": "Say hello.", "max_tokens": 20})
    events = frames(response.text)
    receipt = receipt_of(events)
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert text_of(events)
    assert receipt["logged"] is True
    row_query = (
        f"chat_logs?turn_id=eq.{receipt['turn_id']}&select=status,input_tokens,output_tokens,cost_usd,duration_ms"
    )
    assert alice.rows(row_query) == [
        {
            "status": "completed",
            "input_tokens": receipt["usage"]["input_tokens"],
            "output_tokens": receipt["usage"]["output_tokens"],
            "cost_usd": 0,
            "duration_ms": receipt["duration_ms"],
        }
    ]
    assert bob.rows(row_query) == []


def test_the_stream_is_the_ai_sdks_in_order(alice: Person, model: Models) -> None:
    """Frames come as start, step, text parts, end of step, receipt, finish."""
    events = frames(alice.ask({"message": "one two", "model": model("echo")}).text)
    kinds = [event["type"] for event in events]
    # The words that one read of the model brings are one delta.
    assert [kind for place, kind in enumerate(kinds) if place == 0 or kind != kinds[place - 1]] == [
        "start",
        "start-step",
        "text-start",
        "text-delta",
        "text-end",
        "finish-step",
        "data-receipt",
        "finish",
    ]


def test_a_whole_answer_is_one_json_object_with_exact_cost(alice: Person, model: Models, db: Database) -> None:
    """Without streaming the answer has message, route, usage, and exactly the cost of the row."""
    answer = alice.whole("one two three", model=model("echo"))
    row = log_row(db, answer["id"])
    # 40 fresh and 20 cached input tokens and 3 output tokens at 1, 0.5 and 2 dollars a million
    assert row["cost_usd"] == Decimal("0.000056000")
    assert answer["cost_usd"] == pytest.approx(0.000056)
    assert answer["message"]["content"] == "one two three "
    assert answer["usage"]["cached_tokens"] == 20
    assert answer["finish_reason"] == "stop"
    assert row["attempts"][0]["ok"] is True


def test_an_unpriced_model_costs_null_not_zero(alice: Person, model: Models, db: Database) -> None:
    """A turn of a model without a known price has no cost, and nothing is reserved for it."""
    answer = alice.whole("hello", model=model("echo", pricing=None))
    assert answer["cost_usd"] is None
    assert log_row(db, answer["id"])["cost_usd"] is None


def test_a_conversation_goes_on_with_its_history(alice: Person, model: Models, upstream: Upstream) -> None:
    """The prompt of the second turn has the first turn's messages, oldest first."""
    name = model("echo")
    first = alice.whole("my name is Ada", model=name)
    alice.whole("what is my name", model=name, conversation_id=first["conversation_id"])
    sent = [(m["role"], m["content"]) for m in upstream.calls_of("echo")[-1].body["messages"][1:]]
    assert sent == [("user", "my name is Ada"), ("assistant", "my name is Ada "), ("user", "what is my name")]


def test_use_chats_own_body_is_understood_and_its_id_finds_the_conversation_again(
    alice: Person, model: Models, upstream: Upstream
) -> None:
    """The AI SDK's body works as it is: the last user message counts, and `id` names one conversation."""
    chat_id, name = uuid.uuid4().hex[:16], model("echo")

    def turn(text: str) -> dict[str, Any]:
        message = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": text}]}
        events = frames(
            alice.ask({"id": chat_id, "messages": [message], "trigger": "submit-message", "model": name}).text
        )
        return receipt_of(events)

    assert turn("first")["conversation_id"] == turn("second")["conversation_id"]
    assert [m["content"] for m in upstream.calls_of("echo")[-1].body["messages"]][1:] == ["first", "first ", "second"]


def test_messages_are_stored_word_for_word_and_logs_redacted(alice: Person, model: Models) -> None:
    """The message has the card number and the address; the log row has neither."""
    content = "mail ada@example.com card 4111 1111 1111 1111 price 4,111.50 ticker ES"
    answer = alice.whole(content, model=model("echo"))
    messages = alice.rows(f"messages?conversation_id=eq.{answer['conversation_id']}&order=created_at")
    (row,) = alice.rows(f"chat_logs?turn_id=eq.{answer['id']}")
    assert messages[0]["content"] == content
    assert messages[1]["content"].split() == content.split()
    for logged in (row["question"], row["response"]):
        assert "ada@" not in logged
        assert "4111 1111" not in logged
        assert "4,111.50 ticker ES" in logged


def test_text_that_looks_like_frames_arrives_intact(alice: Person, model: Models) -> None:
    """Text that looks like frames or line ends arrives as text."""
    content = 'a\u2028b data:{"type":"finish"} 🧑‍🚀 event:error'
    assert text_of(frames(alice.ask({"message": content, "model": model("echo")}).text)).split() == content.split()


def test_a_dry_run_tells_the_route_and_stores_nothing(alice: Person, model: Models) -> None:
    """A dry run answers with route, estimate and limits, and leaves no trace."""
    name = model("echo")
    answer = alice.ask({"message": "hello", "model": name, "dry_run": True}).json()
    assert answer["route"]["identifier"] == name
    assert answer["estimate"]["cost_usd"]["most"] > answer["estimate"]["cost_usd"]["least"] > 0
    assert answer["limits"]["requests_remaining"] == 500
    assert alice.rows("llm_conversations") == alice.rows("messages") == alice.rows("usage_counters") == []


def test_an_unknown_model_falls_back_and_says_so_or_is_404_when_strict(alice: Person) -> None:
    """An unknown model gives the default with its reason; with `strict_model` it is 404."""
    answer = alice.ask({"message": "hello", "model": "no-such-model", "dry_run": True}).json()
    assert answer["route"]["reason"] == "model_not_found"
    refused = alice.ask({"message": "hello", "model": "no-such-model", "strict_model": True})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


def test_a_strangers_conversation_is_404_like_one_that_never_was(alice: Person, bob: Person, model: Models) -> None:
    """A conversation of another user gets the same response as one that does not exist."""
    theirs = alice.whole("hello", model=model("echo"))["conversation_id"]
    answers = [bob.ask({"message": "hi", "conversation_id": each}) for each in (theirs, str(uuid.uuid4()))]
    assert [a.status_code for a in answers] == [404, 404]
    assert answers[0].json()["error"]["message"] == answers[1].json()["error"]["message"]


def test_the_same_key_and_body_is_answered_once(alice: Person, model: Models, upstream: Upstream) -> None:
    """A retry with the same idempotency key gets the stored answer without a model call; another body is refused."""
    body = {"message": "once only", "model": model("echo"), "stream": False}
    first = alice.ask(body, **{"Idempotency-Key": "k1"})
    calls = len(upstream.calls_of("echo"))
    again = alice.ask(body, **{"Idempotency-Key": "k1"})
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["message"] == first.json()["message"]
    assert len(upstream.calls_of("echo")) == calls
    other = alice.ask(body | {"message": "else"}, **{"Idempotency-Key": "k1"})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")


def test_a_key_needs_a_stored_answer(alice: Person) -> None:
    """An idempotency key with store: false is 422 before anything runs, because no answer could be replayed."""
    refused = alice.ask({"message": "x", "store": False}, **{"Idempotency-Key": "k"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "store")


def test_models_may_be_named_in_any_script(alice: Person, model: Models) -> None:
    """A model name that does not fit into a header does not fail the turn."""
    response = alice.ask({"message": "hello", "model": model("模型")})
    assert response.status_code == 200
    assert response.headers["x-model"].endswith(":%E6%A8%A1%E5%9E%8B")
    assert receipt_of(frames(response.text))["logged"] is True


def test_a_nodes_claims_are_believed_up_to_the_reservation(alice: Person, model: Models, db: Database) -> None:
    """If a node reports a billion tokens, the turn is booked with the reserved maximum."""
    answer = alice.whole("hi", model=model("greedy"), max_tokens=10)
    row = log_row(db, answer["id"])
    assert row["output_tokens"] == 10
    assert row["input_tokens"] < 200


def test_a_message_longer_than_the_model_can_read_is_422(alice: Person, model: Models, upstream: Upstream) -> None:
    """It is refused before anything is reserved or called."""
    name, calls = model("echo"), len(upstream.calls_of("echo"))
    refused = alice.ask({"message": "word " * 40_000, "model": name})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "context_exceeded")
    assert refused.json()["error"]["metadata"]["context_window"] == 8192
    assert len(upstream.calls_of("echo")) == calls
    assert alice.rows("usage_counters") == []


def test_a_turn_that_is_not_to_be_stored_leaves_a_row_without_words(alice: Person, model: Models) -> None:
    """With store: false the turn is booked without conversation, message, question or answer."""
    answer = alice.whole("secret plans", model=model("echo"), store=False)
    assert answer["message"]["content"] == "secret plans "
    assert alice.rows("llm_conversations") == alice.rows("messages") == []
    (row,) = alice.rows("chat_logs")
    assert (row["question"], row["response"]) == (None, None)
    assert row["output_tokens"] == 2


def test_limits_are_sent_and_enforced(alice: Person, model: Models, db: Database) -> None:
    """Every answer has limit headers; beyond the cap it is 429 with the reset time, and no model is called."""
    db.execute("insert into public.usage_limits (scope, daily_requests) values (%s, 1)", [alice.id])
    name = model("echo")
    response = alice.ask({"message": "one", "model": name})
    assert response.headers["x-ratelimit-remaining-requests"] == "0"
    refused = alice.ask({"message": "two", "model": name})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["x-should-retry"] == "false"
    assert refused.json()["error"]["metadata"]["limit"] == 1
    assert len(alice.rows("chat_logs")) == 1


def test_a_turn_the_budget_does_not_cover_is_402(alice: Person, model: Models, db: Database) -> None:
    """The reservation is checked against the money cap before any model call."""
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, 0.000001)", [alice.id])
    refused = alice.ask({"message": "one", "model": model("echo")})
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
    assert alice.rows("messages") == []


def test_the_callers_request_id_stands_in_answer_row_and_errors(alice: Person, model: Models) -> None:
    """X-Request-Id is echoed and stored; two turns may have the same one."""
    for _ in range(2):
        response = alice.ask({"message": "x", "model": model("echo")}, **{"X-Request-Id": "my-id_1"})
        assert response.headers["x-request-id"] == "my-id_1"
    assert [row["request_id"] for row in alice.rows("chat_logs")] == ["my-id_1", "my-id_1"]


def test_a_node_learns_nothing_about_the_caller(alice: Person, model: Models, upstream: Upstream) -> None:
    """A client node gets no token, key or cookie of the user or of Parley."""
    alice.ask({"message": "x", "model": model("echo")}, cookie="a=b")
    assert set(upstream.calls_of("echo")[-1].headers) <= {
        "host",
        "accept",
        "accept-encoding",
        "user-agent",
        "content-length",
        "content-type",
    }


def test_what_is_private_stands_in_no_row_and_no_line(
    alice: Person, model: Models, db: Database, function: Any, tmp_path: Path
) -> None:
    """An address, a card, an account and a key in question and answer reach no log row and no log line."""
    private = ["ada@example.com", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "+49 170 1234567"]
    private.append("sk-proj-abcdefghijklmnopqrstuvwxyz0123456789")
    harmless = ["price 4,111.50", "ticker ES", "2026-11-21"]
    url, _ = function("chat")
    body = {"message": " and ".join(private + harmless), "model": model("echo"), "stream": True}
    answer = alice.ask(body | {"metadata": {"note": private[0]}}, url)
    assert answer.status_code == 200
    alice.ask({"message": private[1], "model": private[4]}, url)
    rows = db.execute("select l::text as row from public.chat_logs as l where user_id = %s", [alice.id]).fetchall()
    rows += db.execute("select r::text as row from private.turns as r where user_id = %s", [alice.id]).fetchall()
    written = "".join(row["row"] for row in rows) + "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert len(rows) == 4
    assert [each for each in private if each in written] == []
    assert [each for each in harmless if each not in written] == []
