"""degrade_at and degrade_to: near a cost cap a cheaper model serves, and every place says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.providers import named
from tests.stack.caps import counters, global_caps
from tests.stack.conftest import Models
from tests.stack.people import Person
from tests.stack.turns import Database, asked, begin, finish

__all__ = ["global_caps"]  # a fixture

_DEAR = '{"input": 10, "output": 20}'
_CHEAP = '{"input": 1, "output": 2}'
_CHEAPEST = '{"input": 0.5, "output": 1}'
Near = Callable[..., None]


@pytest.fixture
def dear(model: Models) -> str:
    """A dear model of a provider."""
    return model(named("echo", "openai"), _DEAR, provider="openai")


@pytest.fixture
def cheap(model: Models) -> str:
    """A cheaper model of a provider."""
    return model(named("echo", "openai"), _CHEAP, provider="openai")


@pytest.fixture
def near(db: Database, alice: Person, cheap: str) -> Near:
    """Gives alice a cap of 1 dollar, of which she has spent so much, and an alias with the cheap model."""

    def spent(usd: float = 0.9, *, alias: str = "thrift", **caps: Any) -> None:
        row = {"daily_cost_usd": 1, "monthly_cost_usd": None} | caps
        db.execute(
            "insert into public.usage_limits (scope, daily_cost_usd, monthly_cost_usd, degrade_at, degrade_to)"
            " values (%s, %s, %s, 0.8, %s)",
            [alice.id, row["daily_cost_usd"], row["monthly_cost_usd"], alias],
        )
        _arm(db, "thrift", cheap)
        db.execute(
            """insert into public.usage_counter_slots (scope, period, period_start, spent_usd, requests)
               select %s, p, date_trunc(p, now() at time zone 'utc')::date, %s, 1
               from unnest(array['day', 'month']) as p
               on conflict (scope, period, period_start, slot) do update set spent_usd = excluded.spent_usd""",
            [alice.id, usd],
        )

    return spent


def _arm(db: Database, alias: str, identifier: str) -> None:
    db.execute("insert into public.llm_routes (alias, model_key) values (%s, %s)", [alias, identifier])


def _served(person: Person, name: str | None, **fields: Any) -> tuple[str, str]:
    answer = asked(person, name, dry_run=True, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["routes"][0]["identifier"], answer.json()["reason"]


def test_below_the_share_the_named_model_serves(alice: Person, dear: str, near: Near) -> None:
    """The limit alone changes nothing."""
    near(0.79)
    assert _served(alice, dear) == (dear, "requested")


@pytest.mark.parametrize("is_strict", [False, True])
@pytest.mark.parametrize("caps", [{}, {"daily_cost_usd": None, "monthly_cost_usd": 1}], ids=["day", "month"])
def test_past_the_share_the_cheaper_model_serves(
    alice: Person, dear: str, cheap: str, near: Near, caps: dict[str, Any], is_strict: bool
) -> None:
    """A request that names the dear model is no exception, and neither is a strict one."""
    near(0.8, **caps)
    assert _served(alice, dear, strict_model=is_strict) == (cheap, "degraded")


def test_reservations_count(db: Database, alice: Person, dear: str, cheap: str, near: Near) -> None:
    """Running turns use the cap, too."""
    near(0.1)
    db.execute("update public.usage_counter_slots set reserved_usd = 0.7 where scope = %s", [alice.id])
    assert _served(alice, dear) == (cheap, "degraded")


def test_a_model_that_costs_no_more_goes_on(alice: Person, model: Models, cheap: str, near: Near) -> None:
    """The same model, a cheaper one, one without a price and a client node keep their own reason."""
    near()
    names = [model(named("echo", "openai"), price, provider="openai") for price in (_CHEAPEST, _CHEAP, None)]
    for name in (cheap, *names, model("echo", _DEAR)):
        assert _served(alice, name) == (name, "requested")


@pytest.mark.parametrize(
    "change",
    [
        "delete from public.llm_routes where alias = 'thrift'",
        "update public.llm_models set is_active = false where identifier = %(cheap)s",
        "update public.llm_models set pricing = null where identifier = %(cheap)s",
        "insert into public.provider_health (provider_key, open_until) values (%(cheap)s, now() + interval '1 hour')",
        (
            "update public.llm_models set capabilities = capabilities || '{\"context_window\": 500}'"
            " where identifier = %(cheap)s"
        ),
    ],
    ids=["no alias", "inactive", "no price", "failing", "small window"],
)
def test_an_alias_that_cannot_serve_changes_nothing(
    db: Database, alice: Person, dear: str, cheap: str, near: Near, change: str
) -> None:
    """The turn goes on with its own model, and its reason is the usual one."""
    near()
    assert _served(alice, dear) == (cheap, "degraded")
    db.execute(change, {"cheap": cheap})
    assert _served(alice, dear) == (dear, "requested")
    db.execute("delete from public.provider_health where provider_key = %s", [cheap])


@pytest.mark.parametrize("ability", ["supports_tools", "supports_vision", "supports_json"])
def test_a_needed_ability_is_kept(db: Database, alice: Person, dear: str, cheap: str, near: Near, ability: str) -> None:
    """Only a cheaper model with the ability serves a turn that needs it."""
    near()
    able = "update public.llm_models set capabilities = capabilities || jsonb_build_object(%s::text, true)"
    db.execute(f"{able} where identifier = %s", [ability, dear])
    assert _served(alice, dear, needs=[ability]) == (dear, "requested")
    db.execute(f"{able} where identifier = %s", [ability, cheap])
    assert _served(alice, dear, needs=[ability]) == (cheap, "degraded")


def test_of_two_limits_the_cheaper_alias_serves(
    db: Database, alice: Person, model: Models, dear: str, cheap: str, near: Near, global_caps: Callable[..., None]
) -> None:
    """The limit of everyone counts beside the user's own, whichever of them is cheaper."""
    finish(alice, begin(alice, dear))
    near(0.1)
    cheapest = model(named("echo", "openai"), _CHEAPEST, provider="openai")
    _arm(db, "thriftier", cheapest)
    global_caps(daily_cost_usd=1)
    db.execute("update public.usage_limits set degrade_at = 0.001, degrade_to = 'thrift' where scope = 'global'")
    used = "update public.usage_limits set daily_cost_usd = 900 * %s where scope = 'global'"
    db.execute(used, [counters(db, "global")["day"]["spent_usd"]])
    assert _served(alice, dear) == (cheap, "degraded")
    db.execute("update public.usage_counter_slots set spent_usd = 0.9 where scope = %s", [alice.id])
    alias = "update public.usage_limits set degrade_to = %s where scope = %s"
    for own, everyone in (("thrift", "thriftier"), ("thriftier", "thrift")):
        db.execute(alias, [own, alice.id])
        db.execute(alias, [everyone, "global"])
        assert _served(alice, dear) == (cheapest, "degraded")


def test_every_protocol_serves_the_cheaper_model(
    alice: Person, chat_url: str, dear: str, cheap: str, near: Near
) -> None:
    """The receipt and the log row name the served model and the reason."""
    near(0.9, daily_cost_usd=1)
    receipt = alice.ask({"message": "hi", "model": dear, "stream": False}, chat_url).json()
    assert (receipt["route"]["identifier"], receipt["route"]["reason"]) == (cheap, "degraded")
    question = {"model": dear, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}
    for path, body in (
        ("/v1/chat/completions", question),
        ("/v1/messages", question),
        ("/v1/responses", {"model": dear, "input": "hi"}),
    ):
        answer = alice.ask(body, chat_url + path)
        assert answer.status_code == 200, answer.text
    rows = alice.rows("chat_logs?select=model_identifier,route_reason")
    assert [(row["model_identifier"], row["route_reason"]) for row in rows] == [(cheap, "degraded")] * 4


def test_my_limits_says_what_serves(alice: Person, near: Near) -> None:
    """Only the row of the cap that is nearly used is degraded."""
    near(0.9, monthly_cost_usd=10)
    day, month = alice.rows("rpc/my_limits")
    assert (day["degrade_at"], day["degrade_to"], day["is_degraded"], month["is_degraded"]) == (
        0.8,
        "thrift",
        True,
        False,
    )


@pytest.mark.parametrize(
    ("share", "alias"), [(0, "cheap"), (1, "cheap"), (0.5, None), (None, "cheap"), (0.5, "No Alias")]
)
def test_half_a_setting_is_refused(db: Database, share: float | None, alias: str | None) -> None:
    """A share is between 0 and 1 and has an alias."""
    with pytest.raises(Exception, match="usage_limits_degrade"):
        db.execute("update public.usage_limits set degrade_at = %s, degrade_to = %s", [share, alias])


def test_assist_looks_for_the_answer_of_the_cheaper_model(
    db: Database, alice: Person, near: Near, dear: str, cheap: str
) -> None:
    """The key of a stored answer is that of the served model, before and after the share is reached."""
    lookup = (
        "select (private.resolve_insight(jsonb_populate_record(null::private.insight_lookup, jsonb_build_object("
        "'user_id', %s::text, 'input_hash', 'h', 'is_public', false, 'model', %s::text)), '{}')).*"
    )
    keys = [db.execute(lookup, [alice.id, name]).fetchone() for name in (dear, cheap)]
    near()
    degraded = db.execute(lookup, [alice.id, dear]).fetchone()
    assert keys[0] is not None
    assert keys[1] is not None
    assert degraded is not None
    assert keys[0]["cache_key"] != keys[1]["cache_key"] == degraded["cache_key"]
    assert degraded["reason"] == "degraded"
