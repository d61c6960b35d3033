"""A client node's models, listed and stored."""

from __future__ import annotations

import json

import pytest

from shared import nodes
from shared.errors import NodeFailed
from shared.messages import Node
from shared.providers import ListedModel
from tests.fakes.openai import OpenAiHost
from tests.fakes.supabase import Project

pytestmark = pytest.mark.anyio
STORE = "/rest/v1/rpc/store_node_models"


async def test_the_first_three_hundred_models_are_listed_each_once(project: Project, host: OpenAiHost) -> None:
    """A list that is long and repeats ids gives its first 300 ids, in the node's order."""
    host.pieces = [json.dumps({"data": [{"id": f"m{n % 400}"} for n in range(800)]}).encode()]
    listed = await nodes.list_models(Node(7, host.url))
    assert [each.upstream_id for each in listed] == [f"m{n}" for n in range(300)]
    assert project.asked == []


async def test_of_a_repeated_id_the_first_entry_counts() -> None:
    """The second entry changes neither the name nor the order."""
    listed = [ListedModel("a", name="first"), ListedModel("b"), ListedModel("a", name="second")]
    assert [(each.upstream_id, each.name) for each in nodes.first_of_each(listed)] == [("a", "first"), ("b", None)]


async def test_a_node_that_is_too_slow_fails(
    project: Project, host: OpenAiHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that never ends its list raises NodeFailed."""
    monkeypatch.setattr(nodes, "_LIST_SECONDS", 0.3)
    host.pieces, host.ending = [b'{"data": ['], "hold"
    with pytest.raises(NodeFailed):
        await nodes.list_models(Node(7, host.url))
    assert project.asked == []


async def test_models_are_stored_without_prices(project: Project) -> None:
    """The service stores id, name and capabilities, and returns the stored row."""
    project.answers[STORE] = (200, {"id": 7, "models": [], "last_seen_at": "now"})
    stored = await nodes.store_models(Node(7, "http://x"), [ListedModel("m", pricing={"input": 0})])
    assert stored == {"id": 7, "models": [], "last_seen_at": "now"}
    assert project.asked_of("store_node_models") == [
        {"node_id": 7, "models": [{"id": "m", "name": None, "capabilities": {}}]}
    ]
    assert project.asked[0].headers["apikey"] == "sb_secret_x"
