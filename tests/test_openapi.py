"""The OpenAPI documents describe what the functions do."""

from __future__ import annotations

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
    """Requests, successes and errors list their headers; a completion has provider_refused as 422."""
    paths = documents()["chat"]["paths"]
    turn, completion = paths["/"]["post"], paths["/v1/chat/completions"]["post"]
    assert [(each["name"], each["in"]) for each in turn["parameters"]] == [("Idempotency-Key", "header")]
    assert "x-vercel-ai-ui-message-stream" in turn["responses"]["200"]["headers"]
    for operation in (turn, completion):
        assert "too_many_turns" in operation["responses"]["429"]["description"]
        assert set(operation["responses"]["429"]["headers"]) == {"Retry-After", "x-should-retry"}
    assert "provider_refused" not in turn["responses"]["422"]["description"]
    assert "provider_refused" in completion["responses"]["422"]["description"]
    assert "stream" in paths["/chat/stream"]["post"]["responses"]["200"]["description"]
