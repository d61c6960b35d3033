"""Writes docs/openapi-<function>.json for every function: `python -m tools.openapi`."""

from __future__ import annotations

from shared.endpoint import document_path
from tools.openapi import documents, text_of

if __name__ == "__main__":
    for name, document in documents().items():
        document_path(name).write_text(text_of(document))
