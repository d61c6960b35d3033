"""Sessions, refresh tokens and one-time links in the `auth` tables, in the transaction of the caller."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from typing import NamedTuple

from local.auth.accounts import Connection, fetch_one

# A client that lost the response of a refresh retries it: GoTrue's reuse interval.
_REUSE = "interval '10 seconds'"


class UsedToken(NamedTuple):
    """A refresh token that a client sent. `successor` is the token that already replaced it; None without one.

    `client_id` is the OAuth app of the session; None for the user's own session.
    """

    user_id: str
    session_id: str
    is_usable: bool
    successor: str | None
    client_id: str | None


async def open_session(connection: Connection, user_id: str, client_id: str | None = None) -> tuple[str, str]:
    """The id and the first refresh token of a new session of the user, or of an OAuth app for the user."""
    session_id = str(uuid.uuid4())
    await connection.execute(
        b"""insert into auth.sessions (id, user_id, created_at, updated_at, oauth_client_id)
            values ($1, $2, now(), now(), $3)""",
        (session_id, user_id, client_id),
    )
    await connection.execute(b"update auth.users set last_sign_in_at = now() where id = $1", (user_id,))
    return session_id, await new_refresh_token(connection, user_id, session_id)


async def new_refresh_token(connection: Connection, user_id: str, session_id: str, parent: str | None = None) -> str:
    """The next refresh token of a session; it replaces `parent`."""
    token = secrets.token_urlsafe(12)
    await connection.execute(
        b"""insert into auth.refresh_tokens (token, user_id, revoked, created_at, updated_at, parent, session_id)
            values ($1, $2, false, now(), now(), $3, $4)""",
        (token, user_id, parent, session_id),
    )
    return token


async def use_refresh_token(connection: Connection, token: str) -> UsedToken | None:
    """Revokes a refresh token and returns its state; None for an unknown token.

    A token can be used once. It can be used again for 10 seconds, or as long as its successor is unused.
    """
    row = await fetch_one(
        connection,
        f"""select t.user_id, t.session_id::text,
              not t.revoked or t.updated_at > now() - {_REUSE} or s.token is not null, s.token,
              o.oauth_client_id::text
            from auth.refresh_tokens as t
            left join auth.sessions as o on o.id = t.session_id
            left join auth.refresh_tokens as s on s.parent = t.token and s.session_id = t.session_id and not s.revoked
            where t.token = $1 order by s.id desc limit 1 for update of t""",
        token,
    )
    await connection.execute(
        b"update auth.refresh_tokens set revoked = true, updated_at = now() where token = $1 and not revoked", (token,)
    )
    return UsedToken(*row) if row else None


async def has_session(connection: Connection, session_id: str) -> bool:
    """Whether the session still exists."""
    return await fetch_one(connection, "select 1 from auth.sessions where id = $1", session_id) is not None


async def close_sessions(connection: Connection, user_id: str, session_id: str | None, scope: str) -> None:
    """Logs out: this session (`local`), every other one (`others`), or all (`global`)."""
    statement, arguments = "delete from auth.sessions where user_id = $1", [user_id]
    if scope != "global":
        statement += " and id = $2" if scope == "local" else " and id is distinct from $2"
        arguments.append(session_id or str(uuid.UUID(int=0)))
    await connection.execute(statement.encode(), arguments)


async def new_link(connection: Connection, user_id: str, email: str, prefix: str = "") -> tuple[str, str]:
    """A one-time code and its hash with the prefix, valid for an hour; it replaces an earlier code of the user."""
    code = f"{secrets.randbelow(10**6):06d}"
    hashed = prefix + link_hash(email, code)
    await connection.execute(
        b"""insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to)
            values ($1, $2, 'recovery_token', $3, $4)
            on conflict (user_id, token_type) do update set token_hash = excluded.token_hash, created_at = now()""",
        (str(uuid.uuid4()), user_id, hashed, email),
    )
    return code, hashed


def link_hash(email: str, code: str) -> str:
    """The hash of a code, which is stored in its place."""
    return hashlib.sha224((email.strip().lower() + code).encode()).hexdigest()


async def use_link(connection: Connection, *hashes: str) -> str | None:
    """The id of the user of a link with one of these hashes, whose address is now confirmed.

    None for an unknown or expired link.
    """
    row = await fetch_one(
        connection,
        """delete from auth.one_time_tokens where token_hash = any ($1) and token_type = 'recovery_token'
             and created_at > now() - interval '1 hour' returning user_id::text""",
        list(hashes),
    )
    if row is None:
        return None
    await connection.execute(
        b"update auth.users set email_confirmed_at = coalesce(email_confirmed_at, now()) where id = $1", (row[0],)
    )
    return str(row[0])
