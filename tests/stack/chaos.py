"""Hundreds of turns at once, over several people, with everything that can go wrong: killed backends, finishes doubled,
workers that die or come back too late, sweeps at the same time, answers of presets that are looked up and stored by
many at once. What was really spent is kept beside, to the digit.
"""

from __future__ import annotations

import contextlib
import random
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import dict_row

from shared.errors import BudgetExceeded, DatabaseUnavailable, QuotaExceeded
from tests.refresh_steps import drain_at_once
from tests.stack.ledger_client import ledger_over
from tests.stack.people import Person, Stack
from tests.stack.turns import die, entry_of, turn_of, used

_TRIES = 200
INPUT_USD, OUTPUT_USD = Decimal("0.000001"), Decimal("0.000002")  # a token, as `model` of the fixtures prices them


@dataclass
class Truth:
    """What happened, as the workers themselves know it."""

    admitted: set[str] = field(default_factory=set)
    refused: int = 0
    killed: int = 0
    spent: Decimal = Decimal(0)
    by_person: dict[str, Decimal] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def spend(self, person: str, usd: Decimal) -> None:
        """One attempt's cost; each is booked once, however often it is reported."""
        with self.lock:
            self.spent += usd
            self.by_person[person] = self.by_person.get(person, Decimal(0)) + usd


class Chaos:
    """Turns by `people` of `model`, over one of the `WAYS` to the ledger.

    `spool` keeps an entry of a person, the seed makes the dice repeatable.
    """

    def __init__(
        self,
        stack: Stack,
        people: list[Person],
        model: str,
        spool: Callable[[dict[str, Any], str], None],
        *,
        seed: int = 1,
        way: str = "connection",
    ) -> None:
        self.truth = Truth()
        self._ledger = ledger_over(way, stack)
        self._spool = spool
        self._stack, self._people, self._model, self._seed = stack, people, model, seed
        self._over = threading.Event()

    def run(self, turns: int, workers: int) -> Truth:
        """Everything at once, then the drain and the sweeps that close what is left."""
        with contextlib.closing(self._ledger), ThreadPoolExecutor(workers + 4) as pool:
            trouble = [pool.submit(self._kill), pool.submit(self._sweep_on), pool.submit(self._sweep_on)]
            trouble.append(pool.submit(self._drain_on))
            try:
                list(pool.map(self._turn, range(turns)))
            finally:
                self._over.set()
            for each in trouble:
                each.result()
        drain_at_once(3)
        with self._connection() as db:
            db.execute("update private.turns set lease_until = now() - interval '1 s' where state = 'started'")
        while self._sweep(500):
            pass
        return self.truth

    def _call(self, name: str, arguments: dict[str, Any], person: Person | None = None) -> Any:
        """One ledger function, as the service or a person; again when its backend was killed under it."""
        for _ in range(_TRIES):
            with contextlib.suppress(DatabaseUnavailable):
                return self._ledger.call(name, arguments, person)
        raise AssertionError("the database never answered")

    def _sweep(self, turns: int) -> int:
        """How many turns a sweep closed; zero when it met a lock."""
        with self._connection() as db, contextlib.suppress(psycopg.errors.LockNotAvailable):
            row = db.execute("select public.sweep_turns(%s) as swept", [turns]).fetchone()
            return int(row["swept"]) if row else 0
        return 0

    def _connection(self) -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(
            self._stack["DATABASE_URL"], autocommit=True, row_factory=dict_row, application_name="chaos"
        )

    def _turn(self, number: int) -> None:
        dice = random.Random(self._seed * 1_000_003 + number)  # noqa: S311 - dice
        person = self._people[number % len(self._people)]
        key = {"idempotency_key": f"key-{number}", "body_hash": "h"}
        turn = self._begin(person, key)
        if turn is None:
            return
        fate = dice.random()
        if fate < 0.15:  # dies: the sweeper finds it
            self._expire(turn)
        elif fate < 0.3:  # dies, is taken over, and comes back too late
            self._expire(turn)
            second = self._begin(person, key)
            if second is not None:
                self._finish(person, second, dice)
            self._finish(person, turn, dice)
        else:
            self._finish(person, turn, dice)

    def _begin(self, person: Person, key: dict[str, str]) -> dict[str, Any] | None:
        turn = turn_of(self._model, max_tokens=50, **key)
        try:
            begun = self._call("chat_begin", {"turn": turn}, person)
        except (QuotaExceeded, BudgetExceeded):
            with self.truth.lock:
                self.truth.refused += 1
            return None
        if begun["outcome"] != "new":
            return None
        with self.truth.lock:
            self.truth.admitted.add(begun["turn_id"])
        return turn | {"turn_id": begun["turn_id"]}

    def _finish(self, person: Person, turn: dict[str, Any], dice: random.Random) -> None:
        tokens, written = dice.randrange(1, 40), dice.randrange(1, 50)
        usage = used(tokens, written)
        attempt = {"identifier": self._model, "provider_key": "chaos", "ok": True, "usage": usage}
        entry = entry_of(turn, usage=usage, attempts=[attempt])
        for way in dice.choice(("b", "b", "bb", "s", "sb", "ss")):  # booked at once, by way of the spool, or both
            if way == "s":
                self._spool(entry, person.id)
            else:
                assert self._book(person, entry, dice)["outcome"] in {"settled", "duplicate", "stale"}
        self.truth.spend(person.id, tokens * INPUT_USD + written * OUTPUT_USD)

    def _book(self, person: Person, entry: dict[str, Any], dice: random.Random) -> Any:
        """Half of the results are answers of presets, for few inputs: their leases are taken and ended by many."""
        if dice.random() < 0.5:
            return self._call("chat_finish", {"entry": entry})
        lookup: dict[str, Any] = {"user_id": person.id, "preset": "chaos"}
        lookup |= {"turn_id": str(uuid.UUID(int=dice.getrandbits(128)))}
        lookup |= {"input_hash": f"chaos {self._seed} {dice.randrange(3)}", "is_public": True, "model": self._model}
        lookup |= {"context_tokens": 10, "mode": dice.choice(("default", "fresh")), "prompt_version": "1"}
        found = self._call("find_insights", {"lookups": [lookup]})["results"][lookup["turn_id"]]
        insight: dict[str, Any] = lookup | {
            "holder_id": lookup["turn_id"],
            "output": {},
            "ttl_seconds": dice.choice((0, 1)),
        }
        insight |= {"cache_key": found.get("cache_key"), "fence": found.get("fence")}
        return self._call("finish_insight", {"entry": entry, "insight": insight})

    def _expire(self, turn: dict[str, Any]) -> None:
        with self._connection() as db:
            die(db, turn)

    def _sweep_on(self) -> None:
        while not self._over.wait(0.02):
            self._sweep(50)

    def _drain_on(self) -> None:
        while not self._over.wait(0.1):
            with contextlib.suppress(DatabaseUnavailable):  # its own backend was killed
                drain_at_once(3)

    def _kill(self) -> None:
        """Ends one working backend after the other, as a failing database does."""
        dice = random.Random(self._seed)  # noqa: S311 - dice
        with psycopg.connect(self._stack["DATABASE_URL"], autocommit=True) as db:
            while not self._over.wait(0.05):
                pids = db.execute(
                    "select pid from pg_stat_activity where state = 'active' "
                    "and usename in ('parley_ledger', 'authenticator') and query ~ 'chat_(begin|finish)|_insight'"
                ).fetchall()
                if pids:
                    db.execute("select pg_terminate_backend(%s)", [dice.choice(pids)[0]])
                    self.truth.killed += 1
