"""Encrypts the words of log rows with the operator's keys, and decrypts them (LOG_CONTENT=encrypted).

An encrypted text is `enc:v1:<key id>:<data>`: AES-256-GCM with a random nonce of 12 bytes before the ciphertext, in
base64 for URLs. The key's id is authenticated. A key may encrypt 2^32 texts.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.config import settings
from shared.privacy import WITHHELD, loggable, loggable_value

FIELD: Final = "encrypted"
"""The only field of an encrypted object in a JSON column."""
_PREFIX: Final = "enc:v1:"
_TEXT = re.compile(r"enc:v1:([\w.\-]{1,32}):([\w\-]{38,})")
_NONCE_BYTES = 12
_MAX_QUESTION_BYTES = 145_000  # chat_begin cuts a question at 200,000 characters; a cut ciphertext could not be read
_MAX_METADATA = 16_000


class CannotDecryptError(ValueError):
    """A text cannot be decrypted; the text of the error names the key's id and the reason."""


def keys_of(value: str) -> dict[str, bytes]:
    """The keys by id of LOG_ENCRYPTION_KEYS, `id:base64` between commas; the first one encrypts."""
    pairs = (each.strip().partition(":") for each in value.split(",") if each.strip())
    return {key_id: base64.b64decode(key, validate=True) for key_id, _, key in pairs}


def log_words(text: str) -> str | None:
    """The text for a log row: redacted, and encrypted if LOG_CONTENT says so; None when it is not kept."""
    mode = settings().log_content
    words = loggable(text, mode)
    return _encrypted(words) if mode == "encrypted" and words is not None else words


def log_question(text: str) -> str | None:
    """As `log_words`; a very long question is cut before it is encrypted."""
    if settings().log_content == "encrypted":
        text = text.encode(errors="replace")[:_MAX_QUESTION_BYTES].decode(errors="ignore")
    return log_words(text)


def log_value(value: Any) -> Any:
    """JSON for a log row: redacted, or `{"encrypted": …}`; None when it is not kept, or too large once encrypted."""
    mode = settings().log_content
    kept = loggable_value(value, mode)
    if mode != "encrypted" or not kept:
        return kept
    words = _encrypted(json.dumps(kept, ensure_ascii=False, separators=(",", ":")))
    return {FIELD: words} if words and len(words) <= _MAX_METADATA else None


def _encrypted(text: str) -> str:
    """The encrypted text; WITHHELD when that fails, because words must not be stored in another form."""
    try:
        key_id, key = next(iter(keys_of(settings().require("LOG_ENCRYPTION_KEYS")).items()))
        return encrypt(text, key_id, key)
    except Exception:  # noqa: BLE001 - words must not be written after any failure
        return WITHHELD


def encrypt(text: str, key_id: str, key: bytes) -> str:
    """The text as `enc:v1:…`. Raises ValueError for a key that has not 32 bytes."""
    nonce = os.urandom(_NONCE_BYTES)
    sealed = nonce + _cipher(key).encrypt(nonce, text.encode(errors="replace"), f"{_PREFIX}{key_id}".encode())
    return f"{_PREFIX}{key_id}:{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"


def decrypt(text: str, keys: Mapping[str, bytes]) -> str:
    """The words of one encrypted text. Raises CannotDecryptError."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise CannotDecryptError("The text is not of the form enc:v1:<key id>:<data>.")
    key_id, data = found.groups()
    if key_id not in keys:
        raise CannotDecryptError(f"LOG_ENCRYPTION_KEYS has no key {key_id}.")
    try:
        sealed = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
        aad = f"{_PREFIX}{key_id}".encode()
        return _cipher(keys[key_id]).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], aad).decode()
    except Exception as error:  # cryptography's InvalidTag, and base64's errors
        raise CannotDecryptError(f"The key {key_id} is not the one of this text, or the text was changed.") from error


def decrypt_all(line: str, keys: Mapping[str, bytes]) -> tuple[str, tuple[str, ...]]:
    """The line with every encrypted text replaced by its words, and the reasons for texts that stay encrypted.

    In a line of JSON the words are escaped, so that the line stays JSON. A field of CSV gets the quotes that it needs,
    so that no words of a user make fields or lines.
    """
    failed: list[str] = []
    is_json = line.lstrip()[:1] in {"{", "["}

    def words(found: re.Match[str]) -> str:
        try:
            text = decrypt(found.group(), keys)
        except CannotDecryptError as error:
            failed.append(str(error))
            return found.group()
        if is_json:
            return json.dumps(text, ensure_ascii=False)[1:-1]
        return _as_field(text, line[: found.start()][-2:], line[found.end() :][:1].strip())

    return _TEXT.sub(words, line), tuple(failed)


def _as_field(text: str, before: str, after: str) -> str:
    """The words after these two characters of a line of CSV, and before this one; a whole line gets no quotes."""
    if before == '""':  # in the JSON of a field
        text = json.dumps(text, ensure_ascii=False)[1:-1]
    if before.endswith('"'):
        return text.replace('"', '""')
    is_field = "," in (before[-1:], after) and before[-1:] in {",", ""} and after in {",", ""}
    if is_field and re.search(r'[",\r\n]', text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _cipher(key: bytes) -> AESGCM:
    if len(key) != 32:
        raise ValueError("a key has 32 bytes")
    return AESGCM(key)
