"""The keys of a turn, an extension and a result are the same in Python and in SQL."""

from __future__ import annotations

import re
from dataclasses import asdict

import pytest

from local import baseline
from shared import ledger
from shared.events import Usage
from shared.ledger import as_record
from tests.fakes.supabase import Project
from tests.shared.ledger_values import ADMITTED, ASK, BEGIN, ENTRY, PERSON, TURN

RECORDS = (baseline.SCHEMAS / "02_turn_records.sql").read_text()
SCHEMAS = "\n".join(path.read_text() for path in baseline.schema_files())


def _attributes(name: str) -> set[str]:
    """The attributes of a composite type of schema private."""
    body = re.search(rf"create type private\.{name} as \((.*?)\);", RECORDS, re.DOTALL)
    assert body is not None
    return {attribute.split()[0] for attribute in body[1].split(",")}


@pytest.mark.anyio
async def test_a_request_has_the_keys_that_chat_begin_reads(project: Project) -> None:
    """Every key of the request is an attribute of private.turn_request, and the reverse but for what the claims say."""
    project.answers[BEGIN] = (200, ADMITTED)
    await ledger.begin(PERSON, ASK)
    assert set(project.asked_of("chat_begin")[0]["turn"]) == _attributes("turn_request") - {
        "api_key_id",
        "file_tokens",
        "max_file_tokens",
    }


@pytest.mark.anyio
async def test_an_extension_has_the_keys_that_chat_extend_reads(project: Project) -> None:
    """Every key of an extension is an attribute of private.turn_extension, and the reverse."""
    project.answers["/rest/v1/rpc/chat_extend"] = (200, {"outcome": "extended"})
    await ledger.extend(TURN, 10)
    assert set(project.asked_of("chat_extend")[0]["extension"]) == _attributes("turn_extension")


def test_a_result_has_the_keys_that_chat_finish_reads() -> None:
    """Every key of a result and of its usage is an attribute of the SQL types, and the reverse."""
    assert set(as_record(ENTRY)) == _attributes("turn_result")
    assert set(asdict(Usage(1, 1))) == _attributes("token_usage")


@pytest.mark.parametrize("name", ["turn_request", "turn_extension", "turn_result", "token_usage"])
def test_every_attribute_is_read(name: str) -> None:
    """Each attribute of the SQL types is read by a function."""
    functions = SCHEMAS.replace(RECORDS.split("create function", 1)[0], "")
    owners = {
        "turn_request": "(p_turn|v_turn)",
        "turn_extension": "v_extension",
        "turn_result": "(p|v)_(result|logged)",
    }
    owner = owners.get(name, r"\((p|v)_result\.usage\)")
    unread = {attribute for attribute in _attributes(name) if not re.search(rf"\b{attribute}\b", functions)}
    assert unread == set()
    unread = {a for a in _attributes(name) if not re.search(rf"{owner}\.{a}\b", functions)}
    assert unread == set()
