"""The Supabase API of the embedded stack: the data API and Auth at one address, as behind Supabase's gateway."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from local import postgres
from local.auth.app import AuthApi
from local.keys import Keys, load_or_create
from local.pool import Pool
from local.realtime import RealtimeApi
from local.rest.app import RestApi
from local.serve import serve
from local.tokens import Tokens

_EXPOSED = ["Content-Range", "Location", "X-Supabase-Api-Version", "X-Total-Count", "Link"]


def create_app(
    data_dsn: str, auth_dsn: str, keys: Keys, url: str, site_url: str, on_link: Callable[[str, str, str], None]
) -> Starlette:
    """The ASGI app of one database. `on_link` receives (address, link, code) where Supabase would send a mail.

    `url` is the address of this API, `site_url` that of the page.
    """
    data_pool, auth_pool = Pool(data_dsn, 10), Pool(auth_dsn, 5)
    tokens = Tokens(keys)
    rest, auth = RestApi(data_pool, tokens, url), AuthApi(auth_pool, tokens, url, site_url, on_link)
    data_pool.on_schema_change = rest.forget_schema
    realtime = RealtimeApi(data_pool, tokens, data_dsn)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with data_pool, auth_pool, realtime.delivering():
            yield

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/rest/v1/{path:path}", rest),
            *auth.routes(),
            WebSocketRoute("/realtime/v1/websocket", realtime.serve),
        ],
        exception_handlers={404: _not_found, 405: _not_allowed},
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=_EXPOSED,
            )
        ],
    )


async def _not_found(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"code": 404, "error_code": "not_found", "msg": "Not found in this local API"}, 404)


async def _not_allowed(request: Request, _error: Exception) -> Response:
    routes = (route for route in request.app.routes if isinstance(route, Route))
    methods = {name for route in routes if route.path_regex.match(request.url.path) for name in route.methods or ()}
    body = {"code": 405, "error_code": "bad_method", "msg": f"{request.method} is not allowed here"}
    return JSONResponse(body, 405, {"allow": ", ".join(sorted(methods))})


def main() -> None:
    """Serves until SIGTERM; the supervisor sets the variables."""
    port, url = int(os.environ["PARLEY_API_PORT"]), os.environ["PARLEY_API_URL"]
    database_port, name = int(os.environ["PARLEY_DATABASE_PORT"]), os.environ["PARLEY_DATABASE_NAME"]
    app = create_app(
        postgres.dsn(database_port, "authenticator", name),
        postgres.dsn(database_port, "supabase_auth_admin", name),
        load_or_create(Path(os.environ["PARLEY_KEYS_FILE"])),
        url,
        os.environ["PARLEY_SITE_URL"],
        lambda email, link, code: print(f"magic link for {email}: {link} (code {code})", flush=True),
    )
    serve(app, port, grace_seconds=2)


if __name__ == "__main__":
    main()
