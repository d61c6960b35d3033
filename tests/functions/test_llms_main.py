"""llms over HTTP, with a scripted database."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from functions.llms.main import ROUTES
from shared import auth, catalogue, supabase
from shared.endpoint import respond
from tests.asgi import Caller, call
from tests.fakes.supabase import Project

pytestmark = pytest.mark.anyio
BUNDLED: list[dict[str, Any]] = json.loads(Path(catalogue.__file__).with_name("bundled.json").read_text())
NEWER = [BUNDLED[1] | {"created_at": "2026-11-21T00:00:00+00:00", "last_synced_at": "2026-11-21T05:00:00+00:00"}]
MODELS = "/rest/v1/rpc/model_menu"


@pytest.fixture(autouse=True)
def _new_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that has seen no list and no token yet."""
    monkeypatch.setattr(catalogue, "catalogue_cache", catalogue.CatalogueCache())
    monkeypatch.setattr(catalogue, "_FRESH_SECONDS", 0.0)
    monkeypatch.setattr(auth, "verifier", auth.Verifier())


async def _ask(project: Project, path: str = "/", **headers: str) -> Caller:
    sent = {"Authorization": f"Bearer {project.token()}"} | {n.replace("_", "-"): v for n, v in headers.items()}
    return await call(lambda request: respond(request, ROUTES), "GET", path, sent)


@pytest.mark.parametrize("path", ["/", "/llms", "/api/llms", "/ai/models"])
async def test_the_list_is_read_as_the_person(project: Project, path: str) -> None:
    """Every path returns the rows that the database shows to the user."""
    project.answers[MODELS] = (200, NEWER)
    got = await _ask(project, path)
    assert got.json()["models"] == [BUNDLED[1]]
    assert (got.json()["count"], got.json()["lastSynced"]) == (1, "2026-11-21T05:00:00+00:00")
    assert project.asked[0].headers["authorization"].startswith("Bearer ey")
    assert got.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
async def test_a_list_that_is_known_already_is_not_sent_again(project: Project, form: str) -> None:
    """The list's ETag gives 304 in every form that HTTP allows; another gives the list."""
    project.answers[MODELS] = (200, NEWER)
    tag = (await _ask(project)).headers["etag"]
    again = await _ask(project, if_none_match=form.format(tag))
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    project.answers[MODELS] = (200, BUNDLED)
    if form != "*":
        assert (await _ask(project, if_none_match=form.format(tag))).status == 200


async def test_tags_may_come_in_several_headers(project: Project) -> None:
    """Several If-None-Match headers are one list."""
    project.answers[MODELS] = (200, NEWER)
    tag = (await _ask(project)).headers["etag"]
    sent = [("Authorization", f"Bearer {project.token()}"), ("If-None-Match", '"other"'), ("If-None-Match", tag)]
    again = await call(lambda request: respond(request, ROUTES), "GET", "/", sent)
    assert again.status == 304


async def test_a_database_that_is_down_makes_the_list_stale(project: Project) -> None:
    """A new instance has the shipped list, an older one its last list."""
    project.answers[MODELS] = (503, "down")
    first = (await _ask(project)).json()
    assert (first["stale"], first["models"]) == (True, BUNDLED)
    project.answers[MODELS] = (200, NEWER)
    assert "stale" not in (await _ask(project)).json()
    project.answers[MODELS] = (503, "down")
    last = (await _ask(project)).json()
    assert (last["stale"], last["models"]) == (True, [BUNDLED[1]])


async def test_a_token_the_database_refuses_is_a_401(project: Project) -> None:
    """It is not answered with a stale list."""
    project.answers[MODELS] = (401, {"message": "JWT expired"})
    assert (await _ask(project)).status == 401


async def test_a_list_needs_a_token(project: Project) -> None:
    """Without an access token the response is 401."""
    for path in ("/", "/v1/models", "/v1/models/gpt-4o"):
        assert (await _ask(project, path, Authorization="")).status == 401
    assert project.asked == []


@pytest.mark.parametrize("name", ["openai:gpt-4o", "gpt-4o"])
async def test_one_model_is_found_by_identifier_or_key(project: Project, name: str) -> None:
    """GET /v1/models/{id} returns the model with its identifier as id."""
    project.answers[MODELS] = (200, NEWER)
    assert (await _ask(project, f"/v1/models/{name}")).json()["id"] == "openai:gpt-4o"
    listed = (await _ask(project, "/v1/models")).json()
    assert (listed["object"], [model["id"] for model in listed["data"]]) == ("list", ["openai:gpt-4o"])


@pytest.mark.parametrize("name", ["nobody", "openai:gpt-4", "huggingface:meta-llama/Llama-3.1-8B"])
async def test_a_model_that_is_not_there_is_a_404(project: Project, name: str) -> None:
    """The error names the parameter `model`."""
    project.answers[MODELS] = (200, NEWER)
    got = await _ask(project, f"/v1/models/{name}")
    assert (got.status, got.json()["error"]["code"], got.json()["error"]["param"]) == (404, "model_not_found", "model")


async def test_a_moment_after_it_was_read_the_list_comes_from_memory(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many requests at once cost the database one query, and all get the same list."""
    monkeypatch.setattr(catalogue, "_FRESH_SECONDS", 60.0)
    project.answers[MODELS] = (200, NEWER)
    first, *others = await asyncio.gather(*(_ask(project) for _ in range(20)))
    assert all(other.body == first.body for other in others)
    assert len(project.asked_of("model_menu")) == 1


async def test_while_one_reads_the_others_have_the_list_they_had(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one request reads a slow database, the others get the cached list."""
    project.answers[MODELS] = (200, NEWER)
    await _ask(project)
    reading, release = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any, **__: Any) -> Any:
        reading.set()
        await release.wait()
        return BUNDLED

    monkeypatch.setattr(supabase, "rpc", slow)
    reader = asyncio.create_task(_ask(project))
    await reading.wait()
    assert (await _ask(project)).json()["models"] == [BUNDLED[1]]
    release.set()
    assert (await reader).json()["models"] == BUNDLED
