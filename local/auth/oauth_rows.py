"""The rows of the OAuth server in the `auth` tables; each function runs in the transaction of its caller."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Iterable
from typing import Any, NamedTuple

from local.auth.accounts import Connection, fetch_one

_FIELDS = """authorization_id, client_id::text, user_id::text, redirect_uri, scope, state, resource,
    code_challenge_method || ':' || code_challenge"""


class Client(NamedTuple):
    """A registered app; without a hash it has no secret."""

    id: str
    redirect_uris: list[str]
    secret_hash: str | None

    def has_secret(self, secret: str) -> bool:
        """Whether this is the app's secret; an app without one sends none."""
        return self.secret_hash is None or hmac.compare_digest(_hash(secret), self.secret_hash)


class Authorization(NamedTuple):
    """A request for consent. `user_id` is None before a user has opened it."""

    authorization_id: str
    client_id: str
    user_id: str | None
    redirect_uri: str
    scope: str
    state: str | None
    resource: str | None
    challenge: str


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def add_client(
    connection: Connection,
    fields: dict[str, Any],
    redirect_uris: list[str],
    granted: Iterable[str],
    method: str,
    secret: str | None,
) -> dict[str, Any]:
    """The registration of a new app, without its secret."""
    client_id = str(uuid.uuid4())
    names = {name: str(value)[:1024] for name, value in fields.items() if value}
    kind = "confidential" if secret else "public"
    await connection.execute(
        b"""insert into auth.oauth_clients (id, client_secret_hash, registration_type, redirect_uris, grant_types,
              client_name, client_uri, logo_uri, client_type, token_endpoint_auth_method)
            values ($1, $2, 'dynamic', $3, $4, $5, $6, $7, $8, $9)""",
        (
            client_id,
            _hash(secret) if secret else None,
            json.dumps(redirect_uris),
            ",".join(granted),
            names.get("client_name"),
            names.get("client_uri"),
            names.get("logo_uri"),
            kind,
            method,
        ),
    )
    return {
        "client_id": client_id,
        "client_type": kind,
        "redirect_uris": redirect_uris,
        "token_endpoint_auth_method": method,
        "grant_types": list(granted),
        "response_types": ["code"],
        "registration_type": "dynamic",
        **names,
    }


async def find_client(connection: Connection, client_id: str) -> Client | None:
    """The app with this id; None when there is none."""
    try:
        known = str(uuid.UUID(client_id))
    except ValueError:
        return None
    row = await fetch_one(
        connection,
        """select id::text, redirect_uris, client_secret_hash from auth.oauth_clients
           where id = $1 and deleted_at is null""",
        known,
    )
    return Client(row[0], json.loads(row[1]), row[2]) if row else None


async def client_json(connection: Connection, client_id: str) -> dict[str, Any]:
    """What the consent page shows of an app."""
    row = await fetch_one(
        connection, "select client_name, client_uri, logo_uri from auth.oauth_clients where id = $1", client_id
    )
    shown = zip(("name", "uri", "logo_uri"), row, strict=True)
    return {"id": client_id} | {name: value or "" for name, value in shown}


async def add_authorization(connection: Connection, query: dict[str, str], challenge: str) -> str:
    """The id of a new request for consent."""
    method, _, value = challenge.partition(":")
    authorization_id = secrets.token_urlsafe(24)
    await connection.execute(
        b"""insert into auth.oauth_authorizations (authorization_id, client_id, redirect_uri, scope, state, resource,
              code_challenge, code_challenge_method) values ($1, $2, $3, $4, $5, $6, $7, $8)""",
        (
            authorization_id,
            query["client_id"],
            query["redirect_uri"],
            query.get("scope") or "email",
            query.get("state"),
            query.get("resource"),
            value,
            method,
        ),
    )
    return authorization_id


async def find_authorization(connection: Connection, authorization_id: str) -> Authorization | None:
    """The pending request; None for one that has ended or expired."""
    statement = f"""select {_FIELDS} from auth.oauth_authorizations
        where authorization_id = $1 and status = 'pending' and expires_at > now() for update"""
    row = await fetch_one(connection, statement, authorization_id)
    return Authorization(*row) if row else None


async def set_user(connection: Connection, authorization_id: str, user_id: str) -> None:
    """The request belongs to this user from now on."""
    await connection.execute(
        b"update auth.oauth_authorizations set user_id = $2 where authorization_id = $1", (authorization_id, user_id)
    )


async def approve(connection: Connection, authorization_id: str, code: str) -> None:
    """The request ends with a code."""
    await connection.execute(
        b"""update auth.oauth_authorizations set status = 'approved', authorization_code = $2
            where authorization_id = $1""",
        (authorization_id, code),
    )


async def end(connection: Connection, authorization_id: str) -> None:
    """The request ends without a code."""
    await connection.execute(
        b"update auth.oauth_authorizations set status = 'denied' where authorization_id = $1", (authorization_id,)
    )


async def use_code(connection: Connection, code: str) -> Authorization | None:
    """The request of a code, which ends; None for an unknown or expired code."""
    statement = f"""delete from auth.oauth_authorizations
        where authorization_code = $1 and status = 'approved' and expires_at > now() returning {_FIELDS}"""
    row = await fetch_one(connection, statement, code)
    return Authorization(*row) if row else None


async def has_consent(connection: Connection, user_id: str, client_id: str, scope: str) -> bool:
    """Whether the user consented to all of this scope before."""
    row = await fetch_one(
        connection,
        """select string_to_array(scopes, ' ') @> string_to_array($3, ' ') from auth.oauth_consents
           where user_id = $1 and client_id = $2 and revoked_at is null""",
        user_id,
        client_id,
        scope,
    )
    return bool(row and row[0])


async def add_consent(connection: Connection, found: Authorization) -> None:
    """The user consents."""
    await connection.execute(
        b"""insert into auth.oauth_consents (user_id, client_id, scopes) values ($1, $2, $3)
            on conflict (user_id, client_id) do update
              set scopes = excluded.scopes, granted_at = now(), revoked_at = null""",
        (found.user_id, found.client_id, found.scope),
    )


async def consents(connection: Connection, user_id: str) -> list[dict[str, Any]]:
    """The apps that the user consented to."""
    row = await fetch_one(
        connection,
        """select coalesce(jsonb_agg(jsonb_build_object('client', jsonb_build_object('id', c.id,
               'name', coalesce(c.client_name, ''), 'uri', coalesce(c.client_uri, ''),
               'logo_uri', coalesce(c.logo_uri, '')), 'scopes', string_to_array(o.scopes, ' '),
               'granted_at', o.granted_at) order by o.granted_at desc), '[]')
           from auth.oauth_consents as o join auth.oauth_clients as c on c.id = o.client_id
           where o.user_id = $1 and o.revoked_at is null""",
        user_id,
    )
    found: list[dict[str, Any]] = row[0]
    return found


async def revoke(connection: Connection, user_id: str, client_id: str) -> bool:
    """Takes back the consent and deletes the app's sessions; whether there was a consent."""
    row = await fetch_one(
        connection,
        """update auth.oauth_consents set revoked_at = now()
           where user_id = $1 and client_id = $2 and revoked_at is null returning 1""",
        user_id,
        client_id,
    )
    await connection.execute(
        b"delete from auth.sessions where user_id = $1 and oauth_client_id = $2", (user_id, client_id)
    )
    return row is not None
