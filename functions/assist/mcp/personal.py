"""The tools that read what belongs to the user: `search_my_chats` and `my_usage`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from functions.assist.mcp.tool import READS, Caller, McpTool, Output
from shared import ledger_calls, supabase
from shared.auth import Person

_MAX_ROWS = 50


def _in_utc(moment: datetime) -> datetime:
    """The same moment in UTC, as the database takes every offset. Raises ValueError beside the years 1 to 9999."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is not within the years 1 to 9999") from None


class SearchMyChats(BaseModel):
    """Words to find."""

    model_config = ConfigDict(extra="forbid")

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)] = Field(
        description='Words of the messages; "a b" is a phrase, - excludes a word, `or` means either.'
    )
    conversation: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        None, description="The id of one conversation; without it all conversations of the user."
    )
    before: Annotated[AwareDatetime, AfterValidator(_in_utc)] | None = Field(
        None, description="Only messages before this time: that of the last row."
    )
    limit: int = Field(10, ge=1, le=_MAX_ROWS)


class FoundMessage(BaseModel):
    """A message with the words; `snippet` has ⟪ and ⟫ around them."""

    message_id: str
    conversation_id: str
    title: str | None
    role: str
    created_at: str
    snippet: str


class Found(BaseModel):
    """The newest messages with the words."""

    messages: list[FoundMessage]


class MyUsage(BaseModel):
    """The days and months of a time zone."""

    model_config = ConfigDict(extra="forbid")

    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(
        "UTC", description="An IANA name, such as `Europe/Vienna`."
    )


class Usage(BaseModel):
    """What the user spent: limits with a forecast, today and this month, and the last 30 days by model and more."""

    caps: list[dict[str, Any]]
    spent: dict[str, dict[str, Any]]
    by_model: list[dict[str, Any]]
    by_conversation: list[dict[str, Any]]
    dearest_answers: list[dict[str, Any]]


async def search_my_chats(caller: Caller, asked: SearchMyChats) -> Output:
    """The found messages. Raises AppNotAllowed, InsufficientScope, InvalidApiKey, DatabaseUnavailable."""
    arguments = {
        "query": asked.query,
        "chat_id": asked.conversation,
        "before": asked.before.isoformat() if asked.before else None,
        "max_rows": asked.limit,
    }
    rows = await _read(caller.person, "search_messages", arguments)
    messages = [{name: row[name] for name in FoundMessage.model_fields} for row in rows or ()]
    return Output({"messages": messages})


async def my_usage(caller: Caller, asked: MyUsage) -> Output:
    """The user's usage. Raises as `search_my_chats`, and Unprocessable for an unknown time zone."""
    return Output(await _read(caller.person, "my_usage", {"time_zone": asked.time_zone}))


async def _read(person: Person, name: str, arguments: dict[str, Any]) -> Any:
    """What the user's own function returns: called with their token, or by the service for a key or an app.

    The database reads the key or the app again, so that a revoked one reads nothing.
    """
    if person.api_key is None and person.client_id is None:
        return await supabase.rpc(name, arguments, supabase.as_caller(person.token))
    client = {"key_hash": person.api_key.digest} if person.api_key else {"claims": orjson.loads(person.claims)}
    call = {"client": client, "name": name, "arguments": arguments}
    return await ledger_calls.call("read_for_client", call, supabase.as_service)


SEARCH_MY_CHATS = McpTool(
    "search_my_chats",
    "Search my chats",
    "Finds messages in the user's own conversations by their words, the newest first. It costs nothing.",
    "history",
    SearchMyChats,
    Found.model_json_schema,
    search_my_chats,
    annotations=READS,
)
MY_USAGE = McpTool(
    "my_usage",
    "My usage and limits",
    "Shows what the user spent, by day, month, model and conversation, and what is left of their limits. It costs "
    "nothing.",
    "usage",
    MyUsage,
    Usage.model_json_schema,
    my_usage,
    annotations=READS,
)
