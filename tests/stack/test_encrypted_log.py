"""LOG_CONTENT=encrypted over chat, the database and the operator's command."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from shared.log_encryption import decrypt, keys_of
from tests.fakes.providers import Upstream
from tests.providers import variables
from tests.stack.assists import plays, says
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, service
from tests.stack.turns import Database

KEYS = f"k1:{base64.b64encode(b'k' * 32).decode()}"


def test_a_turn_leaves_encrypted_words_in_the_log_and_clear_ones_in_the_conversation(
    alice: Person, able: Models, upstream: Upstream, function: Any, stack: Stack, db: Database
) -> None:
    """The operator's key opens the row; training gets nothing; a deletion removes it."""
    url, _ = function("chat", **variables(upstream), LOG_CONTENT="encrypted", LOG_ENCRYPTION_KEYS=KEYS)
    model = plays(upstream, able("fixed"), says("a secret answer"))
    body = {"message": "a secret question", "model": model, "stream": False, "metadata": {"note": "secret"}}
    answer = httpx.post(url, json=body, headers=alice.headers, timeout=60)
    assert answer.status_code == 200, answer.text
    profile = {"user_id": alice.id, "allows_training": True}
    assert alice.rest("POST", "user_llm_profiles", json=profile).is_success
    row = db.execute("select * from public.chat_logs where user_id = %s", (alice.id,)).fetchone()
    assert row
    keys = keys_of(KEYS)
    assert decrypt(row["question"], keys) == "a secret question"
    assert decrypt(row["response"], keys) == "a secret answer"
    assert json.loads(decrypt(row["metadata"]["encrypted"], keys)) == {"note": "secret"}
    assert "secret" not in json.dumps(row, default=str)
    messages = {each["content"] for each in alice.rest("GET", "messages").json()}
    assert messages == {"a secret question", "a secret answer"}
    page = service(stack, "POST", "rpc/export_training_page", json={"until": "2100-01-01T00:00:00Z"}).json()
    assert str(row["turn_id"]) not in {each["turn_id"] for each in page["examples"]}
    mine = alice.rest("POST", "rpc/export_my_data", json={}).json()
    assert [each["question"] for each in mine["turns"]] == [row["question"]]
    assert alice.rest("POST", "rpc/delete_my_data", json={}).status_code == 204
    fields = "select question, response, metadata from public.chat_logs where id = %s"
    left = db.execute(fields, (row["id"],)).fetchone()
    assert left == {"question": None, "response": None, "metadata": {}}


@pytest.mark.parametrize(("keys", "status"), [(KEYS, 200), ("", 503)])
def test_a_missing_key_is_an_error_of_readiness(function: Any, keys: str, status: int) -> None:
    """The function becomes ready only with a key."""
    url, _ = function("chat", LOG_CONTENT="encrypted", LOG_ENCRYPTION_KEYS=keys)
    assert httpx.get(f"{url}/health/ready", timeout=30).status_code == status
