"""Many concurrent clients over real HTTP, with a real model server."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg

from tests.fakes.providers import Upstream
from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, eventually, sign_up
from tests.stack.regenerations import join
from tests.stack.turns import Database, asked, finish_with_retry


def test_two_hundred_turns_with_fifty_left_are_fifty_calls_of_the_model(
    alice: Person, model: Models, db: Database, upstream: Upstream
) -> None:
    """The cap holds exactly; a refused client learns the limit, its reset time, and that it must not retry before."""
    db.execute("insert into public.usage_limits (scope, daily_requests) values (%s, 50)", [alice.id])
    name = named("echo", "client")
    body = {"message": "hello", "model": model(name), "stream": False}
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: alice.ask(body), range(200)))
    assert sorted(answer.status_code for answer in answers) == [200] * 50 + [429] * 150
    assert len(upstream.calls_of(name)) == 50
    refused = next(answer for answer in answers if answer.status_code == 429)
    error = refused.json()["error"]
    assert (error["code"], error["metadata"]["limit"], error["metadata"]["used"]) == ("quota_exceeded", 50, 50)
    assert error["metadata"]["resets_at"]
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["x-should-retry"] == "false"
    assert (refused.headers["x-ratelimit-limit-requests"], refused.headers["x-ratelimit-remaining-requests"]) == (
        "50",
        "0",
    )
    assert len(alice.rows("chat_logs")) == 50


def test_thirty_requests_with_one_key_are_one_call_of_the_model(
    alice: Person, model: Models, upstream: Upstream
) -> None:
    """One request answers, the others are in progress or get its answer, and one turn is counted and paid."""
    name = named("slow", "client")
    body = {"message": "hello", "model": model(name), "stream": False}
    with ThreadPoolExecutor(30) as pool:
        asking = [pool.submit(alice.ask, body, None, **{"Idempotency-Key": "one"}) for _ in range(30)]
        assert upstream.until_called(name)
        eventually(lambda: sum(each.done() for each in asking) >= 27)
        upstream.release()
        answers = [each.result() for each in asking]
    good = [answer for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert {answer.json()["message"]["content"] for answer in good} == {"one two three"}
    assert sum("idempotent-replayed" not in answer.headers for answer in good) == 1
    assert len(upstream.calls_of(name)) == 1
    (row,) = alice.rows("chat_logs")
    assert row["status"] == "completed"
    assert alice.rows("usage_counters?period=eq.day")[0]["requests"] == 1
    again = alice.ask(body | {"stream": True}, None, **{"Idempotency-Key": "one"})
    assert again.status_code == 422  # another body
    replayed = alice.ask(body, None, **{"Idempotency-Key": "one"})
    assert (replayed.status_code, replayed.headers["idempotent-replayed"]) == (200, "true")


def test_a_used_up_budget_is_refused_with_what_is_left(alice: Person, model: Models, db: Database) -> None:
    """A 402 has the period and what is spent, reserved and needed; a header has the remaining budget."""
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, 0.001)", [alice.id])
    refused = alice.ask({"message": "hello", "model": model("echo"), "stream": False})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["metadata"]["period"]) == (402, "budget_exceeded", "day")
    assert error["metadata"]["needed_usd"] > error["metadata"]["limit_usd"] == 0.001
    assert refused.headers["x-budget-remaining-usd"] == "0.001000000"


class _Group:
    """Users who act at once in one conversation. `is_busy` is set when some turns have been answered."""

    def __init__(self, stack: Stack, model: str, conversation: str) -> None:
        self._stack, self._model, self._conversation = stack, model, conversation
        self._statuses: list[int] = []
        self.failures: list[str] = []  # with their SQLSTATE
        self.is_busy = threading.Event()

    def ask(self, person: Person) -> int:
        """The status of a turn, which is finished."""
        worker = str(uuid.uuid4())
        response = asked(person, self._model, conversation_id=self._conversation, worker_id=worker)
        if response.status_code == 200:
            turn = response.json() | {"worker_id": worker, "model": self._model}
            assert finish_with_retry(person, turn)["outcome"] == "settled"
        return self._noted(response)

    def post(self, person: Person) -> int:
        """The status of a message without a turn."""
        row = {"conversation_id": self._conversation, "content": "z"}
        return self._noted(person.rest("POST", "messages", json=row))

    def delete(self, person: Person) -> int:
        """Deletes the account once the conversation is busy."""
        assert self.is_busy.wait(30)
        with psycopg.connect(self._stack["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("delete from auth.users where id = %s", [person.id])
        return 204

    def _noted(self, response: httpx.Response) -> int:
        if response.status_code >= 500:
            self.failures.append(response.text)
        self._statuses.append(response.status_code)
        if len(self._statuses) >= 20 and 200 in self._statuses:
            self.is_busy.set()
        return response.status_code


def test_a_crowd_that_asks_posts_and_is_deleted_ends_without_a_deadlock(
    alice: Person, db: Database, model: Models, stack: Stack
) -> None:
    """Concurrent actions in one conversation give only Parley's own answers; afterwards a turn can begin."""
    name = model("echo")
    ours = alice.whole("hello", model=name)["conversation_id"]
    people = [sign_up(stack) for _ in range(6)]
    for person in people:
        join(alice, person, ours)
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    before = db.execute(deadlocks).fetchone()
    group = _Group(stack, name, ours)
    with ThreadPoolExecutor(17) as pool:
        deletions = [pool.submit(group.delete, person) for person in people[:3]]
        acts = [(act, person) for _ in range(8) for person in (alice, *people) for act in (group.ask, group.post)]
        work = [pool.submit(act, person) for act, person in acts]
        statuses = {each.result() for each in (*work, *deletions)}
    assert [each for each in group.failures if "database_busy" not in each] == []
    assert statuses <= {200, 201, 204, 401, 403, 404, 409, 503}  # 503: a slow machine, on which a lock was waited for
    assert eventually(lambda: group.ask(alice) == 200)
    assert db.execute(deadlocks).fetchone() == before
