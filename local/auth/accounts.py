"""Users in the `auth` tables; each function runs in the transaction of its caller."""

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

_SCRYPT = {"n": 1 << 12, "r": 8, "p": 1}  # cheap on purpose: it protects the users of a development database only
_PREFIX = "$local-scrypt$"
_USER = """
    select jsonb_build_object(
        'id', u.id, 'aud', u.aud, 'role', u.role, 'email', coalesce(u.email, ''), 'phone', coalesce(u.phone, ''),
        'email_confirmed_at', u.email_confirmed_at, 'confirmed_at', u.confirmed_at,
        'last_sign_in_at', u.last_sign_in_at, 'created_at', u.created_at, 'updated_at', u.updated_at,
        'banned_until', u.banned_until, 'is_anonymous', u.is_anonymous,
        'app_metadata', coalesce(u.raw_app_meta_data, '{}'), 'user_metadata', coalesce(u.raw_user_meta_data, '{}'),
        'identities', coalesce((select jsonb_agg(jsonb_build_object(
            'identity_id', i.id, 'id', i.provider_id, 'user_id', i.user_id, 'identity_data', i.identity_data,
            'provider', i.provider, 'last_sign_in_at', i.last_sign_in_at, 'created_at', i.created_at,
            'updated_at', i.updated_at, 'email', i.email) order by i.created_at)
          from auth.identities as i where i.user_id = u.id), '[]')), u.encrypted_password,
        coalesce(u.banned_until > now(), false)
    from auth.users as u where u.deleted_at is null and
"""


class Account(NamedTuple):
    """A user: `user` is what the API returns, the other fields are private."""

    user: User
    password_hash: str | None
    is_banned: bool

    def has_password(self, password: str) -> bool:
        """Whether this is the user's password."""
        stored = self.password_hash or ""
        if not stored.startswith(_PREFIX):
            return False
        raw = base64.b64decode(stored.removeprefix(_PREFIX))
        return hmac.compare_digest(raw[16:], hashlib.scrypt(password.encode(), salt=raw[:16], **_SCRYPT))


def _hash(password: str) -> str:
    salt = secrets.token_bytes(16)
    return _PREFIX + base64.b64encode(salt + hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT)).decode()


async def fetch_one(connection: Connection, statement: str, *arguments: Any) -> Any:
    """The first row; None when there is none."""
    return await (await connection.execute(statement.encode(), arguments)).fetchone()


async def find(connection: Connection, *, user_id: str | None = None, email: str | None = None) -> Account | None:
    """The user with this id or address; None when there is none."""
    condition = "u.id = $1" if user_id else "lower(u.email) = lower($1) and not u.is_sso_user"
    row = await fetch_one(connection, _USER + condition, user_id or email)
    return Account(_without_nulls(row[0]), *row[1:]) if row else None


def _without_nulls(user: User) -> User:
    """The user without null members, as GoTrue returns it; nulls inside the metadata stay."""
    return {name: value for name, value in user.items() if value is not None}


async def page(connection: Connection, number: int, size: int) -> list[User]:
    """One page of users, newest first."""
    statement = _USER + "true order by u.created_at desc, u.id limit $1 offset $2"
    rows = await (await connection.execute(statement.encode(), (size, size * (number - 1)))).fetchall()
    return [_without_nulls(row[0]) for row in rows]


async def count(connection: Connection) -> int:
    """The number of users."""
    return int((await fetch_one(connection, "select count(*) from auth.users where deleted_at is null"))[0])


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
    """The id of a new user; anonymous without an address. Raises UniqueViolation for a known address."""
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
        await _upsert_identity(connection, user_id, email, is_confirmed)
    return user_id


async def _upsert_identity(connection: Connection, user_id: str, email: str, is_confirmed: bool) -> None:
    identity = {"sub": user_id, "email": email, "email_verified": is_confirmed, "phone_verified": False}
    await connection.execute(
        b"""insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at,
              updated_at) values ($1::text, $1::uuid, $2, 'email', now(), now(), now())
            on conflict (provider_id, provider) do update
              set identity_data = excluded.identity_data, updated_at = now()""",
        (user_id, json.dumps(identity)),
    )


async def change(connection: Connection, user_id: str, body: dict[str, Any]) -> None:
    """Updates email, password, user_metadata, app_metadata, ban_duration and email_confirm where they are given.

    Metadata is merged into the stored metadata; a null removes the member.
    """
    email, metadata = body.get("email"), body.get("user_metadata") or {}
    provider = {"provider": "email", "providers": ["email"]} if email else {}
    app_metadata = provider | (body.get("app_metadata") or {})
    await connection.execute(
        b"""update auth.users set
              raw_user_meta_data = (coalesce(raw_user_meta_data, '{}') || $2::jsonb) - $3::text[],
              raw_app_meta_data = (coalesce(raw_app_meta_data, '{}') || $4::jsonb) - $5::text[],
              encrypted_password = coalesce($6, encrypted_password), email = coalesce($7::text, email),
              email_confirmed_at =
                case when $7::text is null and not $8::boolean then email_confirmed_at else now() end,
              is_anonymous = is_anonymous and $7::text is null,
              banned_until = case $9::text when 'none' then null
                else coalesce(now() + $9::text::interval, banned_until) end,
              updated_at = now()
            where id = $1""",
        (
            user_id,
            json.dumps(metadata),
            _nulls(metadata),
            json.dumps(app_metadata),
            _nulls(app_metadata),
            _hash(body["password"]) if body.get("password") else None,
            email,
            bool(body.get("email_confirm")),
            body.get("ban_duration"),
        ),
    )
    if email:
        await _upsert_identity(connection, user_id, email, is_confirmed=True)


def _nulls(metadata: dict[str, Any]) -> list[str]:
    return [name for name, value in metadata.items() if value is None]


async def delete(connection: Connection, user_id: str) -> None:
    """Deletes the user; foreign keys apply to the dependent rows."""
    await connection.execute(b"delete from auth.users where id = $1", (user_id,))


async def soft_delete(connection: Connection, user_id: str) -> None:
    """Keeps the user's row and id but deletes personal data and sessions; the user can no longer sign in."""
    await connection.execute(b"delete from auth.sessions where user_id = $1", (user_id,))
    await connection.execute(b"delete from auth.identities where user_id = $1", (user_id,))
    await connection.execute(
        b"""update auth.users set deleted_at = now(), email = null, encrypted_password = null,
              raw_user_meta_data = '{}', raw_app_meta_data = '{}' where id = $1""",
        (user_id,),
    )
