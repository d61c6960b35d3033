"""The rules after a failed call, without calls, clock or network."""

from __future__ import annotations

import pytest

from shared.errors import (
    ContextLengthExceeded,
    ModelUnavailable,
    NodeFailed,
    NotConfigured,
    ParleyError,
    ProviderAuthFailed,
    ProviderError,
    ProviderOverloaded,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from shared.fallback import FallbackPlan
from shared.providers.provider_errors import error_for_status
from shared.routes import Route

BUSY = ProviderOverloaded("busy")
DOWN = ProviderError("down")


def _route(name: str, node_id: int | None = None, *, is_open: bool = False) -> Route:
    provider = "client" if node_id else name.partition(":")[0]
    until = "2026-11-21T05:00:00+00:00" if is_open else None
    return Route(name, provider, name, 100, node_id=node_id, open_until=until)


A, A2, B, C = _route("a:1"), _route("a:2"), _route("b:1"), _route("c:1")


def _chain(*routes: Route, deadline: float = 100.0, jitter: float = 0.0) -> FallbackPlan:
    return FallbackPlan(routes, deadline, jitter=lambda: jitter)


def _tried(chain: FallbackPlan, error: ParleyError) -> list[str]:
    """The routes called until nothing is left, when every call fails with this error."""
    names = [chain.route.identifier]
    while chain.after(error, 0.0) is not None:
        names.append(chain.route.identifier)
        assert len(names) < 20
    return names


def test_a_provider_is_called_twice_and_then_the_next() -> None:
    """Two calls each, four in all."""
    assert _tried(_chain(A), DOWN) == ["a:1", "a:1"]
    assert _tried(_chain(A, B), DOWN) == ["a:1", "a:1", "b:1", "b:1"]
    assert _tried(_chain(A, B, C), DOWN) == ["a:1", "a:1", "b:1", "b:1"]


def test_two_models_of_one_provider_share_its_calls() -> None:
    """Two models of one provider get two calls together."""
    assert _tried(_chain(A, A2, B), DOWN) == ["a:1", "a:1", "b:1", "b:1"]


def test_a_node_fails_fast() -> None:
    """It is called once; another route may follow."""
    node = _route("client:7:llama", 7)
    assert _tried(_chain(node), NodeFailed()) == ["client:7:llama"]
    assert _tried(_chain(node, B), NodeFailed()) == ["client:7:llama", "b:1", "b:1"]
    assert _tried(_chain(node, B), NodeFailed(is_transient=False)) == ["client:7:llama"]


@pytest.mark.parametrize("error", [ProviderRefused("no"), ParleyError("bug")])
def test_what_is_wrong_with_the_request_is_not_tried_elsewhere(error: ParleyError) -> None:
    """After an invalid request or our own error there is no further call."""
    assert _tried(_chain(A, B), error) == ["a:1"]


def test_a_refused_key_goes_on_at_another_provider() -> None:
    """All models of a provider share its key, so the next call is at another provider."""
    assert _tried(_chain(A, A2, B), ProviderAuthFailed("key")) == ["a:1", "b:1"]


def test_a_model_that_is_not_served_goes_on_at_the_next_route() -> None:
    """It is not called again; another model of the same provider may be called."""
    assert _tried(_chain(A, A2, B), ModelUnavailable("gone")) == ["a:1", "a:2", "b:1"]


def test_a_request_that_is_too_long_goes_on_only_where_it_has_room() -> None:
    """A route with the same or a smaller context window is passed over; without a larger one the turn ends."""
    small, same, large = (
        Route(name, name[0], name, 100, capabilities={"context_window": window})
        for name, window in (("b:1", 1000), ("c:1", 2000), ("d:1", 4000))
    )
    first = Route("a:1", "a", "a", 100, capabilities={"context_window": 2000})
    assert _tried(_chain(first, small, same, large), ContextLengthExceeded("long")) == ["a:1", "d:1"]
    assert _tried(_chain(first, small, same), ContextLengthExceeded("long")) == ["a:1"]


def test_a_request_that_a_filter_page_refused_goes_on() -> None:
    """The next route is called, because another provider may have no such filter."""
    assert _tried(_chain(A, B), error_for_status("a", 403, is_page=True)) == ["a:1", "b:1"]


def test_a_call_with_a_new_key_counts_as_a_call() -> None:
    """Keys that change again and again do not exceed four calls."""
    chain = _chain(A, B)
    assert [chain.again() for _ in range(4)] == [0.0, 0.0, 0.0, None]
    assert chain.route is A


@pytest.mark.parametrize("error", [ProviderUnavailable("open"), NotConfigured("no key")])
def test_a_provider_that_was_not_called_is_passed_over(error: ParleyError) -> None:
    """An open circuit and a missing key cost no try."""
    chain = _chain(A, B, C)
    assert chain.after(error, 0.0) == 0.0
    assert chain.route == B
    assert _tried(chain, DOWN) == ["b:1", "b:1", "c:1", "c:1"]


def test_a_route_whose_circuit_is_open_is_not_fallen_back_to() -> None:
    """A route that failed a moment ago is not waited for."""
    assert _tried(_chain(A, _route("b:1", is_open=True), C), DOWN) == ["a:1", "a:1", "c:1", "c:1"]


def test_a_wait_is_between_nothing_and_the_doubled_backoff() -> None:
    """Full jitter spreads the retries of clients that failed together."""
    assert _chain(A, jitter=0.0).after(DOWN, 0.0) == 0.0
    assert _chain(A, jitter=1.0).after(DOWN, 0.0) == 0.5


def test_a_delay_the_provider_asks_for_is_kept_when_it_fits() -> None:
    """The wait is at least Retry-After; without enough time after it there is no call."""
    busy = ProviderOverloaded("busy", retry_after_seconds=7)
    assert _chain(A).after(busy, 0.0) == 7
    assert _chain(A, deadline=13).after(busy, 0.0) == 7
    assert _chain(A, deadline=11).after(busy, 0.0) is None


def test_no_long_wait_while_another_route_is_free() -> None:
    """After a long Retry-After or a timeout the next route is called at once."""
    for error in (ProviderOverloaded("busy", retry_after_seconds=7), ProviderTimeout("silent")):
        chain = _chain(A, B)
        assert chain.after(error, 0.0) == 0.0
        assert chain.route is B


def test_with_less_than_five_seconds_left_nothing_is_called() -> None:
    """A call that could not finish is not begun."""
    assert _chain(A, B, deadline=10).after(DOWN, 5.0) is not None
    assert _chain(A, B, deadline=10).after(DOWN, 5.1) is None
    assert _chain(A, B, deadline=10).after(ProviderUnavailable("open"), 5.1) is None


def test_without_a_wait_that_fits_the_next_route_is_still_tried() -> None:
    """If a repeated call has no time to wait, another route is called."""
    chain = _chain(A, B, deadline=10, jitter=1.0)
    assert chain.after(BUSY, 4.9) == 0.0
    assert chain.route is B
