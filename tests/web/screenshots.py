"""`python -m tests.web.screenshots`: makes the pictures of README.md from the running product."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg

from tests.stack_process import printed
from tests.web.scene import WEB, Scene, missing, page_scene, playwright

_DAYS: Final = 120
_PEOPLE: Final = 7
_MODELS: Final = (
    # identifier, provider, US dollars for a million tokens, share of the turns, milliseconds to the first word
    ("google:gemini-2.5-flash-lite", "google", (0.1, 0.4), 8, 420),
    ("openai:gpt-4o", "openai", (2.5, 10), 4, 610),
    ("anthropic:claude-haiku-4-5-20251001", "anthropic", (1, 5), 3, 540),
    ("anthropic:claude-sonnet-4-6", "anthropic", (3, 15), 2, 820),
)


def main() -> int:
    """The exit code of Playwright; 1 with the reason where the page cannot be opened."""
    if reason := missing():
        print(reason, file=sys.stderr)  # noqa: T201 - a command of the terminal
        return 1
    with page_scene() as scene:
        scene.upstream.plays["gpt-4o"] = scene.upstream.plays["rich"]
        _add_history(scene)
        command = playwright("test", "--config", "screenshots.config.ts")
        return subprocess.run(command, cwd=WEB, env=scene.environ, check=False).returncode


def _add_history(scene: Scene) -> None:
    """Adds turns of some months, so that the charts show more than one day."""
    chance = random.Random(20261128)  # noqa: S311 - the same pictures each time
    data = str(scene.stack.data)
    for number in range(_PEOPLE):
        printed("token", f"person-{number}@parley.local", "--data", data)  # creates the account
    with psycopg.connect(scene.stack.values["DATABASE_URL"]) as db:
        people = [row[0] for row in db.execute("select id from auth.users where email like 'person-%@parley.local'")]
        rows = [_turn(chance, people, day) for day in range(1, _DAYS) for _ in range(_turns_on(chance, day))]
        with db.cursor() as cursor:
            cursor.executemany(
                """insert into public.chat_logs
                     (turn_id, user_id, endpoint, status, error_code, agent_type, provider, model, model_identifier,
                      input_tokens, output_tokens, cost_usd, ttft_ms, duration_ms, usage_source, created_at)
                   values (gen_random_uuid(), %s, %s, %s, %s, %s, %s, split_part(%s, ':', 2), %s, %s, %s, %s, %s, %s,
                           'provider', %s)""",
                rows,
            )


def _turns_on(chance: random.Random, days_back: int) -> int:
    is_weekend = (datetime.now(UTC) - timedelta(days=days_back)).weekday() >= 5
    return chance.randint(2, 6) if is_weekend else chance.randint(12, 30) + (_DAYS - days_back) // 8


def _turn(chance: random.Random, people: list[object], days_back: int) -> tuple[object, ...]:
    identifier, provider, (price_in, price_out), _, first_ms = chance.choices(_MODELS, [each[3] for each in _MODELS])[0]
    asked, answered = chance.randint(300, 9000), chance.randint(80, 1800)
    has_failed = chance.random() < 0.015
    started = datetime.now(UTC) - timedelta(days=days_back, minutes=chance.randint(0, 600))
    first = int(first_ms * chance.uniform(0.7, 1.6))
    return (
        chance.choice(people),
        chance.choice(("chat", "chat", "chat", "chat.completions")),
        "failed" if has_failed else "completed",
        "provider_timeout" if has_failed else None,
        chance.choice(("general", "general", "technical", "research")),
        provider,
        identifier,
        identifier,
        asked,
        answered,
        (asked * price_in + answered * price_out) / 1e6,
        first,
        first + answered * 9,
        started,
    )


if __name__ == "__main__":
    sys.exit(main())
