"""Questions asked, edited and regenerated as `useChat` does it, and what the conversation then has."""

from __future__ import annotations

import uuid
from typing import Any

from tests.fakes.providers import Upstream
from tests.stack.people import Person

REGENERATE = {"trigger": "regenerate-message"}


def body_of(chat_id: str, model: str, text: str, **fields: Any) -> dict[str, Any]:
    """A question as `useChat` sends it."""
    message = {"id": fields.pop("id", uuid.uuid4().hex), "role": "user", "parts": [{"type": "text", "text": text}]}
    body = {"id": chat_id, "messages": [message], "trigger": "submit-message", "model": model, "stream": False}
    return body | fields


def ask(person: Person, chat_id: str, model: str, text: str, **fields: Any) -> dict[str, Any]:
    """The JSON answer to it, which must succeed."""
    response = person.ask(body_of(chat_id, model, text, **fields))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def kept_texts(person: Person, conversation_id: str) -> list[str]:
    """The texts of the conversation's messages, in order."""
    rows = person.rows(f"messages?conversation_id=eq.{conversation_id}&select=content&order=created_at")
    return [row["content"].strip() for row in rows]


def shown_messages(person: Person, chat_id: str) -> list[dict[str, Any]]:
    """The messages that a frontend loads for its chat."""
    response = person.rest("POST", "rpc/ui_messages", json={"chat_id": chat_id})
    assert response.status_code == 200, response.text
    messages: list[dict[str, Any]] = response.json()
    return messages


def texts_of(messages: list[dict[str, Any]]) -> list[str]:
    """Their texts."""
    return ["".join(part["text"] for part in m["parts"] if part["type"] == "text").strip() for m in messages]


def prompt_texts(upstream: Upstream, name: str = "echo") -> list[str]:
    """The messages of the last prompt, after the system prompt."""
    return [message["content"].strip() for message in upstream.calls_of(name)[-1].body["messages"][1:]]


def join(owner: Person, member: Person, conversation_id: str) -> None:
    """Makes a person a member of the owner's conversation."""
    row = {"conversation_id": conversation_id, "user_id": member.id}
    assert owner.rest("POST", "conversation_members", json=row).status_code == 201


def stored_turns(person: Person, conversation_id: str) -> list[tuple[str, str]]:
    """Role and text of the conversation's messages, in order."""
    rows = person.rows(f"messages?conversation_id=eq.{conversation_id}&select=role,content&order=created_at")
    return [(row["role"], row["content"]) for row in rows]
