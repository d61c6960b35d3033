"""Pictures, PDFs and texts in the questions of a conversation."""

from __future__ import annotations

import uuid
from base64 import b64encode
from typing import Any

import pytest

from tests.fakes.providers import Upstream
from tests.stack.conftest import Models
from tests.stack.files import ask_with, body_with, file_part, pdf, png, sent_images, sent_text
from tests.stack.people import Person
from tests.stack.regenerations import REGENERATE, join, shown_messages
from tests.stack.turns import Database, begin, finish, reserved_usd


def _files(db: Database, conversation_id: str) -> list[dict[str, Any]]:
    query = "select *, encode(data, 'base64') as base64 from public.conversation_files where conversation_id = %s"
    return db.execute(query + " order by created_at", [conversation_id]).fetchall()


def _encoded(data: bytes) -> str:
    return b64encode(data).decode()


@pytest.fixture
def chat_id() -> str:
    """The frontend's id of a new chat."""
    return uuid.uuid4().hex


def _asked(response: Any) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_picture_is_seen_stored_and_sent_again(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, db: Database, chat_id: str
) -> None:
    """The model gets it with its question and with the next one; clients get a reference, and the bytes for it."""
    identifier, picture = able("echo"), png()
    answer = _asked(ask_with(alice, chat_url, chat_id, identifier, "Which colour?", file_part(picture)))
    assert sent_images(upstream, identifier) == [[_encoded(picture)]]
    assert answer["message"]["content"] == "Which colour? "
    (stored,) = _files(db, answer["conversation_id"])
    (question, _) = shown_messages(alice, chat_id)
    url = f"urn:uuid:{stored['id']}"
    assert question["parts"] == [
        {"type": "file", "mediaType": "image/png", "filename": "a.png", "url": url},
        {"type": "text", "text": "Which colour?"},
    ]
    read = alice.rest("POST", "rpc/read_file", json={"file_id": str(stored["id"])}).json()
    assert (read["data"], read["media_type"], read["name"]) == (_encoded(picture), "image/png", "a.png")
    _asked(ask_with(alice, chat_url, chat_id, identifier, "And now?"))
    assert sent_images(upstream, identifier) == [[_encoded(picture)], []]
    assert reserved_usd(db, alice) == 0


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
def test_a_pdf_goes_to_models_that_read_it(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, provider: str, chat_id: str
) -> None:
    """Each provider gets it in its own format; a model without the ability is 422, and nothing is stored."""
    document = file_part(pdf(), "application/pdf", "report.pdf")
    blind = able("echo", provider)
    refused = ask_with(alice, chat_url, chat_id, blind, "Sum it up", document)
    assert (refused.status_code, refused.json()["error"]["message"]) == (422, "This model cannot read PDFs.")
    assert alice.rows("llm_conversations") == []
    reading = able("fixed", provider, supports_files=True)
    _asked(ask_with(alice, chat_url, chat_id, reading, "Sum it up", document))
    assert _encoded(pdf()).rstrip("=") in sent_text(upstream, reading).replace("-", "+").replace("_", "/")


def test_a_text_file_is_text_for_every_model(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, chat_id: str
) -> None:
    """A model that sees nothing reads it, with its name, now and in the next turn."""
    identifier = able("echo", supports_vision=False)
    _asked(ask_with(alice, chat_url, chat_id, identifier, "Sum?", file_part(b"1,2\n", "text/csv", "numbers.csv")))
    assert "[File: numbers.csv]\\n1,2\\n" in sent_text(upstream, identifier)
    _asked(ask_with(alice, chat_url, chat_id, identifier, "And?"))
    assert "[File: numbers.csv]\\n1,2\\n" in sent_text(upstream, identifier)


def test_a_model_that_sees_nothing_refuses_a_picture_and_notes_an_earlier_one(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, chat_id: str
) -> None:
    """In the question it is 422, with nothing stored or counted; in the history it is a note."""
    blind, seeing = able("echo", supports_vision=False), able("fixed")
    refused = ask_with(alice, chat_url, chat_id, blind, "Look", file_part(png()))
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "validation_failed")
    assert refused.json()["error"]["message"] == "This model cannot look at images."
    assert alice.rows("llm_conversations") == alice.rows("conversation_files") == alice.rows("chat_logs") == []
    _asked(ask_with(alice, chat_url, chat_id, seeing, "Look", file_part(png(), name="cat.png")))
    _asked(ask_with(alice, chat_url, chat_id, blind, "And now?"))
    assert "[An earlier image that is not sent again: cat.png]" in sent_text(upstream, blind)


def test_a_file_without_an_answer_is_not_sent_again(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, chat_id: str
) -> None:
    """A picture that its model refuses does not make every later turn fail."""
    broken, identifier = able("status-400"), able("echo")
    assert ask_with(alice, chat_url, chat_id, broken, "Look", file_part(png())).status_code >= 400
    _asked(ask_with(alice, chat_url, chat_id, identifier, "And now?"))
    assert [images for images in sent_images(upstream, identifier) if images] == []


def test_the_history_has_a_budget_of_files(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, db: Database, chat_id: str
) -> None:
    """The newest sixteen are sent again, within a number of megabytes."""
    identifier = able("echo")
    pictures = [png(str(number)) for number in range(20)]
    for start in (0, 10):
        parts = [file_part(each) for each in pictures[start : start + 10]]
        _asked(ask_with(alice, chat_url, chat_id, identifier, "Look", *parts))
    _asked(ask_with(alice, chat_url, chat_id, identifier, "And now?"))
    first, second, _ = sent_images(upstream, identifier)
    assert second == [_encoded(each) for each in pictures[10:]]
    assert len(first) == 6
    db.execute("insert into private.settings (name, value) values ('history_files_mb', '0')")
    try:
        _asked(ask_with(alice, chat_url, chat_id, identifier, "And then?"))
    finally:
        db.execute("delete from private.settings where name = 'history_files_mb'")
    assert [images for images in sent_images(upstream, identifier) if images] == []


def test_a_question_is_edited_and_asked_again_with_its_file(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, db: Database, chat_id: str
) -> None:
    """The reference of ui_messages is enough, and the same bytes are kept once; without it the file is gone."""
    identifier, picture = able("echo"), png()
    answer = _asked(ask_with(alice, chat_url, chat_id, identifier, "Look", file_part(picture)))
    question = shown_messages(alice, chat_id)[0]
    part = question["parts"][0]
    _asked(ask_with(alice, chat_url, chat_id, identifier, "Look well", part, messageId=question["id"]))
    assert sent_images(upstream, identifier) == [[_encoded(picture)]]
    _asked(ask_with(alice, chat_url, chat_id, identifier, "Look well", file_part(picture), **REGENERATE))
    assert len(_files(db, answer["conversation_id"])) == 1
    assert len(alice.rows("message_versions")) == 4


def test_a_file_that_no_message_names_is_deleted(
    alice: Person, chat_url: str, able: Models, db: Database, chat_id: str
) -> None:
    """A question that failed and is replaced by one without its picture leaves no bytes."""
    failing, identifier = able("status-400"), able("echo")
    ask_with(alice, chat_url, chat_id, failing, "Look", file_part(png()), id="q1")
    (conversation,) = alice.rows("llm_conversations")
    assert len(_files(db, conversation["id"])) == 1
    _asked(ask_with(alice, chat_url, chat_id, identifier, "Only words", messageId="q1"))
    assert _files(db, conversation["id"]) == []


def test_a_reference_to_another_conversation_is_refused(
    alice: Person, bob: Person, chat_url: str, able: Models, chat_id: str
) -> None:
    """Neither one's own file of another chat nor a stranger's is read; nothing is stored."""
    identifier = able("echo")
    _asked(ask_with(alice, chat_url, chat_id, identifier, "Look", file_part(png())))
    part = shown_messages(alice, chat_id)[0]["parts"][0]
    for person in (alice, bob):
        refused = ask_with(person, chat_url, uuid.uuid4().hex, identifier, "Look", part)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "validation_failed")
    assert bob.rows("llm_conversations") == []


def test_members_see_a_file_and_a_removed_one_does_not(
    alice: Person, bob: Person, chat_url: str, able: Models, upstream: Upstream, db: Database, chat_id: str
) -> None:
    """A member reads the bytes and asks about them; a removed member and a stranger get neither row nor bytes."""
    identifier, picture = able("echo"), png()
    answer = _asked(ask_with(alice, chat_url, chat_id, identifier, "Look", file_part(picture)))
    own_id = answer["conversation_id"]
    file_id = str(_files(db, own_id)[0]["id"])

    def read(person: Person) -> int:
        return person.rest("POST", "rpc/read_file", json={"file_id": file_id}).status_code

    assert (read(alice), read(bob)) == (200, 404)
    join(alice, bob, own_id)
    assert (read(bob), len(bob.rows("conversation_files"))) == (200, 1)
    assert bob.ask({"message": "And?", "conversation_id": own_id, "model": identifier}, chat_url).status_code == 200
    assert sent_images(upstream, identifier)[0] == [_encoded(picture)]
    alice.rest("DELETE", f"conversation_members?conversation_id=eq.{own_id}&user_id=eq.{bob.id}")
    assert (read(bob), bob.rows("conversation_files")) == (404, [])


def test_a_share_has_a_place_for_a_file_and_not_the_file(
    alice: Person, bob: Person, chat_url: str, able: Models, chat_id: str
) -> None:
    """Neither its bytes, nor its id, nor its name are in the copy."""
    answer = _asked(ask_with(alice, chat_url, chat_id, able("echo"), "Look", file_part(png(), name="secret-plan.png")))
    share = alice.rest("POST", "rpc/create_share", json={"conversation_id": answer["conversation_id"]}).json()
    shown = bob.rest("POST", "rpc/shared_conversation", json={"token": share["token"]}).json()
    assert shown["messages"][0]["parts"] == [
        {"type": "text", "text": "Look"},
        {"type": "file", "mediaType": "image/png", "url": ""},
    ]
    assert "secret-plan" not in str(shown)


def test_a_user_keeps_a_number_of_megabytes(
    alice: Person, chat_url: str, able: Models, db: Database, chat_id: str
) -> None:
    """The file over it is 422 before any model is called; nothing of the turn is stored."""
    db.execute("insert into private.settings (name, value) values ('files_mb_per_person', '0')")
    try:
        refused = ask_with(alice, chat_url, chat_id, able("echo"), "Look", file_part(png()))
    finally:
        db.execute("delete from private.settings where name = 'files_mb_per_person'")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "validation_failed")
    assert "MB of files" in refused.json()["error"]["message"]
    assert alice.rows("llm_conversations") == []


def test_without_store_nothing_is_kept(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, chat_id: str
) -> None:
    """The model sees the picture; no row has it."""
    identifier = able("echo")
    _asked(ask_with(alice, chat_url, chat_id, identifier, "Look", file_part(png()), store=False))
    assert sent_images(upstream, identifier) == [[_encoded(png())]]
    assert alice.rows("conversation_files") == []


def test_a_dry_run_counts_a_picture(alice: Person, chat_url: str, able: Models, chat_id: str) -> None:
    """Its estimate is a thousand tokens more, and its reservation covers the most expensive reading."""
    identifier = able("echo")
    estimates = [
        ask_with(alice, chat_url, chat_id, identifier, "Look", *parts, dry_run=True).json()["estimate"]
        for parts in ((), (file_part(png()),))
    ]
    assert estimates[1]["input_tokens"] - estimates[0]["input_tokens"] == 1000
    assert estimates[1]["cost_usd"]["most"] > estimates[0]["cost_usd"]["most"] + 0.04
    assert alice.rows("conversation_files") == []


def test_a_key_replays_an_answer_about_a_picture(
    alice: Person, chat_url: str, able: Models, db: Database, chat_id: str
) -> None:
    """The second request with the same key and body stores no second file."""
    identifier = able("echo")
    body = body_with(chat_id, identifier, "Look", file_part(png()), id="q")
    answers = [alice.ask(body, chat_url, **{"Idempotency-Key": chat_id}) for _ in range(2)]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert len(_files(db, _asked(answers[0])["conversation_id"])) == 1


def test_a_copy_has_files_of_its_own(
    alice: Person, bob: Person, chat_url: str, able: Models, db: Database, chat_id: str
) -> None:
    """A member's copy keeps them after a removal; they go when the owner deletes the conversation."""
    identifier = able("echo")
    own_id = _asked(ask_with(alice, chat_url, chat_id, identifier, "Look", file_part(png())))["conversation_id"]
    join(alice, bob, own_id)
    copy = bob.rest("POST", "rpc/fork_conversation", json={"conversation_id": own_id}).json()
    alice.rest("DELETE", f"conversation_members?conversation_id=eq.{own_id}&user_id=eq.{bob.id}")
    url = shown_messages(bob, copy)[0]["parts"][0]["url"]
    assert bob.rest("POST", "rpc/read_file", json={"file_id": url[9:]}).json()["data"] == _encoded(png())
    assert alice.rest("POST", "rpc/delete_conversation", json={"conversation_id": own_id}).status_code == 204
    assert _files(db, own_id) == _files(db, copy) == []


def test_a_copy_counts_for_the_user_who_made_it(
    alice: Person, bob: Person, chat_url: str, able: Models, db: Database, chat_id: str
) -> None:
    """A member's copies do not take the space of the author of the files; an upload counts the copies."""
    identifier = able("echo")
    own_id = _asked(ask_with(alice, chat_url, chat_id, identifier, "Look", file_part(png())))["conversation_id"]
    join(alice, bob, own_id)
    for _ in range(3):
        assert bob.rest("POST", "rpc/fork_conversation", json={"conversation_id": own_id}).status_code == 200
    _asked(ask_with(bob, chat_url, uuid.uuid4().hex, identifier, "Look", file_part(png("b"))))
    query = "select private.file_bytes(%s) as bytes"
    used = [(db.execute(query, [each.id]).fetchone() or {})["bytes"] for each in (alice, bob)]
    assert used == [len(png()), 3 * len(png()) + len(png("b"))]


def test_a_chosen_version_brings_its_picture_back(
    alice: Person, chat_url: str, able: Models, db: Database, chat_id: str
) -> None:
    """The picture of a hidden version is kept until the conversation is deleted."""
    identifier = able("echo")
    first = _asked(ask_with(alice, chat_url, chat_id, identifier, "Look", file_part(png()), id="q1"))
    _asked(ask_with(alice, chat_url, chat_id, identifier, "No picture", messageId="q1"))
    assert alice.rest("POST", "rpc/choose_version", json={"turn_id": first["id"]}).status_code == 204
    assert shown_messages(alice, chat_id)[0]["parts"][0]["type"] == "file"
    assert len(_files(db, first["conversation_id"])) == 1


def test_a_pdf_has_the_pages_that_were_counted(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, db: Database, chat_id: str
) -> None:
    """A user who calls chat_begin without chat and says too few pages does not get them read for too little."""
    identifier, data = able("echo", supports_files=True), pdf() + b"<< /Type /Page >>" * 40
    file = {"media_type": "application/pdf", "pages": 1, "data": _encoded(data), "name": "r.pdf"}
    begun = begin(alice, identifier, client_id=chat_id, store=True, providers=["openai"], files=[file])
    finish(alice, begun, status="failed", content="", response="")
    (stored,) = _files(db, begun["conversation_id"])
    part = {"type": "file", "mediaType": "application/pdf", "url": f"urn:uuid:{stored['id']}"}
    _asked(ask_with(alice, chat_url, chat_id, identifier, "Sum it up", part))
    assert "[An earlier file that is not sent again: r.pdf]" in sent_text(upstream, identifier)


def test_notes_of_files_are_reserved(alice: Person, able: Models, chat_id: str) -> None:
    """The names of files without an answer, which later turns show to the model, count as its input."""
    identifier = able("echo")
    files = [{"media_type": "text/plain", "data": _encoded(b"%d" % number), "name": "x" * 200} for number in range(16)]
    begun = begin(alice, identifier, client_id=chat_id, store=True, providers=["openai"], files=files)
    finish(alice, begun, status="failed", content="", response="")
    plain = begin(alice, identifier, store=True, providers=["openai"])
    noted = begin(alice, identifier, client_id=chat_id, store=True, providers=["openai"])
    assert noted["reserve_usd"] - plain["reserve_usd"] >= 16 * 200 / 1_000_000
