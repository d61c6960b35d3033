"""No user changes what another user gets in the next minute, whatever they send."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.providers import named
from tests.stack.people import Person, Stack, sign_up
from tests.stack.provocations import WAYS, Trial
from tests.stack.turns import Database

_CAPABILITIES = {
    "context_window": 100_000,
    "max_output_tokens": 1000,
    **dict.fromkeys(("supports_tools", "supports_json", "supports_vision"), True),
}


@dataclass(frozen=True)
class Neighbour:
    """A user who asks the same question again and again, and what they got before anything happened."""

    person: Person
    chat_url: str
    llms_url: str
    model: str
    conversation: str
    turn: str
    key: str

    def gets(self) -> dict[str, Any]:
        """An answer in their conversation and a completion, the models, and what their history and limits are."""
        answer = self.person.ask(
            {"message": "one two three", "stream": False, "model": self.model, "conversation_id": self.conversation},
            self.chat_url,
        )
        body = {"model": self.model, "messages": [{"role": "user", "content": "one two three"}]}
        completion = self.person.ask(body, f"{self.chat_url}/v1/chat/completions")
        models = httpx.get(self.llms_url, headers=self.person.headers, timeout=20)
        counter = self.person.rows("usage_counters?period=eq.day")[0]
        got = answer.json()
        return {
            "statuses": (answer.status_code, completion.status_code, models.status_code),
            "texts": (got["message"]["content"] if "message" in got else got, completion.json().get("choices")),
            "routes": [(each.headers.get("x-model"), each.headers.get("x-fallbacks")) for each in (answer, completion)],
            "models": models.json(),
            "limits": {name: value for name, value in counter.items() if name.startswith("reserved")},
            "title": self.person.rows(f"llm_conversations?id=eq.{self.conversation}&select=title"),
            "members": len(self.person.rows(f"conversation_members?conversation_id=eq.{self.conversation}")),
        }


@pytest.fixture(scope="module")
def neighbour(stack: Stack, db: Database, chat_url: str, llms_url: str) -> Iterator[tuple[Neighbour, dict[str, Any]]]:
    """The neighbour with what they got; their model does what a question says."""
    name = named("obedient", "openai")
    db.execute(
        """insert into public.llm_models
             (model_key, model_name, provider, upstream_id, capabilities, pricing, display_order)
           values (%s, %s, 'openai', %s, %s, '{"input": 1, "output": 2}', 900)""",
        [f"openai:{name}", name, name, json.dumps(_CAPABILITIES)],
    )
    person, key = sign_up(stack), secrets.token_hex(8)
    body = {"message": "one two three", "stream": False, "model": f"openai:{name}"}
    first = person.ask(body, chat_url, **{"Idempotency-Key": key}).json()
    made = Neighbour(person, chat_url, llms_url, f"openai:{name}", first["conversation_id"], first["id"], key)
    yield made, made.gets()
    db.execute("delete from public.llm_models where model_name = %s", [name])
    db.execute("delete from public.provider_health")


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_no_user_changes_what_another_user_gets(
    way: Callable[[Trial], None], neighbour: tuple[Neighbour, dict[str, Any]], alice: Person, db: Database
) -> None:
    """While one user's connections are still open, another gets the same answers, models and limits as before."""
    other, before = neighbour
    db.execute("delete from public.provider_health")  # the users of two tests together may open a circuit
    with ExitStack() as connections:
        known = (other.model, other.conversation, other.turn, other.key)
        way(Trial(alice, other.chat_url, other.llms_url, *known, connections))
        assert other.gets() == before
