"""People, sessions and one-time links in the `auth` tables; each function is part of its caller's transaction."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import uuid
from typing import Any, NamedTuple

import psycopg

Connection = psycopg.AsyncConnection[Any]
User = dict[str, Any]

_SCRYPT = {"n": 1 << 12, "r": 8, "p": 1}  # small on purpose: it protects people of a development database
_PREFIX = "$local-scrypt$"
_USER = """
    select jsonb_strip_nulls(jsonb_build_object(
        'id', u.id, 'aud', u.aud, 'role', u.role, 'email', coalesce(u.email, ''), 'phone', coalesce(u.phone, ''),
        'email_confirmed_at', u.email_confirmed_at, 'confirmed_at', u.confirmed_at,
        'last_sign_in_at', u.last_sign_in_at, 'created_at', u.created_at, 'updated_at', u.updated_at,
        'banned_until', u.banned_until, 'is_anonymous', u.is_anonymous,
        'app_metadata', coalesce(u.raw_app_meta_data, '{}'), 'user_metadata', coalesce(u.raw_user_meta_data, '{}'),
        'identities', coalesce((select jsonb_agg(jsonb_build_object(
            'identity_id', i.id, 'id', i.provider_id, 'user_id', i.user_id, 'identity_data', i.identity_data,
            'provider', i.provider, 'last_sign_in_at', i.last_sign_in_at, 'created_at', i.created_at,
            'updated_at', i.updated_at, 'email', i.email) order by i.created_at)
          from auth.identities as i where i.user_id = u.id), '[]'))), u.encrypted_password
    from auth.users as u where u.deleted_at is null and
"""


class Account(NamedTuple):
    """A person as the API shows them, and their password's hash."""

    user: User
    password_hash: str | None

    def has_password(self, password: str) -> bool:
        """Whether this is the password."""
        stored = self.password_hash or ""
        if not stored.startswith(_PREFIX):
            return False
        raw = base64.b64decode(stored.removeprefix(_PREFIX))
        return hmac.compare_digest(raw[16:], hashlib.scrypt(password.encode(), salt=raw[:16], **_SCRYPT))


def _hash(password: str) -> str:
    salt = secrets.token_bytes(16)
    return _PREFIX + base64.b64encode(salt + hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT)).decode()


async def _one(connection: Connection, statement: str, *arguments: Any) -> Any:
    return await (await connection.execute(statement.encode(), arguments)).fetchone()


async def find(connection: Connection, *, user_id: str | None = None, email: str | None = None) -> Account | None:
    """The person with this id or address."""
    condition = "u.id = $1" if user_id else "lower(u.email) = lower($1) and not u.is_sso_user"
    row = await _one(connection, _USER + condition, user_id or email)
    return Account(*row) if row else None


async def page(connection: Connection, number: int, size: int) -> list[User]:
    """The newest people first."""
    statement = _USER + "true order by u.created_at desc, u.id limit $1 offset $2"
    rows = await (await connection.execute(statement.encode(), (size, size * (number - 1)))).fetchall()
    return [row[0] for row in rows]


async def create(
    connection: Connection,
    *,
    email: str | None = None,
    password: str | None = None,
    user_metadata: dict[str, Any] | None = None,
    app_metadata: dict[str, Any] | None = None,
    is_confirmed: bool = True,
    user_id: str | None = None,
) -> str:
    """A new person's id; without an address it is an anonymous one. Raises UniqueViolation for a known address."""
    user_id = user_id or str(uuid.uuid4())
    provider = {"provider": "email", "providers": ["email"]} if email else {}
    await connection.execute(
        b"""insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
              raw_app_meta_data, raw_user_meta_data, created_at, updated_at, is_anonymous,
              confirmation_token, recovery_token, email_change_token_new, email_change)
            values ('00000000-0000-0000-0000-000000000000', $1, 'authenticated', 'authenticated', $2::text, $3,
              case when $4::boolean and $2::text is not null then now() end, $5, $6, now(), now(), $2::text is null,
              '', '', '', '')""",
        (
            user_id,
            email,
            _hash(password) if password else None,
            is_confirmed,
            json.dumps(provider | (app_metadata or {})),
            json.dumps(user_metadata or {}),
        ),
    )
    if email:
        identity = {"sub": user_id, "email": email, "email_verified": is_confirmed, "phone_verified": False}
        await connection.execute(
            b"""insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at,
                  updated_at) values ($1::text, $1::uuid, $2, 'email', now(), now(), now())""",
            (user_id, json.dumps(identity)),
        )
    return user_id


async def change(connection: Connection, user_id: str, body: dict[str, Any]) -> None:
    """Writes those of email, password, user_metadata, app_metadata, ban_duration that are given."""
    await connection.execute(
        b"""update auth.users set
              raw_user_meta_data = coalesce(raw_user_meta_data, '{}') || coalesce($2::jsonb, '{}'),
              raw_app_meta_data = coalesce(raw_app_meta_data, '{}') || coalesce($3::jsonb, '{}'),
              encrypted_password = coalesce($4, encrypted_password), email = coalesce($5::text, email),
              email_confirmed_at =
                case when $5::text is null and not $6::boolean then email_confirmed_at else now() end,
              is_anonymous = is_anonymous and $5::text is null,
              banned_until = case $7::text when 'none' then null
                else coalesce(now() + $7::text::interval, banned_until) end,
              updated_at = now()
            where id = $1""",
        (
            user_id,
            json.dumps(body["user_metadata"]) if body.get("user_metadata") else None,
            json.dumps(body["app_metadata"]) if body.get("app_metadata") else None,
            _hash(body["password"]) if body.get("password") else None,
            body["email"].lower() if body.get("email") else None,
            bool(body.get("email_confirm")),
            body.get("ban_duration"),
        ),
    )


async def delete(connection: Connection, user_id: str) -> None:
    """Removes the person and, by the foreign keys, what hangs on them."""
    await connection.execute(b"delete from auth.users where id = $1", (user_id,))


async def open_session(
    connection: Connection, user_id: str, session_id: str | None = None, parent: str | None = None
) -> tuple[str, str]:
    """A new refresh token in a new or the given session: (session id, refresh token)."""
    if session_id is None:
        session_id = str(uuid.uuid4())
        await connection.execute(
            b"insert into auth.sessions (id, user_id, created_at, updated_at) values ($1, $2, now(), now())",
            (session_id, user_id),
        )
    await connection.execute(b"update auth.users set last_sign_in_at = now() where id = $1", (user_id,))
    token = secrets.token_urlsafe(12)
    await connection.execute(
        b"""insert into auth.refresh_tokens (token, user_id, revoked, created_at, updated_at, parent, session_id)
            values ($1, $2, false, now(), now(), $3, $4)""",
        (token, user_id, parent, session_id),
    )
    return session_id, token


async def spend_refresh_token(connection: Connection, token: str) -> tuple[str, str, bool] | None:
    """(user id, session id, whether it may be used): once, and again within ten seconds of that."""
    row = await _one(
        connection,
        """select user_id, session_id::text, not revoked or updated_at > now() - interval '10 s'
           from auth.refresh_tokens where token = $1 for update""",
        token,
    )
    if row and row[2]:
        await connection.execute(
            b"update auth.refresh_tokens set revoked = true, updated_at = now() where token = $1 and not revoked",
            (token,),
        )
    return tuple(row) if row else None


async def has_session(connection: Connection, session_id: str) -> bool:
    """Whether nobody has logged it out."""
    return await _one(connection, "select 1 from auth.sessions where id = $1", session_id) is not None


async def close_sessions(connection: Connection, user_id: str, session_id: str | None, scope: str) -> None:
    """Logs out: this session (`local`), every other one (`others`), or all (`global`)."""
    chosen = {"local": "and id = $2", "others": "and id <> $2"}.get(scope, "and $2::uuid is distinct from user_id")
    statement = f"delete from auth.sessions where user_id = $1 {chosen}"
    await connection.execute(statement.encode(), (user_id, session_id))


async def new_link(connection: Connection, user_id: str, email: str) -> tuple[str, str]:
    """A one-time code and its hash, good for an hour; an earlier one of the person ends."""
    code = f"{secrets.randbelow(10**6):06d}"
    hashed = link_hash(email, code)
    await connection.execute(
        b"""insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to)
            values ($1, $2, 'recovery_token', $3, $4)
            on conflict (user_id, token_type) do update set token_hash = excluded.token_hash, created_at = now()""",
        (str(uuid.uuid4()), user_id, hashed, email),
    )
    return code, hashed


def link_hash(email: str, code: str) -> str:
    """What is stored of a code."""
    return hashlib.sha224((email.lower() + code).encode()).hexdigest()


async def spend_link(connection: Connection, hashed: str) -> str | None:
    """The id of the person it was made for, whose address is confirmed by it; None for an unknown or old one."""
    row = await _one(
        connection,
        """delete from auth.one_time_tokens where token_hash = $1 and created_at > now() - interval '1 hour'
           returning user_id::text""",
        hashed,
    )
    if row is None:
        return None
    await connection.execute(
        b"update auth.users set email_confirmed_at = coalesce(email_confirmed_at, now()) where id = $1", (row[0],)
    )
    return str(row[0])
