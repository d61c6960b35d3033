"""The server in its own thread: which address has which protocol, and the requests that it received."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from tests.fakes.providers import bills, lists
from tests.fakes.providers.anthropic import Anthropic
from tests.fakes.providers.gemini import Gemini
from tests.fakes.providers.kinds import scripted
from tests.fakes.providers.matcha import Matcha
from tests.fakes.providers.openai import OpenAi
from tests.fakes.providers.openai_responses import OpenAiResponses
from tests.fakes.providers.performing import Stage
from tests.fakes.providers.wire import Asked, Dialect, Page, Refusal, Script

_PATHS: Final = {
    "openai": "/openai/v1",
    "openai_responses": "/openai/v1",
    "huggingface": "/hf/v1",
    "client": "/node/v1",
    "google": "/gemini",
    "anthropic": "/anthropic",
    "matcha": "/matcha",
}
_DIALECTS: Final[dict[str, Dialect]] = {
    "openai": OpenAi("openai"),
    "openai_responses": OpenAiResponses(),
    "huggingface": OpenAi("hf"),
    "client": OpenAi("node"),
    "google": Gemini(),
    "anthropic": Anthropic(),
    "matcha": Matcha(),
}
_ANSWERING: Final = {
    "openai": "/chat/completions",
    "openai_responses": "/responses",
    "huggingface": "/chat/completions",
    "client": "/chat/completions",
    "google": "/{version}/models/{call:.+}",
    "anthropic": "/v1/messages",
    "matcha": "/completions",
}
_LISTING: Final[dict[str, tuple[str, lists.Lister | None]]] = {
    "openai": ("/models", lists.openai),
    "huggingface": ("/models", lists.huggingface),
    "client": ("/models", lists.node),
    "google": ("/{version}/models", lists.gemini),
    "anthropic": ("/v1/models", lists.anthropic),
    "matcha": ("/llms", None),  # the platform has no list of its own unless a test puts one up
}
Act = Script | Callable[[Asked], Script | Refusal]
_PAGE = "<html><body><h1>502 Bad Gateway</h1>secret upstream words</body></html>"


@dataclass(frozen=True, slots=True)
class Received:
    """One request: headers in lower case, the JSON body, and how its dialect read it; for a list only the first."""

    dialect: str
    path: str
    headers: dict[str, str]
    body: Any = None
    model: str = ""
    asked: Asked | None = None


@dataclass
class Upstream:
    """The running server, to be used from any thread.

    `hung_up` counts answers whose reader went away before their end, `started` those that began to wait (each word of
    an endless one). `plays` holds scripts by a model's full name: one per call, the last for ever, whatever
    its kind. The methods that wait block: an event loop calls them through `asyncio.to_thread`.
    `shelves` are lists by dialect that replace the usual ones. `bills` are what organizations used and paid.
    """

    received: list[Received] = field(default_factory=list)
    plays: dict[str, tuple[Act, ...]] = field(default_factory=dict)
    hung_up: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    started: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    shelves: dict[str, lists.Shelf] = field(default_factory=dict)
    bills: bills.Bills = field(default_factory=bills.Bills)
    _origin: str = ""
    _lost: Counter[str] = field(default_factory=Counter)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _gate: asyncio.Event = field(default_factory=asyncio.Event)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop | None = None

    def url(self, dialect: str) -> str:
        """The base address as a provider of that name is configured with it."""
        return self._origin + _PATHS[dialect]

    def calls_of(self, model: str) -> list[Received]:
        """The requests for a model's full name, oldest first."""
        with self._changed:
            return [each for each in self.received if each.model == model]

    def until_called(self, model: str, n: int = 1, timeout: float = 30) -> bool:
        """Waits for the nth request for a model; False when it does not come in time."""
        return self._until(lambda: sum(each.model == model for each in self.received) >= n, timeout)

    def until_listed(self, dialect: str, n: int = 1, timeout: float = 30) -> bool:
        """Waits for the nth request for a dialect's list; False when it does not come in time."""
        return self._until(lambda: len(self.lists_of(dialect)) >= n, timeout)

    def lists_of(self, dialect: str) -> list[Received]:
        """The requests for a dialect's list, oldest first."""
        return [each for each in self.received if each.dialect == dialect and each.asked is None]

    def until_hung_up(self, model: str, timeout: float = 30) -> bool:
        """Waits until an answer of this model has lost its reader; False when none does in time."""
        return self._until(lambda: self._lost[model] > 0, timeout)

    def release(self) -> None:
        """Lets all slow answers asked for until now speak."""
        self._soon(self._open_gate)

    def stop(self) -> None:
        """Ends the server."""
        self._soon(self._stop.set)

    def run(self, ready: threading.Event) -> None:
        """Serves until `stop`."""
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        for name, path in _PATHS.items():
            app.router.add_post(path + _ANSWERING[name], self._answering(name))
        for name, (path, lister) in _LISTING.items():
            app.router.add_get(_PATHS[name] + path, self._listing(name, lister))
        for name, paths in bills.PATHS.items():
            for path in paths:
                app.router.add_get(_PATHS[name] + path, self.bills.answering(name, path))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def _answering(self, name: str) -> Callable[[web.Request], Any]:
        dialect = _DIALECTS[name]

        async def answer(request: web.Request) -> web.StreamResponse:
            body = await request.json()
            asked = dialect.read(request, body)
            nth_call, gate = self._record(_received(name, request, body, asked)), self._gate
            if refusal := _refusal(dialect, request, body):
                return dialect.refuse(refusal).response()
            script = self._act(asked, nth_call)
            if isinstance(script, Refusal):
                return dialect.refuse(script).response()
            if isinstance(script, Page):
                return web.Response(text=_PAGE, status=script.status, content_type="text/html")
            stage = Stage(request, gate, self.started.release)
            rendered = dialect.answer(asked, script, body)
            try:
                if asked.is_streaming:
                    return await stage.stream(script, rendered)
                return await stage.whole(script, rendered, dialect)
            except asyncio.CancelledError:
                self._lose(asked.model, stage)
                raise
            except ConnectionError:
                self._lose(asked.model, stage)
                return web.Response()  # the client has left

        return answer

    def _act(self, asked: Asked, nth_call: int) -> Script | Refusal | Page:
        play = self.plays.get(asked.model)
        if play is None:
            return scripted(asked, nth_call)
        act = play[min(nth_call, len(play)) - 1]
        return act if isinstance(act, Script) else act(asked)

    def _listing(self, name: str, lister: lists.Lister | None) -> Callable[[web.Request], Any]:
        dialect = _DIALECTS[name]

        async def answer(request: web.Request) -> web.Response:
            gate = self._gate
            self._record(_received(name, request))
            if refusal := _refusal(dialect, request):
                return dialect.refuse(refusal).response()
            shelf = self.shelves.get(name)
            if shelf is None:
                return web.json_response(lister(request)) if lister else web.Response(status=404)
            if shelf.is_held:
                await gate.wait()
            return shelf.response(name, request)

        return answer

    def _record(self, received: Received) -> int:
        with self._changed:
            self.received.append(received)
            self._changed.notify_all()
            return sum(each.model == received.model for each in self.received)

    def _lose(self, model: str, stage: Stage) -> None:
        if stage.is_over:
            return
        self.hung_up.release()
        with self._changed:
            self._lost[model] += 1
            self._changed.notify_all()

    def _until(self, condition: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def _open_gate(self) -> None:
        self._gate.set()
        self._gate = asyncio.Event()

    def _soon(self, act: Callable[[], None]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(act)


def _received(name: str, request: web.Request, body: Any = None, asked: Asked | None = None) -> Received:
    headers = {header.lower(): value for header, value in request.headers.items()}
    return Received(name, request.path, headers, body, asked.model if asked else "", asked)


def _refusal(dialect: Dialect, request: web.Request, body: dict[str, Any] | None = None) -> Refusal | None:
    key = dialect.key_of(request)
    if key is not None and (not key or key.startswith("bad")):
        return Refusal(401, "key")
    fault = dialect.fault_of(body) if body is not None else None
    return Refusal(400, "request", fault) if fault else None


@contextmanager
def serving_upstream() -> Iterator[Upstream]:
    """The server, running in a thread of its own."""
    upstream, ready = Upstream(), threading.Event()
    thread = threading.Thread(target=upstream.run, args=(ready,), name="upstream")
    thread.start()
    assert ready.wait(10)
    try:
        yield upstream
    finally:
        upstream.stop()
        thread.join(10)
