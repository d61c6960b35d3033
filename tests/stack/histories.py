"""Random histories of turns: finishes, retries, takeovers, sweeps, late finishes, stored answers, corrections of
prices, ratings and deletions of users.
"""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.stack.books import reprice, set_price
from tests.stack.people import Person, Stack
from tests.stack.turns import KEY, Database, begin, die, fail, finish, sweep, used

PRICING = '{"input": 0.1, "output": 0.4, "cached_input": 0.01}'
_CODES = ("provider_error", "turn_timeout", "budget_exceeded", "provider_refused", "not_configured", None)


def entry(chance: random.Random) -> dict[str, Any]:
    """A result with random values in every column that the roll-up counts."""
    status = chance.choice(("completed", "completed", "completed", "cancelled", "partial", "failed"))
    tokens = chance.randrange(3000)
    usage = used(
        tokens,
        chance.randrange(900),
        cached_tokens=chance.randrange(tokens + 1),
        reasoning_tokens=chance.randrange(300),
        source=chance.choice(("provider", "provider", "partial", "estimate")),
    )
    attempts = [{"identifier": "x", "ok": chance.random() < 0.5, "ms": 7} for _ in range(chance.randrange(3))]
    tools = [{"name": chance.choice(("search", "analyze_data")), "ok": True} for _ in range(chance.randrange(3))]
    result: dict[str, Any] = {"status": status, "usage": usage, "attempts": attempts, "tools_used": tools}
    result |= {"duration_ms": chance.choice((None, 3, 777, 10**6)), "ttft_ms": chance.choice((None, 10, 11, 640))}
    result |= {"escalation_suggested": chance.random() < 0.3, "agent_type": chance.choice(("general", "research"))}
    result["domain_classification"] = chance.choice((None, "general", "research"))
    return result | {"error_code": chance.choice(_CODES) if status in {"partial", "failed"} else None}


@dataclass
class History:
    """Random turns of a few users with one model; `chance` decides all of them."""

    stack: Stack
    db: Database
    model: str
    people: list[Person]
    chance: random.Random
    turns: list[tuple[Person, dict[str, Any]]] = field(default_factory=list)

    def step(self, number: int) -> None:
        """One random act; `number` is different in each step."""
        act = self.chance.random()
        if act < 0.5 or not self.turns:
            self._begin(number)
        elif act < 0.6:
            sweep(self.stack)
        elif act < 0.75:
            finish(*self.chance.choice(self.turns), **entry(self.chance))
        elif act < 0.79:
            self._hit()
        elif act < 0.81:
            self._correct()
        elif act < 0.97 or len(self.people) == 1:
            self._rate(*self.chance.choice(self.turns))
        else:
            self._delete_user()

    def _begin(self, number: int) -> None:
        person = self.chance.choice(self.people)
        key = KEY | {"idempotency_key": str(number)} if self.chance.random() < 0.3 else {}
        asked: dict[str, Any] = self.chance.choice(({}, {"agent": "research", "asked_agent": "research"}))
        turn = begin(person, self.model, **key, **asked)
        self.turns.append((person, turn))
        if self.chance.random() < 0.2:
            die(self.db, turn)
            if key and self.chance.random() < 0.5:
                finish(person, begin(person, self.model, **key, **asked), **entry(self.chance))
        if self.chance.random() < 0.8:
            finish(person, turn, **entry(self.chance))
        elif key:
            fail(person, turn)

    def _hit(self) -> None:
        """A stored answer that saved something, nothing known, or nothing."""
        entry = {"user_id": self.chance.choice(self.people).id, "turn_id": str(uuid.uuid4()), "preset": "x"}
        hit = {"model": self.model, "saved_usd": self.chance.choice((None, 0, 0.000123456, 1.5)), "computed_by": None}
        self.db.execute(
            "select private.log_insight_hit(jsonb_populate_record(null::private.insight_lookup, %s), %s)",
            [json.dumps(entry | {"duration_ms": 4}), json.dumps(hit)],
        )

    def _correct(self) -> None:
        """Corrects all turns by a wrong price, and by the right one again."""
        for pricing in (f'{{"input": {Decimal(self.chance.randrange(1, 900)) / 100}, "output": 1}}', PRICING):
            set_price(self.db, self.model, pricing)
            reprice(self.db, self.model, dry_run=False)

    def _rate(self, person: Person, turn: dict[str, Any]) -> None:
        rating = {"rating": self.chance.randint(1, 5)}
        verdict = self.chance.choice((rating, rating, {"sentiment": "positive"}, {"sentiment": "neutral"}))
        answer = person.rest("POST", "feedback", json={"turn_id": turn["turn_id"]} | verdict)
        if answer.status_code == 409:
            change = {"rating": None, "sentiment": None, "note": "x"} | verdict
            answer = person.rest("PATCH", f"feedback?turn_id=eq.{turn['turn_id']}", json=change)
        assert answer.is_success, answer.text

    def _delete_user(self) -> None:
        gone = self.people.pop(self.chance.randrange(len(self.people)))
        self.db.execute("delete from auth.users where id = %s", [gone.id])
        self.turns = [each for each in self.turns if each[0] is not gone]
