"""The OpenAPI documents describe what the functions do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.routing import Route

from functions.assist.main import ROUTES as ASSIST
from functions.chat.main import ROUTES as CHAT
from functions.llms.main import ROUTES as LLMS
from functions.refresh.main import ROUTES as REFRESH
from shared.endpoint import document_path, respond
from shared.errors import BY_CODE
from tests.asgi import call
from tools.openapi import documents, text_of

_ROUTES: dict[str, list[Route]] = {"chat": CHAT, "llms": LLMS, "refresh": REFRESH, "assist": ASSIST}


@pytest.mark.parametrize("name", sorted(_ROUTES))
def test_the_checked_in_document_is_current(name: str) -> None:
    """The file equals what is generated from routes and models; `make docs` writes it."""
    assert document_path(name).read_text() == text_of(documents()[name])


@pytest.mark.anyio
@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize("name", sorted(_ROUTES))
async def test_a_function_serves_the_checked_in_document(name: str) -> None:
    """`GET /openapi.json` returns the file as JSON."""
    got = await call(lambda request: respond(request, _ROUTES[name]), "GET", "/openapi.json")
    assert (got.status, got.headers["content-type"]) == (200, "application/json")
    assert got.body == document_path(name).read_bytes()


@pytest.mark.parametrize("name", sorted(_ROUTES))
def test_every_route_is_described_and_nothing_else(name: str) -> None:
    """Paths and methods equal those of the route table."""
    described = {(path, method.upper()) for path, item in documents()[name]["paths"].items() for method in item}
    routed = {
        (route.path.replace(":path}", "}"), method)
        for route in _ROUTES[name]
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == routed


def test_operation_ids_are_unique_and_errors_have_codes() -> None:
    """Operation ids name generated functions; each error status lists all its codes."""
    document = documents()["chat"]
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    failures = document["paths"]["/"]["post"]["responses"]
    assert {"401", "402", "404", "409", "413", "415", "422", "429", "502", "503", "504"} <= set(failures)
    codes = {code for response in failures.values() for code in response["description"].split("`")[1::2]}
    assert codes - {"stream", "false"} <= set(BY_CODE)


def test_headers_are_described() -> None:
    """Requests, successes and errors list their headers; a completion has OpenAI's statuses."""
    paths = documents()["chat"]["paths"]
    turn, completion = paths["/"]["post"], paths["/v1/chat/completions"]["post"]
    assert [(each["name"], each["in"]) for each in turn["parameters"]] == [("Idempotency-Key", "header")]
    assert "x-vercel-ai-ui-message-stream" in turn["responses"]["200"]["headers"]
    assert "too_many_turns" in turn["responses"]["429"]["description"]
    for operation in (turn, completion):
        assert set(operation["responses"]["429"]["headers"]) == {"Retry-After", "x-should-retry"}
    assert "provider_refused" not in turn["responses"]["422"]["description"]
    assert "422" not in completion["responses"]
    assert {"provider_refused", "context_length_exceeded"} <= set(
        completion["responses"]["400"]["description"].split("`")
    )
    assert "stream" in paths["/chat/stream"]["post"]["responses"]["200"]["description"]


def _schemas(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of the document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _schemas(each)


@pytest.mark.parametrize("name", sorted(_ROUTES))
def test_generators_can_read_it(name: str) -> None:
    """No default, no `oneOf` without types, no mixture of a boolean and words, and operation ids that are names."""
    document = documents()[name]
    for schema in _schemas(document):
        assert "default" not in schema or isinstance(schema["default"], dict), schema
        assert all("type" in each or "$ref" in each for each in schema.get("oneOf", ())), schema
        kinds = [each for each in schema.get("anyOf", ()) if isinstance(each, dict)]
        is_mixed = any(each.get("type") == "boolean" for each in kinds) and any("const" in each for each in kinds)
        assert not is_mixed, schema
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert all(each.isidentifier() for each in ids)


def test_operations_have_the_names_of_what_they_do() -> None:
    """The first route of an operation has its name, an alias has its path as well."""
    paths = documents()["chat"]["paths"]
    assert paths["/"]["post"]["operationId"] == "create_turn"
    assert paths["/ai/chat"]["post"]["operationId"] == "create_turn_by_post_ai_chat"
    assert paths["/v1/chat/completions"]["post"]["operationId"] == "create_completion"
