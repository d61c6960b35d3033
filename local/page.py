"""Serves the built page of `web/` with its headers, its configuration and its fallback, as a static host does."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from local.environment import ROOT
from local.ports import HOST

DIST = ROOT / "web" / "dist"
NEEDED = {"SUPABASE_URL", "SUPABASE_ANON_KEY", "CHAT_URL", "LLMS_URL"}
_ANY_SOURCE = "https: wss:"  # in `_headers`, where the build names no addresses


class Page(StaticFiles):
    """The files of the build; a path that is no file is a page of the application."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file, or index.html for the address of a page."""
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or "." in path.rpartition("/")[2]:
                raise
            return await super().get_response("index.html", scope)


class Headers:
    """Middleware that adds the headers of the page to every response."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app, self._policy = app, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        cache = "public, max-age=31536000, immutable" if scope.get("path", "").startswith("/assets/") else "no-cache"
        added = {
            "content-security-policy": self._policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": cache,
        }

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in added.items())]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def is_built(dist: Path = DIST) -> bool:
    """Whether there is a page to serve."""
    return (dist / "index.html").is_file()


def page_config(variables: Mapping[str, str]) -> dict[str, object]:
    """What the page reads from /config.json; the demo account is there only where the stack created it."""
    has_demo = "DEMO_PASSWORD" in variables
    demo = {"email": variables["DEMO_EMAIL"], "password": variables["DEMO_PASSWORD"]} if has_demo else None
    return {
        "supabaseUrl": variables["SUPABASE_URL"],
        "supabaseAnonKey": variables["SUPABASE_ANON_KEY"],
        "chatUrl": variables["CHAT_URL"],
        "llmsUrl": variables["LLMS_URL"],
        "refreshUrl": variables.get("REFRESH_URL"),
        "demo": demo,
    }


def page_policy(config: Mapping[str, object], dist: Path = DIST) -> str:
    """The Content-Security-Policy of the build, with the addresses of this stack as the only ones to connect to."""
    lines = (dist / "_headers").read_text().splitlines()
    policy = next(line for line in lines if "Content-Security-Policy:" in line).partition(":")[2].strip()
    urls = [str(value) for name, value in config.items() if name.endswith("Url") and value]
    urls.append(str(config["supabaseUrl"]).replace("http", "ws", 1))  # Realtime
    return policy.replace(_ANY_SOURCE, " ".join(dict.fromkeys("/".join(url.split("/")[:3]) for url in urls)))


def create_app(config: Mapping[str, object], dist: Path = DIST) -> Starlette:
    """The ASGI app of the page."""

    async def show_config(_request: Request) -> Response:
        return JSONResponse(dict(config))

    return Starlette(
        routes=[Route("/config.json", show_config), Mount("/", Page(directory=dist, html=True))],
        middleware=[Middleware(Headers, policy=page_policy(config, dist)), Middleware(GZipMiddleware)],
    )


def main() -> None:
    """Serves until SIGTERM; the supervisor sets the variables."""
    app = create_app(json.loads(os.environ["PARLEY_PAGE_CONFIG"]))
    port = int(os.environ["PARLEY_PAGE_PORT"])
    uvicorn.run(app, host=HOST, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
