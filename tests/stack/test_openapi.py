"""schemathesis sends generated requests and compares the responses with the served documents."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from functions.assist.presets import OFFERS
from tests.fakes.providers import Upstream
from tests.stack.assists import INSIGHT, plays, says
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, new_admin
from tests.stack.turns import Database

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # whatever its own dependencies have to say
    import schemathesis
    from schemathesis import Case, GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_EXAMPLES = 20
_EVERY_FIELD = {
    **INSIGHT,
    "subtasks": [],
    "estimated_minutes": {"low": 1, "likely": 2, "high": 3},
    "priority": {"level": "low", "reason": "None."},
    "labels": [],
    "summary": "None.",
    "preparation": [],
    "tasks": [],
    "formatting": [],
    "tags": [],
}


@pytest.fixture
def scripted_default(db: Database, model: Models) -> Iterator[str]:
    """Turns that name no model that exists are answered by the scripted one."""
    before = db.execute("select id, default_by from public.llm_models where is_default").fetchone()
    identifier = model("echo")
    db.execute("update public.llm_models set is_default = false where is_default")
    db.execute("update public.llm_models set is_default = true where identifier = %s", [identifier])
    yield identifier
    db.execute("update public.llm_models set is_default = false where is_default")
    if before:
        db.execute(
            "update public.llm_models set is_default = true, default_by = %s where id = %s",
            [before["default_by"], before["id"]],
        )


def _ask_everything(url: str, token: str, skip: frozenset[str] = frozenset()) -> int:
    """The number of requests; every answer fits the document, and none is a 500."""
    schema = schemathesis.openapi.from_dict(httpx.get(f"{url}/openapi.json").json())
    asked = 0
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # an error in the document fails here
        if f"{operation.method.upper()} {operation.path}" in skip:
            continue
        modes = [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if operation.body else [])]
        for mode in modes:
            asked += _ask(operation, mode, url, token)
    return asked


def _ask(operation: Any, mode: GenerationMode, url: str, token: str) -> int:
    asked = 0

    @seed(20261121)
    @settings(
        max_examples=_EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        nonlocal asked
        asked += 1
        case.call_and_validate(url, headers={"Authorization": f"Bearer {token}"}, checks=_CHECKS, timeout=30)

    ask()
    return asked


@pytest.mark.usefixtures("scripted_default")
def test_chat_answers_only_as_its_document_says(stack: Stack, alice: Person, db: Database) -> None:
    """Every response to generated requests has a documented status, type and schema."""
    db.execute("insert into public.usage_limits (scope, daily_requests) values (%s, 1000)", [alice.id])
    assert _ask_everything(stack["CHAT_URL"], alice.token) > 20


def test_llms_answers_only_as_its_document_says(stack: Stack) -> None:
    """The same holds for the routes of admins."""
    assert _ask_everything(stack["LLMS_URL"], new_admin(stack).token) > 10


def test_assist_answers_only_as_its_document_says(
    stack: Stack, alice: Person, db: Database, scripted_default: str, upstream: Upstream
) -> None:
    """The same holds for presets, whose model gives the fields of all outputs at once."""
    plays(upstream, scripted_default, says(_EVERY_FIELD))
    db.execute("insert into public.usage_limits (scope, daily_requests) values (%s, 1000)", [alice.id])
    aliases = frozenset(f"POST /ai{path}" for offer in OFFERS.values() for path in offer.paths)
    assert _ask_everything(stack["ASSIST_URL"], alice.token, aliases) > 20


def test_refresh_answers_only_as_its_document_says(stack: Stack) -> None:
    """The steps run, and invalid bodies are refused."""
    aliases = frozenset(f"{method} {path}" for path in ("/refresh", "/api/llms/refresh") for method in ("GET", "POST"))
    assert _ask_everything(stack["REFRESH_URL"], stack["CRON_SECRET"], aliases) > 10
