"""The default of all users: how LLM_PROVIDER and admins choose it."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest

from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.defaults import Resolve, default_of, kept_default, resolve
from tests.stack.people import Person, Stack, service
from tests.stack.turns import Database

__all__ = ["kept_default", "resolve"]  # fixtures


def _adopt(stack: Stack, provider: str, model: str) -> str:
    answer = service(stack, "POST", "rpc/adopt_default", json={"provider_name": provider, "model_id": model})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["identifier"])


@pytest.mark.usefixtures("kept_default")
def test_the_configured_provider_decides_the_default_of_a_fresh_database(
    stack: Stack, db: Database, resolve: Resolve
) -> None:
    """LLM_PROVIDER's model is found by upstream id or key, else added without a price; it can be changed."""
    assert _adopt(stack, "anthropic", "claude-haiku-4-5-20251001") == "anthropic:claude-haiku-4-5-20251001"
    assert resolve(None)["identifier"] == "anthropic:claude-haiku-4-5-20251001"
    assert _adopt(stack, "anthropic", "claude-sonnet-4-6") == "anthropic:claude-sonnet-4-6"
    assert _adopt(stack, "huggingface", "adopted/Model-1.5") == "huggingface:adopted/Model-1.5"
    row = db.execute("select * from public.llm_models where upstream_id = 'adopted/Model-1.5'").fetchone()
    assert row is not None
    assert (row["model_key"], row["pricing"], row["default_by"]) == ("adopted-model-1-5", None, "settings")
    assert _adopt(stack, "google", "adopted/Model-1.5") == "google:adopted/Model-1.5"
    assert _adopt(stack, "anthropic", "claude-3-7-sonnet") == "google:adopted/Model-1.5"  # retired: not taken


@pytest.mark.usefixtures("kept_default")
def test_an_adopted_model_takes_no_name_that_means_something_else(stack: Stack, db: Database) -> None:
    """A model named like a policy or an agent gets another key, and the changes name it."""
    received = service(
        stack, "POST", "rpc/adopt_default", json={"provider_name": "adopted", "model_id": "technical"}
    ).json()
    try:
        assert (received["identifier"], received["added"]) == ("adopted:technical", 1)
        assert received["changes"][0] == 'added technical-adopted "technical" (unknown)'
    finally:
        db.execute("update public.llm_models set is_default = true where model_key = 'gpt-4o'")
        db.execute("delete from public.llm_models where provider = 'adopted'")


@pytest.mark.usefixtures("kept_default")
def test_a_default_that_a_person_chose_stays(stack: Stack, db: Database) -> None:
    """LLM_PROVIDER does not replace a default that an admin chose."""
    db.execute("update public.llm_models set is_default = true where model_key = 'gpt-4o'")
    assert _adopt(stack, "anthropic", "adopted-never") == "openai:gpt-4o"
    assert db.execute("select from public.llm_models where upstream_id = 'adopted-never'").fetchall() == []
    row = db.execute("select default_by from public.llm_models where is_default").fetchone()
    assert row == {"default_by": "person"}


def test_a_refresh_adopts_what_the_settings_say(
    stack: Stack, function: Any, db: Database, kept_default: dict[str, Any]
) -> None:
    """A run applies LLM_PROVIDER; a dry run reports it and changes nothing; a wrong value is an error."""
    headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
    before = default_of(db)
    url, _ = function("refresh", LLM_PROVIDER="claude")
    dry = httpx.post(url, json={"dry_run": True}, headers=headers, timeout=60).json()
    assert default_of(db) == before
    received = f"LLM_PROVIDER: the default is now claude-haiku-4-5 instead of {kept_default['model_key']}"
    assert received in dry["changes"]
    assert received in httpx.post(url, headers=headers, timeout=60).json()["changes"]
    assert received not in httpx.post(url, headers=headers, timeout=60).json()["changes"]
    assert default_of(db) == "anthropic:claude-haiku-4-5-20251001"
    url, _ = function("refresh", LLM_PROVIDER="gemni")
    step = httpx.post(url, headers=headers, timeout=60).json()["steps"]["models"]
    assert (step["ok"], step["error"]) == (False, "not_configured")


def test_only_the_service_adopts_a_default(alice: Person) -> None:
    """A user cannot choose the default of all users."""
    answer = alice.rest("POST", "rpc/adopt_default", json={"provider_name": "openai", "model_id": "gpt-4o"})
    assert answer.status_code in {403, 404}


@pytest.mark.usefixtures("kept_default")
def test_the_arms_of_default_serve_when_the_default_is_switched_off(
    db: Database, model: Models, resolve: Resolve
) -> None:
    """A default on an inactive node is skipped; the model name `default` means no preference."""
    down, up = model("echo"), model(named("echo", "openai"), provider="openai")
    db.execute("update public.llm_models set is_default = true where model_key = %s", [down])
    db.execute("insert into public.llm_routes (alias, model_key) values ('default', %s)", [up])
    assert resolve(None)["fallbacks"] == [up]
    assert resolve("default") == resolve(None)
    db.execute("update public.client_nodes set is_active = false where id = %s", [down.split(":")[1]])
    assert resolve(None)["identifier"] == up


@pytest.mark.usefixtures("kept_default")
def test_an_admin_who_confirms_the_default_has_chosen_it(stack: Stack, db: Database) -> None:
    """After an admin sets the seed's default again, LLM_PROVIDER does not replace it."""
    db.execute("update public.llm_models set is_default = true, default_by = 'seed' where model_key = 'gpt-4o'")
    with db.transaction():
        db.execute("set local role authenticated")
        claims = json.dumps({"role": "authenticated", "sub": str(uuid.uuid4()), "app_metadata": {"role": "admin"}})
        db.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        db.execute("select private.pre_request()")
        db.execute("update public.llm_models set is_default = true where model_key = 'gpt-4o'")
    assert _adopt(stack, "google", "gemini-3.8-flash") == "openai:gpt-4o"


@pytest.mark.parametrize(("provider", "model"), [("client", "x"), ("openai", "///"), ("openai", ""), ("Open AI", "x")])
def test_a_default_that_cannot_be_is_refused_in_our_words(stack: Stack, provider: str, model: str) -> None:
    """A wrong value gives Parley's error message, not the name of a constraint."""
    answer = service(stack, "POST", "rpc/adopt_default", json={"provider_name": provider, "model_id": model})
    assert (answer.status_code, json.loads(answer.json()["details"])["code"]) == (422, "validation_failed")
