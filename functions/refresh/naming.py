"""A model's readable key and name, from the provider's id."""

from __future__ import annotations

import re
from typing import Final

_DATE = re.compile(r"[-@](20\d{2})-?([01]\d)-?([0-3]\d)$")
_VERSION = re.compile(r"(?<=[a-z])-(\d)-(\d)(?=-|$)")  # claude-sonnet-4-6 is version 4.6
_UPPER: Final = {"gpt": "GPT", "oss": "OSS", "vl": "VL", "it": "IT", "glm": "GLM", "chatgpt": "ChatGPT"}
_UNCHANGED = re.compile(r"o\d.*|\d+o|\d+[a-z]\d*[a-z]?|[A-Z].*|.*[a-z][A-Z].*")
_MAX_KEY_LENGTH = 120


def key_of(upstream_id: str) -> str:
    """The model_key: `claude-sonnet-4-6`; lower case, no owner, no date."""
    name = without_date(upstream_id.rpartition("/")[2].lower())
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")[:_MAX_KEY_LENGTH].strip("-") or "model"


def name_of(upstream_id: str) -> str:
    """The model_name for a provider that gives none: "Claude Sonnet 4.6", "GPT-4o mini", "Llama 3.1 8B Instruct"."""
    name = _VERSION.sub(r"-\1.\2", without_date(upstream_id.rpartition("/")[2]))
    words = [_word(word) for word in re.split(r"[-_:\s]+", name) if word]
    if words[:1] == ["GPT"] and len(words) > 1:
        # OpenAI writes "GPT-4o mini": a hyphen before the number, lower case after it.
        return " ".join([f"GPT-{words[1]}", *(word.lower() for word in words[2:])])
    return " ".join(words) or upstream_id


def without_date(upstream_id: str) -> str:
    """The id without the date of a snapshot; other ids unchanged."""
    return _DATE.sub("", upstream_id)


def _word(word: str) -> str:
    if word.lower() in _UPPER:
        return _UPPER[word.lower()]
    return word if _UNCHANGED.fullmatch(word) else word[:1].upper() + word[1:]
