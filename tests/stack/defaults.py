"""The default model in tests: the route of a request, and the default as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.stack.people import Person
from tests.stack.turns import Database

Resolve = Callable[..., dict[str, Any]]


@pytest.fixture
def resolve(alice: Person, chat_url: str) -> Resolve:
    """The route that a chat with every provider's key plans for a model's name, or the error."""

    def resolved(model: str | None, **fields: Any) -> dict[str, Any]:
        answer = alice.ask({"message": "hi", "model": model, "dry_run": True} | fields, chat_url).json()
        found: dict[str, Any] = answer.get("route", answer)
        return found

    return resolved


def default_of(db: Database) -> str:
    row = db.execute("select identifier from public.llm_models where is_default").fetchone()
    assert row is not None
    return str(row["identifier"])


@pytest.fixture
def kept_default(db: Database) -> Any:
    """The default as it was, afterwards."""
    before = db.execute("select model_key, default_by from public.llm_models where is_default").fetchone()
    assert before is not None
    yield before
    db.execute(
        "update public.llm_models set is_default = true, default_by = %s where model_key = %s",
        [before["default_by"], before["model_key"]],
    )
    db.execute("delete from public.llm_models where upstream_id like 'adopted%%'")
