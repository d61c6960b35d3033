"""The model of a turn that names none, for each combination of keys."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.providers import Upstream
from tests.fakes.providers.wire import Refusal
from tests.providers import variables
from tests.stack.conftest import running_function
from tests.stack.people import Person, Stack, log_row, new_admin, sign_up
from tests.stack.turns import Database

_OWN = {
    "google": ("GOOGLE_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "huggingface": ("HF_TOKEN",),
    "matcha": ("MATCHA_API_KEY", "MATCHA_BASE_URL", "MATCHA_MISSION_ID"),
}
_SERVED = {
    "google": "google:gemini-2.5-flash-lite",
    "anthropic": "anthropic:claude-haiku-4-5-20251001",
    "openai": "openai:gpt-4o-mini",
    "huggingface": "huggingface:meta-llama/Llama-3.1-8B-Instruct",
    "matcha": "matcha:28",
}
_SEED = {
    "claude-3-7-sonnet": 28,
    "claude-3-5-sonnet": 25,
    "claude-3-opus-4-1": 30,
    "gemini-2-5-flash-lite": 35,
    "gpt-4o": 40,
}
_FIRST = "gemini-2-5-flash-lite"
Start = Callable[..., str]


@pytest.fixture
def fresh(db: Database) -> Iterator[None]:
    """The catalogue as a new hosted project has it, without the laptop's demo model; put back afterwards."""
    db.execute("create table private.kept_models as table public.llm_models")
    db.execute("update public.llm_models set is_default = true, default_by = 'seed' where model_key = %s", [_FIRST])
    db.execute("update public.llm_models set is_active = false where provider = 'client'")
    db.execute("delete from public.llm_models where provider = 'matcha'")
    yield
    with db.transaction():
        db.execute("update public.llm_models set is_default = false where is_default")
        db.execute(
            """update public.llm_models as m set (is_active, is_default, default_by, replaced_by) =
                 (k.is_active, k.is_default, k.default_by, k.replaced_by)
               from private.kept_models as k where k.id = m.id"""
        )
        db.execute("drop table private.kept_models")
        db.execute("delete from public.provider_health")


@pytest.fixture(scope="module")
def start(stack: Stack, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a function with the keys of some providers and other variables, the same one once; gives its URL."""
    given = variables(upstream)
    keys = {name for names in _OWN.values() for name in names}
    urls: dict[tuple[Any, ...], str] = {}
    with contextlib.ExitStack() as running:

        def begin(name: str, *providers: str, **changes: str) -> str:
            known = (name, providers, tuple(changes.items()))
            if known not in urls:
                own = {each for provider in providers for each in _OWN[provider]}
                environ = {each: "" if each in keys - own else value for each, value in given.items()} | changes
                folder = tmp_path_factory.mktemp(name)
                urls[known], _ = running.enter_context(running_function(stack, name, environ, folder))
            return urls[known]

        yield begin


def _route(person: Person, url: str, **fields: Any) -> dict[str, Any]:
    answer = person.ask({"message": "Say yes.", "stream": False} | fields, url)
    assert answer.status_code == 200, answer.text
    route: dict[str, Any] = answer.json()["route"]
    return route


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("provider", list(_OWN))
def test_the_first_turn_is_answered_by_the_only_provider_with_a_key(
    alice: Person, stack: Stack, start: Start, provider: str
) -> None:
    """With one key a new database is enough: chat answers, llms lists the default, /debug reports no fault."""
    chat, llms = start("chat", provider), start("llms", provider)
    route = _route(alice, chat)
    assert (route["identifier"], route["reason"], route["fallbacks"]) == (_SERVED[provider], "default", [])
    listed = httpx.get(llms, headers=alice.headers).json()
    (default,) = [model for model in listed["models"] if model["is_default"]]
    assert (default["identifier"], default["model_key"]) == (_SERVED[provider], listed["defaultModel"])
    assert all(model["is_active"] for model in listed["models"])
    for model in listed["models"]:
        answer = alice.ask({"message": "Hi", "model": model["model_key"], "strict_model": True, "dry_run": True}, chat)
        assert answer.json()["route"]["identifier"] == model["identifier"]
    payload = httpx.get(f"{llms}/debug", headers=new_admin(stack).headers).json()
    checks = {check["check"]: check["verdict"] for check in payload["checks"]}
    assert (payload["ok"], checks["default model"]) == (True, "ok"), payload


@pytest.mark.usefixtures("fresh")
def test_with_matchai_alone_the_five_seed_models_work(alice: Person, start: Start, upstream: Upstream) -> None:
    """Chat calls the platform with their numbers, also for retired models; an unknown name gets number 28."""
    chat, llms = start("chat", "matcha"), start("llms", "matcha")
    for key, number in _SEED.items():
        for asked in (key, f"matcha:{number}", f"matcha:{key}"):
            route = _route(alice, chat, model=asked)
            assert (route["identifier"], route["reason"]) == (f"matcha:{number}", "requested")
            assert upstream.received[-1].body["llm_id"] == number
    listed = httpx.get(llms, headers=alice.headers).json()
    assert {model["model_key"]: model["matcha_llm_id"] for model in listed["models"]} == _SEED
    assert listed["defaultModel"] == "claude-3-7-sonnet"
    assert _route(alice, chat, model="no-such") | {"identifier": "matcha:28", "reason": "model_not_found"} == _route(
        alice, chat, model="no-such"
    )


@pytest.mark.usefixtures("fresh")
def test_what_a_person_switched_off_matchai_does_not_serve(alice: Person, db: Database, start: Start) -> None:
    """A model that an admin deactivated is not called at MatchAI, either."""
    chat = start("chat", "matcha")
    db.execute("update public.llm_models set is_active = false where model_key = 'gpt-4o'")
    assert _route(alice, chat, model="gpt-4o", dry_run=True)["reason"] == "model_not_found"


@pytest.mark.usefixtures("fresh")
def test_once_matchai_has_listed_its_models_only_those_are_served(alice: Person, db: Database, start: Start) -> None:
    """After the platform's list only its numbers exist, and the first one is the default."""
    chat = start("chat", "matcha")
    db.execute(
        """insert into public.llm_models (model_key, model_name, provider, upstream_id, source)
           values ('new-one', 'New', 'matcha', '77', 'sync')"""
    )
    assert _route(alice, chat)["identifier"] == "matcha:77"
    assert _route(alice, chat, model="claude-3-7-sonnet", dry_run=True)["reason"] == "model_not_found"
    db.execute("delete from public.llm_models where provider = 'matcha'")


@pytest.mark.usefixtures("fresh")
def test_a_second_provider_stands_behind_the_default(
    alice: Person, db: Database, start: Start, upstream: Upstream
) -> None:
    """Without rows of llm_routes another provider answers when the default fails; the route has the fallback."""
    chat = start("chat", "google", "anthropic")
    plan = _route(alice, chat, dry_run=True)
    assert (plan["identifier"], plan["fallbacks"]) == (_SERVED["google"], [_SERVED["anthropic"]])
    upstream.plays["gemini-2.5-flash-lite"] = (lambda _: Refusal(503),)
    try:
        answer = alice.ask({"message": "Say yes.", "stream": False}, chat)
    finally:
        del upstream.plays["gemini-2.5-flash-lite"]
    assert (answer.status_code, answer.headers["x-fallbacks"]) == (200, "1")
    assert answer.json()["route"]["identifier"] == _SERVED["anthropic"]
    assert {attempt["provider_key"].partition(":")[0] for attempt in log_row(db, answer.json()["id"])["attempts"]} == {
        "google",
        "anthropic",
    }


@pytest.mark.usefixtures("fresh")
def test_strict_turns_and_an_alias_have_no_other_fallback(alice: Person, db: Database, start: Start) -> None:
    """With `strict_model` there is no fallback; with arms of the alias `default` the arms are the fallbacks."""
    chat = start("chat", "google", "anthropic", "openai")
    assert _route(alice, chat, dry_run=True, strict_model=True)["fallbacks"] == []
    db.execute("insert into public.llm_routes (alias, model_key) values ('default', 'gpt-4o')")
    try:
        assert _route(alice, chat, dry_run=True)["fallbacks"] == ["openai:gpt-4o"]
        # An arm that cannot be called here is no choice.
        other = start("chat", "google", "anthropic")
        assert _route(alice, other, dry_run=True)["fallbacks"] == [_SERVED["anthropic"]]
    finally:
        db.execute("delete from public.llm_routes where alias = 'default'")


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("changes", "served"),
    [
        ({"LLM_PROVIDER": "claude"}, "anthropic:claude-haiku-4-5-20251001"),
        ({"LLM_PROVIDER": "anthropic", "CLAUDE_MODEL": "claude-sonnet-4-6"}, "anthropic:claude-sonnet-4-6"),
        ({"LLM_PROVIDER": "openai"}, "openai:gpt-4o-mini"),
        # Retired: its successor of the same provider.
        ({"LLM_PROVIDER": "claude", "CLAUDE_MODEL": "claude-3-7-sonnet-20250219"}, "anthropic:claude-sonnet-4-6"),
        # Not in the catalogue before a refresh: the provider's first model answers.
        ({"LLM_PROVIDER": "openai", "OPENAI_MODEL": "gpt-9"}, "openai:gpt-4o"),
        # No key: the others answer.
        ({"LLM_PROVIDER": "huggingface"}, "google:gemini-2.5-flash-lite"),
    ],
    ids=str,
)
def test_llm_provider_decides_before_any_refresh(
    alice: Person, start: Start, changes: dict[str, str], served: str
) -> None:
    """LLM_PROVIDER has its effect from the first turn of a deployment."""
    chat = start("chat", "google", "anthropic", "openai", **changes)
    assert _route(alice, chat, dry_run=True)["identifier"] == served


@pytest.mark.usefixtures("fresh")
def test_what_an_admin_made_the_default_goes_before_llm_provider(alice: Person, db: Database, start: Start) -> None:
    """The admin's default is used as long as its provider has a key."""
    db.execute("update public.llm_models set is_default = true, default_by = 'person' where model_key = 'gpt-4o'")
    assert _route(alice, start("chat", "openai", "google", LLM_PROVIDER="gemini"), dry_run=True)["model"] == "gpt-4o"
    assert _route(alice, start("chat", "google"), dry_run=True)["identifier"] == _SERVED["google"]


@pytest.mark.usefixtures("fresh")
def test_words_for_a_model_server_of_ones_own_go_nowhere_else(
    alice: Person, db: Database, start: Start, model: Callable[..., str]
) -> None:
    """A default on a client node has no other provider as a fallback unless an operator adds one."""
    own = model("echo")
    db.execute("update public.llm_models set is_default = true, default_by = 'person' where model_key = %s", [own])
    plan = _route(alice, start("chat", "google"), dry_run=True)
    assert (plan["identifier"], plan["fallbacks"]) == (own, [])


@pytest.mark.usefixtures("fresh")
def test_a_model_whose_provider_has_no_key_is_not_found(alice: Person, start: Start) -> None:
    """The default answers with the reason; with `strict_model` the error says that the key is missing."""
    chat = start("chat", "google")
    for asked in ("gpt-4o", "openai:gpt-4o", "matcha:28"):
        plan = _route(alice, chat, model=asked, dry_run=True)
        assert (plan["identifier"], plan["reason"]) == (_SERVED["google"], "model_not_found")
    body = {"message": "Hi", "model": "gpt-4o", "strict_model": True, "stream": False}
    error = alice.ask(body, chat).json()["error"]
    assert (error["code"], "no key in this deployment" in error["message"]) == ("model_not_found", True)


@pytest.mark.usefixtures("fresh")
def test_a_retired_seed_model_is_its_successor_without_matchai(alice: Person, start: Start) -> None:
    """With its own provider's key only, the successor answers."""
    plan = _route(alice, start("chat", "anthropic"), model="claude-3-7-sonnet", dry_run=True)
    assert (plan["identifier"], plan["reason"]) == ("anthropic:claude-sonnet-4-6", "model_replaced")


@pytest.mark.usefixtures("fresh")
def test_without_any_provider_a_turn_says_what_to_set(stack: Stack, start: Start) -> None:
    """The error is 503 with the variables to set; nothing is stored, and /debug names the same variables."""
    person = sign_up(stack)
    answer = person.ask({"message": "Hi", "stream": False}, start("chat"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_default_model")
    for name in ("GOOGLE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "MATCHA_MISSION_ID"):
        assert name in answer.json()["error"]["message"]
    assert person.rows("llm_conversations") == []
    payload = httpx.get(f"{start('llms')}/debug", headers=new_admin(stack).headers).json()
    (check,) = [check for check in payload["checks"] if check["check"] == "default model"]
    assert (payload["ok"], check["verdict"], "GOOGLE_API_KEY" in check["fix"]) == (False, "broken", True)
