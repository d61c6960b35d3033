"""The OpenAPI documents say what the functions do."""

from __future__ import annotations

import pytest
from starlette.routing import Route

from functions.chat.main import ROUTES as CHAT
from functions.llms.main import ROUTES as LLMS
from functions.refresh.main import ROUTES as REFRESH
from shared.errors import BY_CODE
from tools.openapi import documents

_ROUTES: dict[str, list[Route]] = {"chat": CHAT, "llms": LLMS, "refresh": REFRESH}


@pytest.mark.parametrize("name", sorted(_ROUTES))
def test_every_route_is_described_and_nothing_else(name: str) -> None:
    """Paths and methods are the route table's."""
    described = {(path, method.upper()) for path, item in documents()[name]["paths"].items() for method in item}
    routed = {
        (route.path.replace(":path}", "}"), method)
        for route in _ROUTES[name]
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == routed


def test_operations_have_names_of_their_own_and_refusals_their_codes() -> None:
    """Tools name functions after operation ids; a status lists every code that stands behind it."""
    told = documents()["chat"]
    operations = [operation for item in told["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    refused = told["paths"]["/"]["post"]["responses"]
    assert {"401", "402", "404", "409", "413", "415", "422", "429", "502", "503", "504"} <= set(refused)
    codes = {code for answer in refused.values() for code in answer["description"].split("`")[1::2]}
    assert codes - {"stream", "false"} <= set(BY_CODE)


def test_what_stands_in_headers_is_told() -> None:
    """Of requests, answers and refusals; and under which status a completion's provider refuses."""
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
