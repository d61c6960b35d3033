"""The cache of assist: who gets a stored answer, and for how long."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.fakes.providers import Upstream
from tests.fakes.providers.wire import Refusal
from tests.providers import variables
from tests.stack.assists import BRIEF, INSIGHT, calls_of, market, name_of, plays, post, says
from tests.stack.conftest import Models
from tests.stack.keys import new_key, revoke
from tests.stack.people import Person, log_row, service
from tests.stack.turns import Database


def _age(db: Database, share: float) -> None:
    """Makes every stored answer as old as this share of its time."""
    db.execute(
        "update public.ai_insights set created_at = created_at - (expires_at - created_at) * %(share)s, "
        "expires_at = expires_at - (expires_at - created_at) * %(share)s",
        {"share": share},
    )


@pytest.fixture
def answering(able: Models, upstream: Upstream) -> str:
    """A model that always gives the same insight."""
    return plays(upstream, able("fixed"), says(INSIGHT))


def test_a_hit_costs_nothing_and_says_what_it_saved(
    alice: Person, bob: Person, assist_url: str, answering: str, upstream: Upstream, db: Database
) -> None:
    """Another user gets the public answer: no call, no quota, no cost; its row has the first one's cost as saving."""
    body = market() | {"model": answering}
    first = post(assist_url, alice, BRIEF, body)
    used = db.execute("select * from public.usage_counters where scope = %s", [bob.id]).fetchall()
    second = post(assist_url, bob, BRIEF, body)
    assert second.headers["X-Cache"] == "HIT"
    assert int(second.headers["Age"]) >= 0
    assert second.headers["X-Model"] == answering
    mine, theirs = first.json().pop("receipt"), second.json().pop("receipt")
    assert {k: v for k, v in second.json().items() if k != "receipt"} == INSIGHT
    assert calls_of(upstream, answering) == 1
    assert (theirs["cost_usd"], theirs["saved_usd"]) == (0, mine["cost_usd"])
    row = log_row(db, theirs["turn_id"])
    assert (row["endpoint"], row["status"], row["cost_usd"]) == ("assist.market-brief", "completed", 0)
    assert (row["input_tokens"], float(row["saved_usd"])) == (0, mine["cost_usd"])
    assert db.execute("select * from public.usage_counters where scope = %s", [bob.id]).fetchall() == used
    assert bob.rows("usage_daily?select=requests,cost_usd") == [{"requests": 1, "cost_usd": 0}]
    savings = bob.rest("POST", "rpc/insight_savings", json={}).json()
    assert savings == [{"preset": "market-brief", "turns": 0, "hits": 1, "cost_usd": 0, "saved_usd": mine["cost_usd"]}]


@pytest.mark.parametrize(
    "change",
    [
        {"keywords": ["green"]},
        {"keywords": ["black", "green"]},
        {"locale": "de-AT"},
        {"max_tokens": 900},
        {"model": "another"},
        {"market": "tea elsewhere"},
    ],
    ids=str,
)
def test_any_part_of_the_key_makes_a_miss(
    alice: Person, assist_url: str, answering: str, able: Models, upstream: Upstream, change: dict[str, Any]
) -> None:
    """The same input is a hit, in whatever Unicode form and with blanks around it; a change is a miss."""
    body = market() | {"model": answering, "market": f"café {market()['market']}"}
    assert post(assist_url, alice, BRIEF, body).headers["X-Cache"] == "MISS"
    same = dict(reversed((body | {"market": f" cafe\u0301{body['market'][4:]} "}).items()))
    assert post(assist_url, alice, BRIEF, same).headers["X-Cache"] == "HIT"
    if "model" in change:
        change = {"model": plays(upstream, able("fixed"), says(INSIGHT))}
    assert post(assist_url, alice, BRIEF, body | change).headers["X-Cache"] == "MISS"
    other = post(assist_url, alice, "/insights/risk-sentinel", body)
    assert other.headers["X-Cache"] == "MISS"


@pytest.mark.parametrize("personal", [{"context": {"cash": 100}}, {"keywords": ["mail anna.smith@example.com"]}])
def test_what_is_personal_is_never_shared(
    alice: Person, bob: Person, assist_url: str, answering: str, personal: dict[str, Any]
) -> None:
    """A context, or anything that the redactor finds, makes the answer the user's own, also in the table."""
    body = market() | {"model": answering} | personal
    assert post(assist_url, alice, BRIEF, body).headers["X-Cache"] == "MISS"
    assert post(assist_url, alice, BRIEF, body).headers["X-Cache"] == "HIT"
    assert post(assist_url, bob, BRIEF, body).headers["X-Cache"] == "MISS"
    assert [row["user_id"] for row in alice.rows("ai_insights?scope=eq.user&select=user_id")] == [alice.id]
    assert [row["user_id"] for row in bob.rows("ai_insights?scope=eq.user&select=user_id")] == [bob.id]


def test_answers_of_a_users_own_node_are_never_shared(
    alice: Person, bob: Person, assist_url: str, upstream: Upstream, db: Database
) -> None:
    """Its owner writes the answer and the model's name: the entry is the owner's, and goes with their data."""
    name = f"wombat-{uuid.uuid4().hex}"
    node = db.execute(
        "insert into public.client_nodes (owner_id, name, base_url, models) values (%s, 'mine', %s, %s) returning id",
        [alice.id, upstream.url("client"), json.dumps([{"id": name, "capabilities": {"supports_json": True}}])],
    ).fetchone()
    assert node
    identifier = plays(upstream, f"client:{node['id']}:{name}", says(INSIGHT))
    body = market() | {"model": identifier}
    assert [post(assist_url, alice, BRIEF, body).headers["X-Cache"] for _ in range(2)] == ["MISS", "HIT"]
    entries = [who.rows(f"ai_insights?model=eq.{identifier}&select=scope") for who in (alice, bob)]
    assert entries == [[{"scope": "user"}], []]
    db.execute("update public.client_nodes set is_shared = true where id = %s", [node["id"]])
    body |= market()
    assert [post(assist_url, who, BRIEF, body).headers["X-Cache"] for who in (alice, bob)] == ["MISS", "HIT"]
    assert alice.rest("POST", "rpc/delete_my_data", json={}).status_code == 204
    assert not db.execute("select from public.ai_insights where model = %s", [identifier]).fetchall()


def test_presets_about_tasks_are_never_shared(
    alice: Person, bob: Person, assist_url: str, able: Models, upstream: Upstream
) -> None:
    """A preset that is not public keeps each user's answers apart."""
    model = plays(upstream, able("fixed"), says({"labels": ["work"]}))
    body = {"title": "Write the report", "model": model}
    caches = [post(assist_url, who, "/tasks/suggest-labels", body).headers["X-Cache"] for who in (alice, alice, bob)]
    assert caches == ["MISS", "HIT", "MISS"]


@pytest.mark.parametrize(
    ("preset", "hours"),
    [("market-brief", 24), ("opportunity-radar", 24), ("risk-sentinel", 12), ("ad-insight", 6)],
)
def test_answers_expire_by_the_databases_clock(
    alice: Person, assist_url: str, answering: str, db: Database, preset: str, hours: int
) -> None:
    """An answer is a hit until its time ends, stale for another tenth, then gone."""
    body = market() | {"model": answering}
    post(assist_url, alice, f"/insights/{preset}", body)
    row = db.execute(
        "select extract(epoch from expires_at - created_at) / 3600 as hours from public.ai_insights order by id desc"
    ).fetchone()
    assert row is not None
    assert float(row["hours"]) == hours
    _age(db, 0.99)
    assert post(assist_url, alice, f"/insights/{preset}", body).headers["X-Cache"] == "HIT"
    _age(db, 0.03)
    stale = post(assist_url, alice, f"/insights/{preset}", body, Cache_Control="only-if-cached")
    assert stale.headers["X-Cache"] == "STALE"
    assert int(stale.headers["Age"]) > hours * 3600
    _age(db, 0.09)
    assert post(assist_url, alice, f"/insights/{preset}", body, Cache_Control="only-if-cached").status_code == 504
    purged = service(alice.stack, "POST", "rpc/purge_insights", json={})
    assert purged.json() >= 1


def test_a_stale_answer_is_served_and_refreshed_once(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """Of many callers one renews the answer, and the others get the old one at once."""
    model = plays(upstream, able("fixed"), says(INSIGHT), says(INSIGHT, is_held=True))
    body = market() | {"model": model}
    post(assist_url, alice, BRIEF, body)
    _age(db, 1.05)
    with ThreadPoolExecutor(10) as pool:
        refreshing = pool.submit(post, assist_url, alice, BRIEF, body)
        assert upstream.until_called(name_of(model), 2)
        others = list(pool.map(lambda _: post(assist_url, alice, BRIEF, body), range(9)))
        assert {each.headers["X-Cache"] for each in others} == {"STALE"}
        upstream.release()
        assert refreshing.result().headers["X-Cache"] == "MISS"
    assert calls_of(upstream, model) == 2
    assert post(assist_url, alice, BRIEF, body).headers["X-Cache"] == "HIT"


def test_a_stale_answer_serves_when_the_model_fails(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """The caller who would refresh it gets the stale answer instead of the error."""
    model = plays(upstream, able("fixed"), says(INSIGHT), lambda _: Refusal(400))
    body = market() | {"model": model}
    post(assist_url, alice, BRIEF, body)
    _age(db, 1.05)
    old = post(assist_url, alice, BRIEF, body)
    assert (old.status_code, old.headers["X-Cache"]) == (200, "STALE")


def test_cache_control_is_followed(alice: Person, assist_url: str, answering: str, upstream: Upstream) -> None:
    """no-cache calls the model and replaces the answer; no-store keeps nothing; only-if-cached never calls one."""
    body = market() | {"model": answering}
    refused = post(assist_url, alice, BRIEF, body, Cache_Control="only-if-cached")
    assert (refused.status_code, refused.json()["error"]["code"]) == (504, "not_cached")
    post(assist_url, alice, BRIEF, body, Cache_Control="no-store")
    assert post(assist_url, alice, BRIEF, body, Cache_Control="only-if-cached").status_code == 504
    post(assist_url, alice, BRIEF, body)
    assert post(assist_url, alice, BRIEF, body, Cache_Control="no-cache").headers["X-Cache"] == "MISS"
    assert calls_of(upstream, answering) == 3
    hit = post(assist_url, alice, BRIEF, body, Cache_Control="only-if-cached")
    assert hit.headers["X-Cache"] == "HIT"


def test_hits_are_answered_when_the_budget_is_gone(
    alice: Person, assist_url: str, answering: str, db: Database
) -> None:
    """A miss is 402 and then 429; a hit is answered in both cases."""
    body = market() | {"model": answering}
    assert post(assist_url, alice, BRIEF, body).status_code == 200
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, 0.000001)", [alice.id])
    assert post(assist_url, alice, BRIEF, market() | {"model": answering}).status_code == 402
    assert post(assist_url, alice, BRIEF, body).headers["X-Cache"] == "HIT"
    db.execute("update public.usage_limits set daily_cost_usd = null, daily_requests = 1 where scope = %s", [alice.id])
    refused = post(assist_url, alice, BRIEF, market() | {"model": answering})
    assert refused.status_code == 429
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert post(assist_url, alice, BRIEF, body).headers["X-Cache"] == "HIT"


def test_a_deleted_persons_entries_are_gone(
    alice: Person, assist_url: str, answering: str, db: Database, stack: Any
) -> None:
    """delete_my_data removes the user's answers and keyed responses; public ones have no owner and stay."""
    own = market() | {"model": answering, "context": {"secret": "quokka"}}
    post(assist_url, alice, BRIEF, own, Idempotency_Key="mine")
    post(assist_url, alice, BRIEF, market() | {"model": answering})
    assert alice.rest("POST", "rpc/delete_my_data", json={}).status_code == 204
    assert alice.rows("ai_insights?scope=eq.user") == []
    for table in ("public.ai_insights", "private.insight_replays", "private.turns", "public.chat_logs"):
        assert not db.execute(f"select from {table} as t where t::text like '%%quokka%%'").fetchall()
    assert post(assist_url, alice, BRIEF, own).headers["X-Cache"] == "MISS"
    gone = service(stack, "DELETE", f"../../auth/v1/admin/users/{alice.id}")
    assert gone.status_code == 200
    assert not db.execute("select from public.ai_insights where user_id = %s", [alice.id]).fetchall()


def test_a_failed_fallback_keeps_the_schema(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """When the first provider is down the second answers, as text without schemas; the answer is stored as its own."""
    down = plays(upstream, able("fixed", "openai"), lambda _: Refusal(503))
    up = plays(upstream, able("fixed", "anthropic", supports_json=False, supports_tools=False), says(INSIGHT))
    db.execute(
        "insert into public.llm_routes (alias, model_key, weight, fallback_order) values ('pair', %s, 1, 0), "
        "('pair', %s, 0, 1)",
        [down, up],
    )
    try:
        answer = post(assist_url, alice, BRIEF, market() | {"model": "pair"})
    finally:
        db.execute("delete from public.llm_routes where alias = 'pair'")
    receipt = answer.json()["receipt"]
    assert (answer.headers["X-Model"], answer.headers["X-Fallbacks"]) == (up, "1")
    assert [each["ok"] for each in receipt["attempts"]] == [False, False, True]
    stored = db.execute("select model from public.ai_insights where model = any(%s)", [[down, up]]).fetchall()
    assert stored == [{"model": up}]


def test_the_cache_works_over_the_data_api(
    alice: Person, function: Callable[..., Any], able: Models, upstream: Upstream
) -> None:
    """Without a direct connection the same calls go through PostgREST with the service key."""
    url, _ = function("assist", LEDGER_DATABASE_URL="", **variables(upstream))
    model = plays(upstream, able("fixed"), says(INSIGHT))
    body = market() | {"model": model}
    assert [post(url, alice, BRIEF, body).headers["X-Cache"] for _ in range(2)] == ["MISS", "HIT"]
    assert httpx.get(f"{url}/presets", headers=alice.headers).status_code == 200


def test_a_hit_needs_access_to_its_model(
    alice: Person, bob: Person, assist_url: str, model: Models, upstream: Upstream, db: Database
) -> None:
    """A user who may no longer use a node gets none of its stored answers."""
    identifier = plays(upstream, model("fixed"), says(INSIGHT))
    body = market() | {"model": identifier}
    assert post(assist_url, alice, BRIEF, body).headers["X-Cache"] == "MISS"
    assert post(assist_url, bob, BRIEF, body).headers["X-Cache"] == "HIT"
    db.execute("update public.llm_models set is_active = false where identifier = %s", [identifier])
    assert post(assist_url, bob, BRIEF, body, Cache_Control="only-if-cached").status_code == 504


def test_a_revoked_key_gets_no_hit(alice: Person, bob: Person, assist_url: str, answering: str) -> None:
    """Not even the instance that has just accepted the key answers from the cache; other users are answered."""
    key = new_key(alice)
    body = market() | {"model": answering}
    headers = {"Authorization": f"Bearer {key['key']}"}
    first = httpx.post(f"{assist_url}{BRIEF}", json=body, headers=headers, timeout=60)
    assert (first.status_code, first.headers["X-Cache"]) == (200, "MISS")
    assert httpx.post(f"{assist_url}{BRIEF}", json=body, headers=headers).headers["X-Cache"] == "HIT"
    assert revoke(alice, key) in {200, 204}
    refused = httpx.post(f"{assist_url}{BRIEF}", json=body, headers=headers)
    assert refused.status_code == 401
    error = refused.json()["error"]
    assert (error["code"], error["metadata"]["reason"]) == ("invalid_api_key", "revoked")
    assert post(assist_url, bob, BRIEF, body).headers["X-Cache"] == "HIT"


def test_streams_have_the_headers_of_plain_answers(alice: Person, assist_url: str, answering: str) -> None:
    """A miss names the model that answers and the limits, a hit its age, in either form of stream."""
    for form in ("text/event-stream", "text/plain"):
        body = market() | {"model": answering}
        miss, hit = (post(assist_url, alice, BRIEF, body, Accept=form) for _ in range(2))
        plain = post(assist_url, alice, BRIEF, body)
        assert [each.headers["X-Cache"] for each in (miss, hit, plain)] == ["MISS", "HIT", "HIT"]
        assert {each.headers["X-Model"] for each in (miss, hit, plain)} == {answering}
        assert miss.headers["X-Fallbacks"] == "0"
        assert "Age" not in miss.headers
        assert int(hit.headers["Age"]) >= 0
