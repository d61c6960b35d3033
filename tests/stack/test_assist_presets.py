"""Presets of assist: their paths, bundles, streams, errors, ratings and reports."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from functions.assist.presets import OFFERS
from tests.fakes.providers import Upstream
from tests.fakes.providers.wire import Asked, Refusal, Script
from tests.stack.assists import BRIEF, INSIGHT, market, name_of, plays, post, says
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, frames, log_row, new_admin
from tests.stack.turns import Database

_TASK: dict[str, dict[str, Any]] = {
    "Split": {"subtasks": ["Collect figures", "Write text"]},
    "estimate": {"estimated_minutes": {"low": 30, "likely": 60, "high": 120}},
    "sort": {"priority": {"level": "high", "reason": "It is due tomorrow."}},
    "file": {"labels": ["report"]},
}


def _acts(*failing: str) -> Any:
    """A model that answers each part of /tasks/suggest by its prompt; the failing ones are refused."""

    def act(asked: Asked) -> Script | Refusal:
        word = next(word for word, fields in _TASK.items() if next(iter(fields)) in str(asked.schema))
        return Refusal(400) if word in failing else says(_TASK[word])

    return act


def test_a_bundle_asks_for_its_parts_at_once(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """/tasks/suggest takes as long as its slowest call: all four are open before the first answers."""
    model = plays(upstream, able("fixed"), _acts())
    upstream.plays[name_of(model)] = (lambda asked: Script(_acts()(asked).pieces, is_held=True),)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, assist_url, alice, "/ai/tasks/suggest", {"title": "Report", "model": model})
        assert upstream.until_called(name_of(model), 4)
        upstream.release()
        answer = asked.result().json()
    receipts = answer.pop("receipts")
    assert answer == {name: value for fields in _TASK.values() for name, value in fields.items()}
    assert {log_row(db, each["turn_id"])["endpoint"] for each in receipts.values()} == {
        "assist.subtasks",
        "assist.estimate-time",
        "assist.suggest-priority",
        "assist.suggest-labels",
    }
    again = post(assist_url, alice, "/tasks/suggest", {"title": "Report", "model": model})
    assert again.headers["X-Cache"] == "HIT"
    one = post(assist_url, alice, "/tasks/suggest-labels", {"title": "Report", "model": model})
    assert one.headers["X-Cache"] == "HIT"


def test_a_part_that_fails_is_null_with_its_error(
    alice: Person, assist_url: str, able: Models, upstream: Upstream
) -> None:
    """The rest is answered with 200; when all parts fail it is the error."""
    model = plays(upstream, able("fixed"), _acts("sort", "file"))
    response = post(assist_url, alice, "/tasks/suggest", {"title": "Report", "model": model})
    answer = response.json()
    assert response.status_code == 200
    assert answer["subtasks"] == _TASK["Split"]["subtasks"]
    assert (answer["priority"], answer["labels"]) == (None, None)
    assert {name: each["code"] for name, each in answer["errors"].items()} == {
        "priority": "provider_refused",
        "labels": "provider_refused",
    }
    assert set(answer["receipts"]) == {"subtasks", "estimate-time"}
    all_failing = plays(upstream, able("fixed"), lambda _: Refusal(400))
    failed = post(assist_url, alice, "/tasks/suggest", {"title": "Report", "model": all_failing})
    assert (failed.status_code, failed.json()["error"]["code"]) == (502, "provider_refused")


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json, text/event-stream"])
def test_partial_objects_arrive_in_pieces(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, accept: str
) -> None:
    """Each partial object has more than the one before it; the validated whole and the receipt follow."""
    model = plays(upstream, able("fixed"), says(INSIGHT))
    response = post(assist_url, alice, BRIEF, market() | {"model": model}, Accept=accept)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    events = frames(response.text)
    partial = [event["object"] for event in events if event["type"] == "partial"]
    assert partial
    assert [len(json.dumps(each)) for each in partial] == sorted(len(json.dumps(each)) for each in partial)
    assert [event["type"] for event in events[-2:]] == ["object", "receipt"]
    assert events[-2]["object"] == INSIGHT
    assert events[-1]["receipt"]["cache"] == "miss"
    hit = post(assist_url, alice, BRIEF, {"model": model, **_input_of(upstream, model)}, Accept=accept)
    assert hit.headers["X-Cache"] == "HIT"
    assert frames(hit.text)[-2]["object"] == INSIGHT


def _input_of(upstream: Upstream, model: str) -> dict[str, Any]:
    """The input that the model got."""
    asked = upstream.calls_of(name_of(model))[0].asked
    assert asked is not None
    found: dict[str, Any] = json.loads(asked.text)
    return found


def test_a_repaired_stream_begins_the_object_again(
    alice: Person, assist_url: str, able: Models, upstream: Upstream
) -> None:
    """A partial object of a try that did not fit is replaced; an answer that stays invalid ends with an error."""
    model = plays(upstream, able("fixed"), says({"headline": "Wrong", "findings": 3}), says(INSIGHT))
    events = frames(post(assist_url, alice, BRIEF, market() | {"model": model}, Accept="text/event-stream").text)
    assert {"type": "partial", "object": {"headline": "Wrong", "findings": 3}} in events
    assert events[-2]["object"] == INSIGHT
    bad = plays(upstream, able("fixed"), says({"headline": "Wrong", "findings": 3}))
    failed = post(assist_url, alice, BRIEF, market() | {"model": bad}, Accept="text/event-stream")
    assert failed.status_code == 200
    assert frames(failed.text)[-1]["error"]["code"] == "output_invalid"
    refused = plays(upstream, able("fixed"), lambda _: Refusal(503))
    failed = post(assist_url, alice, BRIEF, market() | {"model": refused}, Accept="text/event-stream")
    assert (failed.status_code, failed.json()["error"]["code"]) == (503, "provider_overloaded")


def test_the_text_of_an_answer_is_its_json_alone(
    alice: Person, assist_url: str, able: Models, upstream: Upstream
) -> None:
    """With `Accept: text/plain` the body is the JSON text; text around it is left out, and a wrong one has no end."""
    fenced = plays(upstream, able("fixed"), says(f"Here:\n```json\n{json.dumps(INSIGHT)}\n```\nDone."))
    text = post(assist_url, alice, BRIEF, market() | {"model": fenced}, Accept="text/plain")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text.json() == INSIGHT
    wrong = plays(upstream, able("fixed"), says({"headline": "Wrong", "findings": 3}), says(INSIGHT))
    with pytest.raises(httpx.RemoteProtocolError):
        post(assist_url, alice, BRIEF, market() | {"model": wrong}, Accept="text/plain")
    parts = plays(upstream, able("fixed"), _acts("file"))
    answer = post(assist_url, alice, "/tasks/suggest", {"title": "A", "model": parts}, Accept="text/plain").json()
    assert answer["subtasks"] == _TASK["Split"]["subtasks"]
    assert (answer["labels"], answer["errors"]["labels"]["code"]) == (None, "provider_refused")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tasks/suggest", {}, "title"),
        ("/tasks/suggest", {"title": ""}, "title"),
        ("/events/analyze", {"title": "x", "attendees": "all"}, "attendees"),
        ("/notes/summarize", {"content": 7}, "content"),
        (BRIEF, {"market": "x", "keywords": ["ok", 3]}, "keywords.1"),
        (BRIEF, {"market": "x", "locale": "not a language"}, "locale"),
        (BRIEF, {"market": "x", "max_tokens": 0}, "max_tokens"),
    ],
)
def test_input_that_does_not_fit_names_its_field(
    alice: Person, assist_url: str, path: str, body: dict[str, Any], param: str
) -> None:
    """It is 422, and `param` is the field."""
    response = post(assist_url, alice, path, body)
    assert (response.status_code, response.json()["error"]["param"]) == (422, param)


def test_unknown_presets_fields_and_callers(alice: Person, assist_url: str, able: Models, upstream: Upstream) -> None:
    """An unknown preset is 404 with the list of all; an unknown field has no effect and is named; 401 for strangers."""
    for path in ("/nothing", "/ai/insights/nothing", "/tasks/nothing"):
        missing = post(assist_url, alice, path, {})
        assert missing.status_code == 404
        assert missing.json()["error"]["metadata"]["presets"] == list(OFFERS)
    model = plays(upstream, able("fixed"), says(INSIGHT))
    body = market() | {"model": model}
    named = post(assist_url, alice, "/market-brief", body | {"tone": "dry"})
    assert (named.status_code, named.headers["X-Ignored-Params"]) == (200, "tone")
    assert post(assist_url, alice, BRIEF, body).headers["X-Cache"] == "HIT"
    assert httpx.post(f"{assist_url}{BRIEF}", json=body).status_code == 401


def test_content_over_the_window_is_too_long(alice: Person, assist_url: str, able: Models, upstream: Upstream) -> None:
    """It is context_length_exceeded and names the field; no model is called."""
    model = plays(upstream, able("fixed"), says({"summary": "x"}))
    response = post(assist_url, alice, "/notes/summarize", {"content": "word " * 150_000, "model": model})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", "content")
    assert upstream.calls_of(name_of(model)) == []


def test_a_dry_run_calls_nothing(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """It returns the route, the estimate and the limits; for a bundle those of each part."""
    model = plays(upstream, able("fixed"), says(INSIGHT))
    plan = post(assist_url, alice, BRIEF, market() | {"model": model, "dry_run": True}).json()
    assert plan["route"]["identifier"] == model
    assert plan["estimate"]["cost_usd"]["most"] > plan["estimate"]["cost_usd"]["least"] > 0
    parts = post(assist_url, alice, "/notes/summarize", {"content": "x", "model": model, "dry_run": True}).json()
    assert set(parts["parts"]) == {"note-summary", "note-tasks", "note-form"}
    assert upstream.calls_of(name_of(model)) == []
    assert not db.execute("select from private.turns where user_id = %s", [alice.id]).fetchall()


def test_the_prompt_has_the_language_and_the_input_as_data(
    alice: Person, assist_url: str, able: Models, upstream: Upstream
) -> None:
    """The locale chooses the language of the answer; the input is the user's message, in canonical form."""
    model = plays(upstream, able("fixed"), says(INSIGHT))
    post(assist_url, alice, BRIEF, {"market": " tea ", "keywords": [], "locale": "de-AT", "model": model})
    received = upstream.calls_of(name_of(model))[0]
    assert received.asked is not None
    assert received.asked.text == '{"market":"tea"}'
    assert "Write in the language de-AT." in str(received.body)


def test_the_list_has_every_preset(alice: Person, assist_url: str, able: Models, upstream: Upstream) -> None:
    """Schemas, time, scope, and the mean price of the last hundred answers."""
    model = plays(upstream, able("fixed"), says(INSIGHT))
    cost = post(assist_url, alice, "/insights/ad-insight", market() | {"model": model}).json()["receipt"]["cost_usd"]
    listed = httpx.get(f"{assist_url}/presets", headers=alice.headers).json()["presets"]
    found = {each["name"]: each for each in listed}
    assert list(found) == list(OFFERS)
    ad = found["ad-insight"]
    assert (ad["ttl_seconds"], ad["scope"], ad["paths"]) == (21600, "public", ["/insights/ad-insight"])
    assert set(ad["output"]["required"]) == {"headline", "findings", "actions"}
    assert ad["costs"]["answers"] >= 1
    assert ad["costs"]["mean_usd"] == pytest.approx(cost, rel=0.9)
    assert set(found["suggest"]["output"]["properties"]) == {
        "subtasks",
        "estimated_minutes",
        "priority",
        "labels",
    }


def test_ratings_compare_two_versions_of_a_prompt(
    alice: Person, bob: Person, assist_url: str, able: Models, upstream: Upstream, db: Database, stack: Stack
) -> None:
    """An answer and a hit are rated like turns; preset_results has both versions with their intervals."""
    model = plays(upstream, able("fixed"), says({"summary": "A meeting", "preparation": []}))
    rated = []
    for _ in range(2):
        answer = post(assist_url, alice, "/events/analyze", {"title": "Rated", "model": model})
        rated.append(answer.json()["receipt"]["turn_id"])
        assert alice.rest("POST", "feedback", json={"turn_id": rated[-1], "rating": 5}).status_code == 201
    assert bob.rest("POST", "feedback", json={"turn_id": rated[1], "rating": 1}).status_code == 403
    db.execute("update public.chat_logs set preset_version = '2' where turn_id = %s", [rated[1]])
    rows = alice.rest("POST", "rpc/preset_results", json={"preset": "analyze"}).json()
    ours = {row["prompt_version"]: row for row in rows}
    assert (ours["1"]["turns"], ours["1"]["hits"], ours["2"]["turns"], ours["2"]["hits"]) == (1, 0, 0, 1)
    assert (ours["1"]["mean_rating"], ours["2"]["ratings"]) == (5, 1)
    assert ours["1"]["error_rate_interval"]
    everyone = new_admin(stack).rest("POST", "rpc/preset_results", json={"preset": "analyze"}).json()
    assert {row["prompt_version"] for row in everyone} >= {"1", "2"}
    assert bob.rest("POST", "rpc/preset_results", json={"preset": "analyze"}).json() == []


def test_rated_answers_are_training_data_with_consent_alone(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, stack: Stack
) -> None:
    """The export has the input, the answer and its rating once the user consents; a hit has no text and is left out."""
    model = plays(upstream, able("fixed"), says({"summary": "A rated lesson", "preparation": []}))
    for _ in range(2):
        answer = post(assist_url, alice, "/events/analyze", {"title": "Lesson to rate", "model": model})
        body = {"turn_id": answer.json()["receipt"]["turn_id"], "sentiment": "positive"}
        assert alice.rest("POST", "feedback", json=body).status_code == 201
    admin = new_admin(stack)

    def exported() -> list[dict[str, Any]]:
        rows = admin.rest("POST", "rpc/export_training_data", json={}).json()
        return [row for row in rows if "Lesson to rate" in row["messages"][0]["content"]]

    assert exported() == []
    headers = {"Prefer": "resolution=merge-duplicates"}
    for allows in (True, False):
        body = {"user_id": alice.id, "allows_training": allows}
        assert alice.rest("POST", "user_llm_profiles", json=body, headers=headers).status_code in {200, 201}
        rows = exported()
        assert [row["rating"] for row in rows] == ([5] if allows else [])
        assert all("A rated lesson" in row["messages"][1]["content"] for row in rows)


@pytest.mark.parametrize("presets", [["x", None], [["x"]], {"x": 1}, None, "x"])
def test_wrong_names_of_presets_are_a_clear_error(alice: Person, presets: Any) -> None:
    """preset_costs takes an array of strings alone: 422 with the parameter's name."""
    answer = alice.rest("POST", "rpc/preset_costs", json={"presets": presets})
    assert answer.status_code == 422
    assert '"code": "validation_failed"' in answer.json()["details"]
