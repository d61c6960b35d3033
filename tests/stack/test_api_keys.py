"""API keys in the database: created, capped, expired, revoked, deleted with their owner, and their turns."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.stack.caps import PRICED, counters, details_of, reserve_of
from tests.stack.conftest import Models
from tests.stack.keys import UNKNOWN, create_key, new_key, revoke
from tests.stack.people import Person, Stack, log_row, new_admin, service, sign_up
from tests.stack.turns import KEY, Database, asked, begin, die, extend, finish, sweep

each_way = pytest.mark.usefixtures("each_way")


def test_a_key_is_shown_once_and_listed_without_its_secret(alice: Person, bob: Person) -> None:
    """Its owner sees name, scopes, cap and expiry; another user sees nothing of it."""
    key = new_key(alice, name="CI", expires_in_days=30, daily_cost_usd=1.5, scopes=["models", "chat", "chat"])
    assert key["key"].startswith(key["key_prefix"])
    assert len(key["key"]) == len("pk_") + 64
    (row,) = alice.rows("api_keys")
    assert (row["name"], row["scopes"], row["daily_cost_usd"]) == ("CI", ["chat", "models"], 1.5)
    assert (row["revoked_at"], row["last_used_at"], row["user_id"]) == (None, None, alice.id)
    assert key["key"] not in json.dumps(row)
    assert bob.rows("api_keys") == []
    assert new_key(alice)["key"] != key["key"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": ""},
        {"name": " "},
        {"name": "a\nb"},
        {"name": "x" * 81},
        {"name": None},
        {"expires_in_days": 0},
        {"expires_in_days": 367},
        {"expires_in_days": None},
        {"daily_cost_usd": -1},
        {"daily_cost_usd": "NaN"},
        {"daily_cost_usd": "Infinity"},
        {"scopes": []},
        {"scopes": ["admin"]},
        {"scopes": ["chat", None]},
        {"scopes": None},
    ],
    ids=str,
)
def test_wrong_values_are_refused(alice: Person, arguments: dict[str, Any]) -> None:
    """A wrong name, expiry, cap or scope is 422 `validation_failed`, and no key is created."""
    refused = create_key(alice, **arguments)
    assert refused.status_code == 422, refused.text
    assert json.loads(refused.json()["details"])["code"] == "validation_failed"
    assert alice.rows("api_keys") == []


def test_a_person_has_a_limited_number_of_keys(alice: Person, db: Database) -> None:
    """Of 25 creations at once 20 succeed; a revoked key makes room, and of ended keys a hundred are kept."""
    with ThreadPoolExecutor(8) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: create_key(alice), range(25))]
    assert sorted(statuses) == [200] * 20 + [422] * 5
    assert revoke(alice, alice.rows("api_keys?limit=1")[0]) == 204
    assert create_key(alice).status_code == 200
    db.execute(
        """insert into public.api_keys (user_id, name, key_prefix, scopes, created_at, expires_at)
           select %s, 'old', 'pk_', '{chat}', now() - interval '1 day', now() - make_interval(mins => n)
           from generate_series(1, 150) as n""",
        [alice.id],
    )
    assert revoke(alice, alice.rows("api_keys?expires_at=gt.now&revoked_at=is.null&limit=1")[0]) == 204
    new_key(alice)
    assert len(alice.rows("api_keys")) == 120


def test_an_anonymous_user_creates_no_key(stack: Stack) -> None:
    """403, because such an account can be made by anyone."""
    session = httpx.post(
        f"{stack['SUPABASE_URL']}/auth/v1/signup", json={}, headers={"apikey": stack["SUPABASE_ANON_KEY"]}
    ).json()
    person = Person(stack, session["user"]["id"], "", session["access_token"])
    assert create_key(person).status_code == 403


@each_way
def test_a_turn_with_a_key_is_its_owners(alice: Person, model: Models, db: Database) -> None:
    """The row has the owner and the key; the owner's and the key's counters hold the same cost."""
    key = new_key(alice)
    turn = begin(alice, model("echo", PRICED), api_key=key["key"])
    assert {row["reserved_usd"] > 0 for row in counters(db, f"key:{key['id']}").values()} == {True}
    finish(alice, turn)
    row = log_row(db, turn["turn_id"])
    assert (str(row["user_id"]), str(row["api_key_id"])) == (alice.id, key["id"])
    assert counters(db, f"key:{key['id']}") == counters(db, alice.id)
    assert counters(db, alice.id)["day"]["spent_usd"] == Decimal("0.002")
    (usage,) = alice.rest("POST", "rpc/usage_by_key", json={}).json()
    assert (usage["api_key_id"], usage["name"], usage["turns"], usage["cost_usd"]) == (key["id"], "laptop", 1, 0.002)
    finish(alice, begin(alice, model("echo", PRICED)))
    assert counters(db, f"key:{key['id']}")["day"]["spent_usd"] == Decimal("0.002")


@each_way
def test_a_crowd_at_the_cap_of_a_key_is_admitted_exactly(alice: Person, model: Models, db: Database) -> None:
    """Of twenty turns at once, a cap of three and a half reservations admits three; the refusal names the key."""
    name = model("echo", PRICED)
    reserve = reserve_of(alice, name)
    key = new_key(alice, daily_cost_usd=str(reserve * Decimal("3.5")))
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: asked(alice, name, api_key=key["key"]), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [402] * 17
    left = min(Decimal(str(a.json()["limits"]["budget_remaining_usd"])) for a in answers if a.status_code == 200)
    assert left == reserve / 2
    details = details_of(next(answer for answer in answers if answer.status_code == 402))
    assert (details["scope"], details["period"]) == ("key", "day")
    assert counters(db, f"key:{key['id']}")["day"]["requests"] == 3
    assert counters(db, alice.id)["day"]["requests"] == 3
    other = new_key(alice)["key"]
    assert [asked(alice, name, **way).status_code for way in ({}, {"api_key": other})] == [200, 200]


@each_way
def test_a_key_with_a_cap_of_nothing_costs_nothing(alice: Person, model: Models) -> None:
    """A cap of 0 refuses every priced turn; a dry run shows what is left."""
    key = new_key(alice, daily_cost_usd=0)["key"]
    name = model("echo", PRICED)
    assert asked(alice, name, api_key=key).status_code == 402
    assert asked(alice, name, api_key=key, dry_run=True).json()["limits"]["budget_remaining_usd"] == 0


@each_way
def test_the_owners_caps_hold_for_a_key(alice: Person, model: Models, db: Database) -> None:
    """A key without a cap is refused by its owner's, which the refusal names."""
    db.execute("insert into public.usage_limits (scope, daily_requests) values (%s, 1)", [alice.id])
    key, name = new_key(alice)["key"], model("echo", PRICED)
    begin(alice, name, api_key=key)
    refused = asked(alice, name, api_key=key)
    assert (refused.status_code, details_of(refused)["scope"]) == (429, "user")


@each_way
def test_a_further_call_of_a_turn_needs_room_in_the_keys_cap(alice: Person, model: Models, db: Database) -> None:
    """An extension over the cap is refused and names the key; one that fits is released by the finish."""
    name = model("echo", PRICED)
    key = new_key(alice, daily_cost_usd=str(reserve_of(alice, name) * Decimal("1.5")))
    turn = begin(alice, name, api_key=key["key"])
    refused = extend(alice.stack, turn, 1_000_000)
    assert (refused["outcome"], refused["metadata"]["scope"]) == ("refused", "key")
    db.execute("update public.api_keys set daily_cost_usd = 100 where id = %s", [key["id"]])
    assert extend(alice.stack, turn, 1000)["outcome"] == "extended"
    finish(alice, turn)
    assert {row["reserved_usd"] for row in counters(db, f"key:{key['id']}").values()} == {0}


@each_way
def test_a_sweep_releases_what_a_key_reserved(alice: Person, model: Models, db: Database) -> None:
    """An abandoned turn names its key, and the key's counters hold nothing; the late finish books the cost there."""
    key = new_key(alice)
    turn = begin(alice, model("echo", PRICED), api_key=key["key"])
    die(db, turn)
    assert sweep(alice.stack) >= 1
    assert str(log_row(db, turn["turn_id"])["api_key_id"]) == key["id"]
    assert {row["reserved_usd"] for row in counters(db, f"key:{key['id']}").values()} == {0}
    finish(alice, turn)
    assert counters(db, f"key:{key['id']}") == counters(db, alice.id)


@each_way
def test_a_retry_needs_the_same_key(alice: Person, model: Models, db: Database) -> None:
    """An idempotency key replays for the API key that used it; another credential is a mismatch."""
    first, second, name = new_key(alice), new_key(alice), model("echo", PRICED)
    turn = begin(alice, name, api_key=first["key"], **KEY)
    die(db, turn)
    outcomes = [asked(alice, name, **KEY, **way).json()["outcome"] for way in ({}, {"api_key": second["key"]})]
    assert outcomes == ["mismatch", "mismatch"]
    again = begin(alice, name, api_key=first["key"], **KEY)
    assert again["turn_id"] == turn["turn_id"]
    finish(alice, again)
    assert asked(alice, name, api_key=first["key"], **KEY).json()["outcome"] == "replay"
    assert counters(db, f"key:{first['id']}") == counters(db, alice.id)


@each_way
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update public.api_keys set expires_at = now() where user_id = %s", "expired"),
        ("update public.api_keys set revoked_at = now() where user_id = %s", "revoked"),
        ("update auth.users set banned_until = now() + interval '1 hour' where id = %s", "suspended"),
        ("delete from public.api_keys where user_id = %s", "unknown"),
        ("delete from auth.users where id = %s", "unknown"),
    ],
)
def test_a_key_that_has_ended_begins_no_turn(
    alice: Person, model: Models, db: Database, change: str, reason: str
) -> None:
    """401 `invalid_api_key` with the reason, at the very next turn."""
    key, name = new_key(alice)["key"], model("echo", PRICED)
    begin(alice, name, api_key=key)
    db.execute(change, [alice.id])
    refused = asked(alice, name, api_key=key)
    details = json.loads(refused.json()["details"])
    assert (refused.status_code, details["code"]) == (401, "invalid_api_key")
    assert details["metadata"]["reason"] == reason


@each_way
def test_a_key_without_the_scope_begins_no_turn(alice: Person, model: Models) -> None:
    """403 `insufficient_scope`; a key that never was is 401."""
    key = new_key(alice, scopes=["models"])["key"]
    name = model("echo", PRICED)
    assert [asked(alice, name, api_key=each).status_code for each in (key, UNKNOWN)] == [403, 401]


def test_only_its_owner_or_an_admin_revokes_a_key(alice: Person, bob: Person, stack: Stack) -> None:
    """For another user there is no such key; the time of the first revocation stays."""
    first, second = new_key(alice), new_key(alice)
    admin = new_admin(stack)
    assert [revoke(bob, first), revoke(alice, first), revoke(admin, second)] == [404, 204, 204]
    before = alice.rows("api_keys?order=id")
    assert all(row["revoked_at"] for row in before)
    assert revoke(alice, first) == 204
    assert alice.rows("api_keys?order=id") == before
    assert {row["id"] for row in admin.rows(f"api_keys?user_id=eq.{alice.id}")} == {first["id"], second["id"]}


@each_way
def test_a_deletion_of_the_owner_ends_keys_and_running_turns(alice: Person, model: Models, db: Database) -> None:
    """Keys, hashes and the key's id in log rows are gone; a running turn still settles the key's counters."""
    key = new_key(alice)
    name = model("echo", PRICED)
    done, running = begin(alice, name, api_key=key["key"]), begin(alice, name, api_key=key["key"])
    finish(alice, done)
    db.execute("delete from auth.users where id = %s", [alice.id])
    finish(alice, running)
    left = db.execute("select count(*) as n from private.api_key_hashes where key_id = %s", [key["id"]]).fetchone()
    assert left == {"n": 0}
    assert [log_row(db, turn["turn_id"])["api_key_id"] for turn in (done, running)] == [None, None]
    assert {row["reserved_usd"] for row in counters(db, f"key:{key['id']}").values()} == {0}


def test_deleting_my_data_deletes_my_keys(alice: Person, model: Models, db: Database) -> None:
    """The account stays; its keys do not, and log rows name none."""
    key = new_key(alice)["key"]
    turn = begin(alice, model("echo", PRICED), api_key=key)
    finish(alice, turn)
    assert alice.rest("POST", "rpc/delete_my_data", json={}).status_code == 204
    assert alice.rows("api_keys") == []
    assert log_row(db, turn["turn_id"])["api_key_id"] is None
    assert asked(alice, None, api_key=key).status_code == 401


def test_refresh_deletes_keys_that_ended_long_ago(alice: Person, db: Database) -> None:
    """A key that was revoked or expired ninety days ago goes; a living one and one that ended lately stay."""
    names = ("living", "lately", "revoked", "expired")
    for name in names:
        new_key(alice, name=name)
    ended = "update public.api_keys set {0} = now() - interval '{1} days' where user_id = %s and name = %s"
    db.execute(ended.format("revoked_at", 89), [alice.id, "lately"])
    db.execute(ended.format("revoked_at", 91), [alice.id, "revoked"])
    db.execute(ended.format("expires_at", 91), [alice.id, "expired"])
    assert service(alice.stack, "POST", "rpc/purge_api_keys", json={}).json() >= 2
    assert {row["name"] for row in alice.rows("api_keys")} == {"living", "lately"}


def test_usage_by_key_is_the_callers(alice: Person, model: Models) -> None:
    """Another user's turns are not in it, not even for an admin."""
    finish(alice, begin(alice, model("echo", PRICED), api_key=new_key(alice)["key"]))
    for other in (sign_up(alice.stack), new_admin(alice.stack)):
        assert other.rest("POST", "rpc/usage_by_key", json={}).json() == []
