"""Decrypts texts of the log: `python -m local decrypt` replaces each `enc:v1:…` in its input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TextIO

from local.errors import StackError
from shared.log_encryption import decrypt_all, keys_of


def decrypt_lines(lines: Iterable[str], output: TextIO, keys: str) -> None:
    """Writes each line with its texts decrypted; `keys` is the value of LOG_ENCRYPTION_KEYS.

    Raises StackError at the end, with the number of texts that stay encrypted and the reasons.
    """
    by_id = keys_of(keys)
    failed: Counter[str] = Counter()
    for line in lines:
        words, reasons = decrypt_all(line, by_id)
        failed.update(reasons)
        output.write(words)
    if failed:
        reasons_text = "\n".join(f"  {count} of: {reason}" for reason, count in failed.items())
        raise StackError(f"{failed.total()} texts stay encrypted:\n{reasons_text}")
