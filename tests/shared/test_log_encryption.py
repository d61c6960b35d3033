"""Words of the log that are encrypted with the operator's keys."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.decryption import decrypt_lines
from local.errors import StackError
from shared.config import Settings
from shared.log_encryption import (
    CannotDecryptError,
    decrypt,
    decrypt_all,
    encrypt,
    keys_of,
    log_question,
    log_value,
    log_words,
)
from shared.spool import record_of
from shared.variables import missing_variables

OLD, NEW = base64.b64encode(b"o" * 32).decode(), base64.b64encode(b"n" * 32).decode()
KEYS = f"new:{NEW},old:{OLD}"


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_words_come_back_and_are_never_the_same_twice(text: str) -> None:
    """Any text is decrypted with its key; two encryptions of one text differ."""
    first, second = (encrypt(text, "k", b"k" * 32) for _ in range(2))
    assert decrypt(first, {"k": b"k" * 32}) == text
    assert first != second


def test_the_first_key_encrypts_and_every_key_decrypts(environ: Callable[..., None]) -> None:
    """After a rotation old texts can still be read, and new ones have the id of the new key."""
    environ(LOG_CONTENT="encrypted", LOG_ENCRYPTION_KEYS=f"old:{OLD}")
    old = log_words("call me at ada@example.com")
    environ(LOG_CONTENT="encrypted", LOG_ENCRYPTION_KEYS=KEYS)
    new = log_words("hello")
    assert old
    assert new
    assert new.startswith("enc:v1:new:")
    assert decrypt(old, keys_of(KEYS)) == "call me at [email]"
    assert decrypt(new, keys_of(KEYS)) == "hello"


@pytest.mark.parametrize("keys", ["", "new:short", "new"])
def test_without_a_right_key_no_words_are_kept(environ: Callable[..., None], keys: str) -> None:
    """A missing or wrong key is reported, and the log gets no text."""
    environ(LOG_CONTENT="encrypted", LOG_ENCRYPTION_KEYS=keys)
    assert log_words("secret") is None
    assert log_value({"note": "secret"}) is None
    values = {"LOG_CONTENT": "encrypted", "LOG_ENCRYPTION_KEYS": keys}
    assert "LOG_ENCRYPTION_KEYS" in {wrong.name for wrong in Settings(values).wrong_variables(())}


def test_the_key_is_missing_only_for_encrypted() -> None:
    """LOG_CONTENT=redacted needs no key."""
    assert [wrong.name for wrong in missing_variables({"LOG_CONTENT": "Encrypted"}, ())] == ["LOG_ENCRYPTION_KEYS"]
    assert list(missing_variables({"LOG_CONTENT": "redacted"}, ())) == []


@pytest.mark.parametrize("text", ["enc:v1:gone:" + "A" * 40, "enc:v1:new:" + "A" * 40, "plain", "enc:v1:new:A"])
def test_a_text_that_cannot_be_decrypted_is_an_error(text: str) -> None:
    """An unknown key, a changed text and a text of another form raise CannotDecryptError."""
    with pytest.raises(CannotDecryptError):
        decrypt(text, keys_of(KEYS))


def test_a_text_is_bound_to_its_key_id() -> None:
    """The id cannot be replaced, even by one of the same key."""
    text = encrypt("words", "new", b"n" * 32).replace(":new:", ":two:")
    with pytest.raises(CannotDecryptError):
        decrypt(text, {"two": b"n" * 32})


def test_json_is_one_encrypted_field_and_a_long_question_is_cut(environ: Callable[..., None]) -> None:
    """Nothing of an object can be read; a question fits the database's limit of 200,000 characters."""
    environ(LOG_CONTENT="encrypted", LOG_ENCRYPTION_KEYS=KEYS)
    value = log_value({"ticket": "secret"})
    assert list(value) == ["encrypted"]
    assert json.loads(decrypt(value["encrypted"], keys_of(KEYS))) == {"ticket": "secret"}
    assert log_value({"note": "x" * 15_000}) is None
    question = log_question("ü" * 300_000)
    assert question
    assert len(question) <= 200_000
    assert set(decrypt(question, keys_of(KEYS))) == {"ü"}


def test_the_spool_has_encrypted_words_in_the_log_row_only(environ: Callable[..., None]) -> None:
    """The answer of a spooled turn is withheld from the conversation, because its members have no key."""
    environ(LOG_CONTENT="encrypted", LOG_ENCRYPTION_KEYS=KEYS)
    entry = {"content": "secret answer", "response": log_words("secret answer"), "parts": [{"text": "secret"}]}
    record = record_of(entry, "someone")
    assert "secret" not in json.dumps(record)
    assert record["entry"]["content"] == "[content withheld]"
    assert record["entry"]["response"].startswith("enc:v1:new:")


def test_words_make_no_fields_and_no_lines_of_csv() -> None:
    """Quotes, commas and line ends of a user stay inside of their field, also in JSON inside of a field."""
    words = 'a","b"\n=1+1,c'
    sealed = encrypt(words, "new", b"n" * 32)
    table = io.StringIO()
    rows = [["1", sealed, json.dumps({"encrypted": sealed})], [sealed, "x", "y"], ["x", "y", sealed]]
    csv.writer(table).writerows(rows)
    output = io.StringIO()
    decrypt_lines(table.getvalue().splitlines(keepends=True), output, KEYS)
    first, *others = csv.reader(io.StringIO(output.getvalue(), newline=""))
    assert (first[:2], json.loads(first[2])) == (["1", words], {"encrypted": words})
    assert others == [[words, "x", "y"], ["x", "y", words]]
    quoted, _ = decrypt_all(f'1,"{sealed}"', keys_of(KEYS))
    assert list(csv.reader(io.StringIO(quoted, newline=""))) == [["1", words]]


def test_lines_are_decrypted_where_they_are() -> None:
    """Text and JSON around an encrypted text stay, and JSON stays JSON."""
    sealed = encrypt('say "hi"\n', "new", b"n" * 32)
    assert decrypt_all(f"a: {sealed} b", keys_of(KEYS)) == ('a: say "hi"\n b', ())
    line, failed = decrypt_all(json.dumps({"question": sealed}), keys_of(KEYS))
    assert (json.loads(line), failed) == ({"question": 'say "hi"\n'}, ())


def test_the_command_counts_what_stays_encrypted() -> None:
    """What can be decrypted is written, then the error names the missing key."""
    lines = [f"{encrypt('yes', 'new', b'n' * 32)}\n", f"{encrypt('no', 'lost', b'l' * 32)}\n"]
    output = io.StringIO()
    with pytest.raises(StackError, match="1 texts stay encrypted:\n  1 of: LOG_ENCRYPTION_KEYS has no key lost"):
        decrypt_lines(lines, output, KEYS)
    assert output.getvalue().startswith("yes\nenc:v1:lost:")
