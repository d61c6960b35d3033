"""The checks: each returns what it saw, or raises FailedError or SkippedError."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx

from deploy.smoke.responses import elapsed_ms, error_of, expect_origin, expect_status, read_receipt, step_error, summary
from deploy.smoke.values import FailedError, SkippedError, SmokeOptions

_MIN_STREAM_MS = 100  # a shorter stream arrives in one piece on every platform
_QUESTION = "Count from one to twenty in words."
_PROBES: Final = {
    "chat": ("POST", "/chat/stream"),
    "llms": ("GET", "/v1/models"),
    "refresh": ("POST", "/refresh"),
    "assist": ("POST", "/tasks/suggest-labels"),
}

Check = Callable[[httpx.Client, SmokeOptions], str]


def function_at(client: httpx.Client) -> str:
    """The name of the function at this URL: its own path requires a sign-in. Raises FailedError when there is none."""
    seen = {}
    for name, (method, path) in _PROBES.items():
        answer = client.request(method, path, json={})
        if answer.status_code == 401 and error_of(answer).get("code") == "invalid_token":
            return name
        seen[f"{method} {path}"] = summary(answer)
    if len(set(seen.values())) == 1:
        seen = {"every path": seen.popitem()[1]}
    answers = "; ".join(f"{path} {text}" for path, text in seen.items())
    raise FailedError(f"no function of Parley answers here: {answers}: check the URL and whether it is deployed")


def check_health(client: httpx.Client, _options: SmokeOptions) -> str:
    """Checks that the function runs and reaches its database."""
    expect_status(client.get("/health"), 200)
    started = time.monotonic()
    expect_status(client.get("/health/ready"), 200)
    return f"the database answers, {elapsed_ms(started)} ms"


def check_request_id(client: httpx.Client, _options: SmokeOptions) -> str:
    """Checks that the platform passes X-Request-Id in both directions."""
    response = client.get("/health", headers={"X-Request-Id": "smoke-1"})
    if response.headers.get_list("x-request-id") != ["smoke-1"]:
        raise FailedError("the response does not repeat the X-Request-Id of the request")
    return "the response repeats it"


def check_cors(client: httpx.Client, options: SmokeOptions) -> str:
    """Checks that pages of the operator's origin, and only those, may read responses."""
    if not options.origin:
        raise SkippedError("no --origin")
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for method, headers in (("OPTIONS", preflight), ("GET", {})):
        expect_origin(client.request(method, "/", headers=options.origin_header() | headers), options)
    stranger = client.options("/", headers={"Origin": "https://stranger.example"} | preflight)
    if "access-control-allow-origin" in stranger.headers:
        raise FailedError("a page of another origin may read answers")
    return "your origin and no other"


def check_strangers(client: httpx.Client, _options: SmokeOptions) -> str:
    """Checks that the function itself rejects a missing and a forged token."""
    name = function_at(client)
    method, path = _PROBES[name]
    for headers in ({}, {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}):
        answer = expect_status(client.request(method, path, json={}, headers=headers), 401)
        if error_of(answer).get("code") != "invalid_token":
            raise FailedError(f"a 401 that is not the function's own: {summary(answer)}")
    return "refused without a token and with a forged one"


def check_stream(client: httpx.Client, options: SmokeOptions) -> str:
    """Runs one streamed turn and checks that it is stored."""
    body = {"message": _QUESTION, "max_tokens": 100} | ({"model": options.model} if options.model else {})
    started, moments, text = time.monotonic(), [], ""
    with client.stream("POST", "/", json=body, headers=options.user_headers()) as response:
        if response.status_code != 200:
            response.read()
        expect_status(response, 200)
        expect_origin(response, options)
        for piece in response.iter_text():
            moments.append(time.monotonic() - started)
            text += piece
    receipt = read_receipt(text)
    if receipt["logged"] is not True:
        raise FailedError(f"the turn is not booked: {receipt['logged']}")
    return f"{check_flow(moments, receipt)}; booked, {receipt['cost_usd']} USD"


def check_flow(moments: Sequence[float], receipt: dict[str, Any]) -> str:
    """A summary of the pieces' arrival. `moments` are seconds since the request; the receipt has the model's own time.

    Raises FailedError when the pieces arrive in less than half of the model's time: the platform buffers them.
    Raises SkippedError when the model is too quick to measure.
    """
    spread = (moments[-1] - moments[0]) * 1000
    detail = f"{len(moments)} pieces over {spread:.0f} ms, the first after {moments[0] * 1000:.0f}"
    stream_ms = receipt["duration_ms"] - (receipt["ttft_ms"] or 0)
    if stream_ms < _MIN_STREAM_MS:
        raise SkippedError(
            f"{detail}; booked, but too quick to measure: the model streamed for {stream_ms} ms, name a slower --model"
        )
    if spread < stream_ms / 2:
        raise FailedError(
            f"{detail}, and the model streamed for {stream_ms} ms: the platform buffers the answer until its end"
        )
    return detail


def check_models(client: httpx.Client, options: SmokeOptions) -> str:
    """Checks that the list is current, is not empty and has a default model."""
    answer = expect_status(client.get("/", headers=options.user_headers()), 200)
    expect_origin(answer, options)
    listed = answer.json()
    if listed.get("stale"):
        raise FailedError("GET / returns the bundled list: the function cannot reach the database")
    if not listed["models"]:
        raise FailedError("GET / lists no model: set a provider's key, then run refresh")
    if listed["defaultModel"] is None:
        raise FailedError("GET / names no default model: set the key of the default's provider, or another default")
    return f"{len(listed['models'])} models, default {listed['defaultModel']}"


def check_cron(client: httpx.Client, options: SmokeOptions) -> str:
    """Checks the cron secret with a dry run of refresh."""
    if not options.cron_secret:
        raise SkippedError("no --cron-secret")
    headers = options.origin_header() | {"Authorization": f"Bearer {options.cron_secret}"}
    answer = client.post("/", json={"dry_run": True}, headers=headers)
    if answer.status_code == 401:
        raise FailedError(f"POST / {summary(answer)}: give refresh's own CRON_SECRET, of 32 characters or more")
    if answer.status_code not in {200, 207}:
        expect_status(answer, 200)
    expect_origin(answer, options)
    run = answer.json()
    failed = [f"{name} ({step_error(step)})" for name, step in run["steps"].items() if not step["ok"]]
    failed += [f"the list of {each['provider']} ({each['message']})" for each in run["syncResults"].get("errors", ())]
    if failed:
        raise FailedError(f"dry run {answer.status_code}, failed: {', '.join(failed)}")
    return f"dry run {answer.status_code}"


def check_events(client: httpx.Client, _options: SmokeOptions) -> str:
    """Checks that an HTTP client cannot send the event of the schedule."""
    expect_status(client.post("/_events", json={"source": "schedule"}, headers={"x-amzn-request-context": "null"}), 404)
    return "the platform's event path is closed to HTTP clients"


def check_preset(client: httpx.Client, options: SmokeOptions) -> str:
    """Asks for the labels of a task twice and checks that the answer is valid, booked and stored."""
    body = {"title": "Check the deployment"} | ({"model": options.model} if options.model else {})
    path = "/tasks/suggest-labels"
    first = expect_status(client.post(path, json=body, headers=options.user_headers()), 200)
    expect_origin(first, options)
    answer = first.json()
    if answer["receipt"]["logged"] is not True:
        raise FailedError(f"the turn is not booked: {answer['receipt']['logged']}")
    again = expect_status(client.post(path, json=body, headers=options.user_headers()), 200)
    if again.headers.get("x-cache") != "HIT":
        raise FailedError(f"the second answer is no hit: X-Cache is {again.headers.get('x-cache')}")
    return f"{len(answer['labels'])} labels, {answer['receipt']['cost_usd']} USD; then from the cache"


def check_mcp(client: httpx.Client, options: SmokeOptions) -> str:
    """Checks that clients of MCP find the sign-in, and lists the tools."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    refused = expect_status(client.post("/mcp", json=message), 401)
    if "resource_metadata=" not in refused.headers.get("www-authenticate", ""):
        raise FailedError("the 401 of POST /mcp names no metadata: the platform changes WWW-Authenticate")
    found = expect_status(client.get("/.well-known/oauth-protected-resource/mcp"), 200).json()
    address = str(client.base_url).rstrip("/") + "/mcp"
    if found["resource"] != address:
        raise FailedError(f"the metadata names {found['resource']}, not {address}: set MCP_URL")
    listed = expect_status(client.post("/mcp", json=message, headers=options.user_headers()), 200).json()
    return f"{len(listed['result']['tools'])} tools; sign-in at {found['authorization_servers'][0]}"


COMMON_CHECKS: Final[dict[str, Check]] = {
    "health": check_health,
    "request id": check_request_id,
    "CORS": check_cors,
    "strangers": check_strangers,
}
FUNCTION_CHECKS: Final[dict[str, dict[str, Check]]] = {
    "chat": {"streaming and booking": check_stream},
    "llms": {"models": check_models},
    "refresh": {"cron secret": check_cron, "forged event": check_events},
    "assist": {"preset and cache": check_preset, "MCP": check_mcp},
}
