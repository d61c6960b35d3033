"""The model of a turn that names none: conversation, user, agent and catalogue."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.people import Person
from tests.stack.turns import Database, begin, finish


def test_a_turn_without_a_model_follows_conversation_person_agent_and_catalogue(
    alice: Person, db: Database, model: Models
) -> None:
    """Each level has its own reason; a model that is gone leads to the next level."""
    of = {
        who: model(named("echo", "openai"), provider="openai") for who in ("conversation", "person", "agent", "asked")
    }
    turn = begin(alice, of["asked"], message="hello")
    assert turn["reason"] == "requested"
    finish(alice, turn)
    conversation, wishes = turn["conversation_id"], ["nothing-like-it", of["agent"], of["asked"]]

    def chosen(**fields: Any) -> tuple[str, str]:
        models = {"research": fields.pop("agent_models", wishes), "general": ["gpt-4o"]}
        asked = {"dry_run": True, "conversation_id": conversation, "agent": "research", "agent_models": models}
        plan = begin(alice, **(asked | fields))
        return plan["routes"][0]["identifier"], plan["reason"]

    default = db.execute("select identifier from public.llm_models where is_default").fetchone()
    assert default is not None
    assert chosen(agent_models=[]) == (default["identifier"], "default")
    assert chosen() == (of["agent"], "agent")
    alice.rest("POST", "user_llm_profiles", json={"preferred_model": of["person"]})
    assert chosen() == (of["person"], "profile")
    alice.rest("PATCH", f"llm_conversations?id=eq.{conversation}", json={"default_model": of["conversation"]})
    assert chosen() == (of["conversation"], "conversation_default")
    assert chosen(model=of["asked"]) == (of["asked"], "requested")
    assert chosen(model="default") == (default["identifier"], "default")
    assert chosen(model="nothing") == (default["identifier"], "model_not_found")
    for gone, kept, reason in (("conversation", "person", "profile"), ("person", "agent", "agent")):
        db.execute("update public.llm_models set is_active = false where model_key = %s", [of[gone]])
        assert chosen() == (of[kept], reason)
        assert chosen(strict_model=True) == (of[kept], reason)
    db.execute("update public.llm_models set replaced_by = %s where model_key = %s", [of["asked"], of["person"]])
    assert chosen() == (of["asked"], "model_replaced")
    db.execute("update public.llm_models set replaced_by = null where model_key = %s", [of["person"]])
    assert chosen(agent_models=["nothing"]) == (default["identifier"], "model_not_found")


@pytest.mark.parametrize("odd", [None, {}, "x", 5, [None, 5, {}, []], ["x"] * 10 + ["gpt-4o"]])
def test_odd_wishes_of_an_agent_choose_the_default(alice: Person, odd: Any) -> None:
    """Invalid agent models in a direct call give the default without an error; ten are read at most."""
    assert begin(alice, dry_run=True, agent="general", agent_models={"general": odd})["reason"] == "default"
    assert begin(alice, dry_run=True, agent="general", agent_models=odd)["reason"] == "default"


def test_behind_an_agents_wish_stands_the_default(alice: Person, db: Database, model: Models) -> None:
    """If the provider of the agent's model has no key, the default answers."""
    wish = model(named("echo", "openai"), provider="openai")
    default = db.execute("select identifier from public.llm_models where is_default").fetchone()
    assert default is not None
    plan = begin(alice, dry_run=True, agent="general", agent_models={"general": [wish]})
    assert [route["identifier"] for route in plan["routes"]][:2] == [wish, default["identifier"]]
    assert len(begin(alice, wish, dry_run=True)["routes"]) == 1


@pytest.mark.parametrize(
    ("asked", "preferred", "likely", "speaks"),
    [
        (None, None, "technical", "technical"),
        (None, "research", "technical", "research"),
        (None, "auto", "technical", "technical"),
        ("auto", "research", "technical", "technical"),
        ("general", "research", "technical", "general"),
    ],
)
def test_the_wish_that_counts_is_that_of_the_agent_who_speaks(
    alice: Person, model: Models, asked: str | None, preferred: str | None, likely: str, speaks: str
) -> None:
    """The models are those of the requested agent, else of the preferred one, else of the likely one."""
    of = {name: model(named("echo", "openai"), provider="openai") for name in ("general", "technical", "research")}
    assert alice.rest("POST", "user_llm_profiles", json={"preferred_agent": preferred}).status_code == 201
    models = {name: [identifier] for name, identifier in of.items()}
    plan = begin(alice, dry_run=True, agent=likely, asked_agent=asked, agent_models=models)
    assert (plan["routes"][0]["identifier"], plan["reason"]) == (of[speaks], "agent")
    reason = {"general": "requested", "research": "profile", "technical": "question"}[speaks]
    assert (plan["agent"], plan["agent_reason"]) == (speaks, reason)
