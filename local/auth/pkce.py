"""PKCE (RFC 7636): a link gives the browser a code, which only the client that asked for the link can exchange."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from typing import Any

from local.auth.accounts import Connection, fetch_one
from local.auth.errors import AuthError

PREFIX = "pkce_"
_METHODS = {"s256", "plain"}
_CHALLENGE = re.compile(r"[a-zA-Z._~0-9-]{43,128}")
# The exchange of the last link of a user, in the place of GoTrue's auth.flow_state.
_TYPE = "pkce_flow"


def read_challenge(body: dict[str, Any]) -> str | None:
    """The challenge of a request as `method:challenge`; None without one. Raises AuthError for half of one."""
    challenge, method = str(body.get("code_challenge") or ""), str(body.get("code_challenge_method") or "").lower()
    if not challenge and not method:
        return None
    if not challenge or not method:
        message = "PKCE flow requires code_challenge_method and code_challenge"
        raise AuthError(400, "validation_failed", message)
    if method not in _METHODS:
        raise AuthError(400, "validation_failed", f"unsupported code_challenge_method {method}")
    if not _CHALLENGE.fullmatch(challenge):
        message = "code challenge has to be between 43 and 128 characters of letters, digits and -._~"
        raise AuthError(400, "validation_failed", message)
    return f"{method}:{challenge}"


async def start(connection: Connection, user_id: str, challenge: str) -> None:
    """Stores the challenge of a user's link; it replaces that of an earlier link."""
    await connection.execute(
        b"""insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to)
            values ($1, $2, $3, $4, $5) on conflict (user_id, token_type) do update
              set token_hash = excluded.token_hash, relates_to = excluded.relates_to, created_at = now()""",
        (str(uuid.uuid4()), user_id, _TYPE, str(uuid.uuid4()), challenge),
    )


async def issue_code(connection: Connection, user_id: str) -> str | None:
    """The code for the redirect, valid for five minutes; None without a challenge of the user."""
    row = await fetch_one(
        connection,
        """update auth.one_time_tokens set created_at = now() where user_id = $1 and token_type = $2
           returning token_hash""",
        user_id,
        _TYPE,
    )
    return str(row[0]) if row else None


async def exchange(connection: Connection, code: str, verifier: str) -> str:
    """The id of the user of a code, which ends. Raises AuthError for a wrong code or verifier."""
    if not code or not verifier:
        message = "invalid request: both auth code and code verifier should be non-empty"
        raise AuthError(400, "validation_failed", message)
    row = await fetch_one(
        connection,
        """select user_id::text, relates_to, created_at < now() - interval '5 minutes'
           from auth.one_time_tokens where token_hash = $1 and token_type = $2 for update""",
        code,
        _TYPE,
    )
    if row is None:
        raise AuthError(404, "flow_state_not_found", "invalid flow state, no valid flow state found")
    user_id, challenge, is_expired = row
    if is_expired:
        raise AuthError(403, "flow_state_expired", "invalid flow state, flow state has expired")
    if not fits(verifier, challenge):
        message = "code challenge does not match previously saved code verifier"
        raise AuthError(400, "bad_code_verifier", message)
    await connection.execute(b"delete from auth.one_time_tokens where token_hash = $1", (code,))
    return str(user_id)


def fits(verifier: str, challenge: str) -> bool:
    """Whether the challenge, as `method:challenge`, is that of this verifier."""
    return hmac.compare_digest(_challenge_of(verifier, challenge.partition(":")[0]).encode(), challenge.encode())


def _challenge_of(verifier: str, method: str) -> str:
    if method == "plain":
        return f"plain:{verifier}"
    digest = hashlib.sha256(verifier.encode()).digest()
    return f"s256:{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
