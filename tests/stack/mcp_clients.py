"""The official Python client of MCP: it registers itself, and the person signs in and consents as the page does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlsplit

import httpx
import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.stack.people import Person

CALLBACK = "http://127.0.0.1:3999/callback"
Result = TypeVar("Result")
Mode = Literal["auto", "legacy"]


class App:
    """An MCP client of one person, with its registration and its tokens."""

    def __init__(self, person: Person, *, action: str = "approve") -> None:
        self.person, self.action = person, action
        self.tokens: OAuthToken | None = None
        self.registration: OAuthClientInformationFull | None = None
        self.asked: dict[str, Any] = {}
        self._answer: dict[str, str] = {}

    @property
    def client_id(self) -> str:
        """The id under which it registered itself."""
        assert self.registration is not None
        return str(self.registration.client_id)

    async def get_tokens(self) -> OAuthToken | None:
        """As the client wants its storage."""
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """As above."""
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """As above."""
        return self.registration

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """As above."""
        self.registration = client_info

    async def open_browser(self, url: str) -> None:
        """The browser follows the redirect to the page; the person decides there."""
        async with httpx.AsyncClient() as browser:
            redirect = await browser.get(url)
        assert redirect.status_code == 302, redirect.text
        self._answer = dict(parse_qsl(urlsplit(self.consent(redirect.headers["location"])).query))

    def consent(self, location: str) -> str:
        """The address of the app to which the person's decision leads; the page at `location` asks for it."""
        asked = dict(parse_qsl(urlsplit(location).query))["authorization_id"]
        self.asked = self.auth("GET", f"oauth/authorizations/{asked}")
        address = self.asked.get("redirect_url")
        if address is None:
            decision = {"action": self.action}
            address = self.auth("POST", f"oauth/authorizations/{asked}/consent", json=decision)["redirect_url"]
        return str(address)

    async def wait_for_code(self) -> AuthorizationCodeResult:
        """What came back to the app."""
        assert "error" not in self._answer, self._answer["error"]
        return AuthorizationCodeResult(code=self._answer["code"], state=self._answer.get("state"))

    def auth(self, method: str, path: str, **options: Any) -> Any:
        """A request to Auth as the person."""
        stack = self.person.stack
        headers = self.person.headers | {"apikey": stack["SUPABASE_ANON_KEY"]}
        response = httpx.request(method, f"{stack['SUPABASE_URL']}/auth/v1/{path}", headers=headers, **options)
        assert response.status_code < 300, response.text
        return response.json() if response.content else None

    def revoke(self) -> None:
        """The person takes back the consent."""
        self.auth("DELETE", "user/oauth/grants", params={"client_id": self.client_id})

    def provider(self, url: str) -> OAuthClientProvider:
        """The client's own sign-in."""
        metadata = OAuthClientMetadata(client_name="Helper", redirect_uris=[AnyUrl(CALLBACK)])
        return OAuthClientProvider(url, metadata, self, self.open_browser, self.wait_for_code)


@asynccontextmanager
async def _connected(url: str, auth: httpx2.Auth | None, headers: dict[str, str], mode: Mode) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(auth=auth, headers=headers, timeout=60) as http_client,
        Client(streamable_http_client(url, http_client=http_client), mode=mode) as client,
    ):
        yield client


def with_app(assist_url: str, app: App, act: Callable[[Client], Awaitable[Result]], *, mode: Mode = "auto") -> Result:
    """What `act` returns with a client that signs in as this app."""
    url = f"{assist_url}/mcp"

    async def run() -> Result:
        async with _connected(url, app.provider(url), {}, mode) as client:
            return await act(client)

    return asyncio.run(run())


def with_token(
    assist_url: str, token: str, act: Callable[[Client], Awaitable[Result]], *, mode: Mode = "auto"
) -> Result:
    """What `act` returns with a client that sends this access token or API key."""

    async def run() -> Result:
        async with _connected(f"{assist_url}/mcp", None, {"Authorization": f"Bearer {token}"}, mode) as client:
            return await act(client)

    return asyncio.run(run())


def app_token(app: App, **fields: Any) -> httpx.Response:
    """A request of the app to the token endpoint."""
    registration = app.registration
    assert registration is not None
    url = f"{app.person.stack['SUPABASE_URL']}/auth/v1/oauth/token"
    secret = (app.client_id, registration.client_secret or "")
    return httpx.post(url, data=fields, auth=secret)
