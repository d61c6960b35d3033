"""llms over real HTTP against the running stack."""

from __future__ import annotations

from typing import Any

import httpx
import jwt

from tests.stack.conftest import Models
from tests.stack.people import Person, eventually

DEMO = "client:1:smollm2-135m-instruct"


def test_the_list_is_the_active_models_by_display_order(alice: Person) -> None:
    """A signed-in user gets the active models in order, the default's key, and a count."""
    answer = _get(alice, "/").json()
    orders = [model["display_order"] for model in answer["models"]]
    assert answer["count"] == len(answer["models"])
    assert orders == sorted(orders)
    assert all(model["is_active"] for model in answer["models"])
    assert answer["defaultModel"] == DEMO
    demo = next(model for model in answer["models"] if model["model_key"] == DEMO)
    (node,) = alice.rows("client_nodes?id=eq.1")
    assert (node["name"], demo["model_name"]) == ("this machine", "demo (offline)")  # labels have both
    assert "stale" not in answer


def test_a_list_that_has_not_changed_is_304(alice: Person, model: Models) -> None:
    """The entity tag of a list answers 304 until the list changes."""
    tag = _get(alice, "/").headers["etag"]
    assert _get(alice, "/", {"If-None-Match": tag}).status_code == 304
    model("echo")
    assert eventually(lambda: _get(alice, "/", {"If-None-Match": tag}).status_code == 200)


def test_the_seeds_paths_are_aliases(alice: Person) -> None:
    """Frontends written for the older paths get the same list."""
    lists = [_get(alice, path).json() for path in ("/", "/llms", "/api/llms", "/ai/models")]
    assert all(each == lists[0] for each in lists)


def test_open_ais_shape_lists_identifiers_and_finds_one(alice: Person) -> None:
    """GET /v1/models has OpenAI's format, and a model is found by its identifier, colons included."""
    listed = _get(alice, "/v1/models").json()
    assert listed["object"] == "list"
    assert DEMO in [model["id"] for model in listed["data"]]
    one = _get(alice, f"/v1/models/{DEMO}").json()
    assert one["pricing"] == {"prompt": "0", "completion": "0"}
    missing = _get(alice, "/v1/models/no:such/model")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


def test_with_the_database_down_the_shipped_list_is_served_as_stale(alice: Person, function: Any) -> None:
    """An instance that never reached the database serves the shipped list with stale: true."""
    nowhere = "http://127.0.0.1:9"
    url, _ = function("llms", SUPABASE_URL=nowhere, SUPABASE_JWT_SECRET="x" * 40)
    claims = jwt.decode(alice.token, options={"verify_signature": False}) | {"iss": f"{nowhere}/auth/v1"}
    token = jwt.encode(claims, "x" * 40, "HS256")
    answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}).json()
    assert answer["stale"] is True
    assert answer["count"] == len(answer["models"]) > 0


def _get(person: Person, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.get(person.stack["LLMS_URL"] + path, headers=person.headers | (headers or {}))
