"""MatchAI: one prompt, one text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import (
    NotConfigured,
    ProviderError,
    ProviderRefused,
)
from shared.messages import Message
from shared.providers import provider_named
from tests.fakes.providers import Upstream
from tests.providers import (
    QUESTION,
    events_of,
    route_to,
    session_over,
    text_of,
    variables,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("configured")]


def _llm_id(body: Any) -> Any:
    return body.get("llm_id") if isinstance(body, dict) else None


async def test_matcha_sends_one_text(upstream: Upstream) -> None:
    """The conversation is one prompt with the mission; an HTML page is an error."""
    route = route_to("matcha", "echo", upstream)
    events, error = await events_of(
        session_over(route), (*QUESTION[:1], Message("user", "Hi"), Message("assistant", "Yes?"), QUESTION[1])
    )
    assert error is None
    assert text_of(events).split() == ["one", "two", "three"]
    (received,) = [each for each in upstream.received if str(_llm_id(each.body)) == route.upstream_id]
    assert received.body == {
        "mission_id": 3,
        "llm_id": int(route.upstream_id),
        "input": "Be kind and brief in all you say.\n\nUser: Hi\n\nAssistant: Yes?\n\none two three",
    }
    for kind in ("html", "html-502", "status-500"):
        assert type((await events_of(session_over(route_to("matcha", kind, upstream))))[1]) is ProviderError
    assert type((await events_of(session_over(replace(route, upstream_id="gpt"))))[1]) is ProviderRefused


async def test_matcha_names_a_missing_variable(environ: Callable[..., None], upstream: Upstream) -> None:
    """NotConfigured names the variable to set."""
    matcha = await provider_named("matcha")
    await matcha.check()
    for variable in ("MATCHA_MISSION_ID", "MATCHA_BASE_URL", "MATCHA_API_KEY"):
        environ(**(variables(upstream) | {variable: ""}))
        with pytest.raises(NotConfigured, match=variable):
            await matcha.check()
