"""The stand-in for Supabase Realtime: private broadcast channels over Phoenix's protocol, version 2.0.0.

It delivers what `realtime.send` stores. Presence, public channels and changes of tables are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row
from starlette.websockets import WebSocket, WebSocketDisconnect

from local.pool import Pool
from local.rest.errors import ApiError
from local.tokens import Tokens

_PREFIX = "realtime:"
_RECONNECT_SECONDS = 0.5


@dataclass(slots=True)
class Channel:
    """A topic that one client has joined, with the claims that let it."""

    socket: WebSocket
    join_ref: str
    topic: str
    claims: dict[str, Any]

    async def push(self, event: str, payload: Any, ref: str | None = None) -> None:
        """Sends one frame."""
        frame = [self.join_ref, ref, _PREFIX + self.topic, event, payload]
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the client has left
            await self.socket.send_text(json.dumps(frame))


class RealtimeApi:
    """The WebSocket endpoint of one database. The pool connects as `authenticator`."""

    def __init__(self, pool: Pool, tokens: Tokens, dsn: str) -> None:
        self._pool, self._tokens, self._dsn = pool, tokens, dsn
        self._channels: list[Channel] = []

    @contextlib.asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        """Delivers broadcasts until the end of the block."""
        task = asyncio.create_task(self._deliver())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def serve(self, socket: WebSocket) -> None:
        """Serves one client until it leaves."""
        try:
            self._tokens.role_of(socket.query_params.get("apikey"))
        except ApiError:
            await socket.close(1008)
            return
        await socket.accept()
        joined: dict[str, Channel] = {}
        try:
            while True:
                received = await socket.receive()
                if received["type"] == "websocket.disconnect":
                    break
                if text := received.get("text"):  # binary frames are broadcasts of clients, which no policy allows
                    await self._handle(socket, joined, *json.loads(text))
        finally:
            self._channels = [each for each in self._channels if each.socket is not socket]

    async def _handle(
        self, socket: WebSocket, joined: dict[str, Channel], join_ref: str, ref: str, topic: str, event: str, sent: Any
    ) -> None:
        async def reply(status: str, **response: Any) -> None:
            frame = [join_ref, ref, topic, "phx_reply", {"status": status, "response": response}]
            await socket.send_text(json.dumps(frame))

        if event == "phx_join":
            channel = Channel(socket, join_ref, topic.removeprefix(_PREFIX), self._claims(sent))
            if not sent.get("config", {}).get("private"):
                await reply("error", reason="The local stack has private channels only.")
            elif await self._may_read(channel):
                joined[topic] = channel
                self._channels.append(channel)
                await reply("ok", postgres_changes=[])
            else:
                reason = "Unauthorized: You do not have permissions to read from this Channel topic: "
                await reply("error", reason=reason + channel.topic)
        elif event == "access_token" and topic in joined:
            joined[topic].claims = self._claims(sent)
        elif event == "phx_leave":
            if left := joined.pop(topic, None):
                self._remove(left)
            await reply("ok")
        elif event == "heartbeat":
            await reply("ok")

    def _claims(self, sent: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._tokens.verify(sent.get("access_token") or "")
        except ApiError:
            return {"role": "anon"}

    async def _may_read(self, channel: Channel) -> bool:
        """Whether the policies of realtime.messages show a broadcast of this topic to the client."""
        role = "authenticated" if channel.claims.get("role") == "authenticated" else "anon"
        async with self._pool.connection(timeout=3) as connection, connection.transaction(force_rollback=True):
            await connection.execute("set local role service_role")
            cursor = await connection.execute(
                "insert into realtime.messages (topic, extension, private) values ($1, 'broadcast', true) returning id",
                [channel.topic],
            )
            row = await cursor.fetchone()
            await connection.execute(f"set local role {role}".encode())
            await connection.execute(
                "select set_config('request.jwt.claims', $1, true), set_config('realtime.topic', $2, true)",
                [json.dumps(channel.claims), channel.topic],
            )
            cursor = await connection.execute(
                "select 1 from realtime.messages where id = $1", [row[0] if row else None]
            )
            return await cursor.fetchone() is not None

    async def _deliver(self) -> None:
        while True:
            with contextlib.suppress(psycopg.Error):  # the database restarts
                async with await psycopg.AsyncConnection.connect(
                    self._dsn, autocommit=True, row_factory=dict_row
                ) as connection:
                    await connection.execute("set role service_role")
                    await connection.execute("listen parley_realtime")
                    async for notification in connection.notifies():
                        await self._broadcast(notification.payload)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _broadcast(self, message_id: str) -> None:
        async with self._pool.connection(timeout=3) as connection, connection.transaction():
            await connection.execute("set local role service_role")
            query = "select topic, event, payload from realtime.messages where id = $1::uuid"
            row = await (await connection.execute(query, [message_id])).fetchone()
        if row is None:
            return
        topic, event, payload = row
        frame = {"type": "broadcast", "event": event, "payload": payload, "meta": {"id": message_id}}
        for channel in [each for each in self._channels if each.topic == topic]:
            # Realtime itself checks at the join and at a new token only, and then closes the channel, too.
            if await self._may_read(channel):
                await channel.push("broadcast", frame)
            else:
                self._remove(channel)
                await channel.push("phx_close", {}, channel.join_ref)

    def _remove(self, channel: Channel) -> None:
        self._channels = [each for each in self._channels if each is not channel]
