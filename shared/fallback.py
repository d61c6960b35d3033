"""What to do after a failed call: the same route again, the next one, or nothing. It uses no network and no clock."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from shared.errors import (
    ContextLengthExceeded,
    NotConfigured,
    ParleyError,
    ProviderAuthFailed,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
)
from shared.identifiers import provider_key
from shared.routes import Route
from shared.token_bounds import context_window

TRIES_PER_PROVIDER = 2
TRIES_IN_ALL = 4
MIN_SECONDS = 5.0  # with less time left there is no further call
PATIENCE_SECONDS = 2.0  # the longest wait for a repeated call while another route can be called
BACKOFF_SECONDS = 0.25


class FallbackPlan:
    """The routes of one model call, first choice first; `route` is the one to call now.

    It allows at most two calls of a provider (one of a client node, so that a failing node costs little time) and four
    in all. `deadline` is a time of the same clock as `now` of `after`.
    """

    def __init__(
        self, routes: tuple[Route, ...], deadline: float, *, jitter: Callable[[], float] = random.random
    ) -> None:
        self._routes, self._deadline, self._jitter = routes, deadline, jitter
        self._place = 0
        self._calls: Counter[str] = Counter()
        self._refusing: set[str] = set()  # providers that do not accept our key or account

    @property
    def route(self) -> Route:
        return self._routes[self._place]

    def after(self, error: ParleyError, now: float) -> float | None:
        """Seconds to wait before the next call of `route`, which may have changed; None when there is no next call.

        A repeated call of the same provider waits with full jitter, and at least for the provider's Retry-After.
        """
        if isinstance(error, ProviderUnavailable | NotConfigured):  # nothing was called
            return self._next(now)
        key = _key(self.route)
        self._calls[key] += 1
        if not isinstance(error, ProviderError) or self._calls.total() >= TRIES_IN_ALL:
            return None
        if isinstance(error, ContextLengthExceeded):
            return self._next(now, above=_window(self.route))
        if not error.is_transient:
            if isinstance(error, ProviderAuthFailed):
                self._refusing.add(key)
            return self._next(now) if error.may_succeed_elsewhere else None
        backoff: float = self._jitter() * BACKOFF_SECONDS * 2 ** self._calls[key]
        wait = max(error.retry_after_seconds or 0.0, backoff)
        is_slow = wait > PATIENCE_SECONDS or isinstance(error, ProviderTimeout)
        can_repeat = self._may_call(self.route) and now + wait + MIN_SECONDS <= self._deadline
        if can_repeat and not (is_slow and self._following() is not None):
            return wait
        return self._next(now)

    def again(self) -> float | None:
        """Seconds to wait before `route` is called again with a new key; None after four calls."""
        self._calls[_key(self.route)] += 1
        return 0.0 if self._calls.total() < TRIES_IN_ALL else None

    def _next(self, now: float, above: int = 0) -> float | None:
        place = self._following(above)
        if place is None or now + MIN_SECONDS > self._deadline:
            return None
        self._place = place
        return 0.0

    def _following(self, above: int = 0) -> int | None:
        """The place of the next route that may be called and whose context window is larger than `above`."""
        places = range(self._place + 1, len(self._routes))
        callable_ = (place for place in places if self._may_call(self._routes[place]))
        return next((place for place in callable_ if not above or _window(self._routes[place]) > above), None)

    def _may_call(self, route: Route) -> bool:
        most = TRIES_PER_PROVIDER if route.node_id is None else 1
        return not route.open_until and _key(route) not in self._refusing and self._calls[_key(route)] < most


def _window(route: Route) -> int:
    return context_window(route.capabilities)


def _key(route: Route) -> str:
    return provider_key(route.provider, route.node_id)
