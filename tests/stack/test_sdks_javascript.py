"""AI SDK 7 with OpenAI's and Anthropic's provider, and Anthropic's SDK for JavaScript, with default settings."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.fakes.providers import Script, Upstream
from tests.stack.conftest import Models
from tests.stack.files import png
from tests.stack.javascript import run
from tests.stack.people import Person
from tests.stack.turns import Database

_ENDPOINTS = {"ai-openai": "responses", "ai-anthropic": "messages", "anthropic": "messages"}


@pytest.mark.parametrize("sdk", _ENDPOINTS)
def test_a_client_gets_text_calls_and_json(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, db: Database, sdk: str
) -> None:
    """Whole and streamed, with an image, with a tool and with a schema; tokens are those of the row."""
    plain, calling, writing = able("fixed"), able("fixed"), able("json")
    upstream.plays[calling.rpartition(":")[2]] = (Script(("Let me.",), calls=(("look", {"city": "Wien"}),)),)
    image = b64encode(png()).decode()
    whole, streamed, seen, called, structured = run(
        "sdks",
        url=chat_url,
        token=alice.token,
        sdk=sdk,
        calls=[
            {"model": plain, "how": "whole"},
            {"model": plain, "how": "stream"},
            {"model": plain, "how": "whole", "image": image},
            {"model": calling, "how": "tools"},
            {"model": writing, "how": "schema"},
        ],
    )
    assert whole["text"] == streamed["text"] == seen["text"] == "one two three"
    assert image in str(upstream.calls_of(plain.rpartition(":")[2])[-1].body)
    assert called["calls"] == [["look", {"city": "Wien"}]]
    assert structured["output"]["score"] == 3
    rows = db.execute(
        "select input_tokens, output_tokens, endpoint from public.chat_logs where user_id = %s order by created_at",
        [alice.id],
    ).fetchall()
    assert [(row["input_tokens"], row["output_tokens"]) for row in rows] == [
        tuple(each["usage"]) for each in (whole, streamed, seen, called, structured)
    ]
    assert {row["endpoint"] for row in rows} == {_ENDPOINTS[sdk]}
