"""AWS Signature Version 4 for one kind of request: a POST to `/` with a JSON body, as AWS's JSON services take it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs; `session_token` is empty for a key that does not expire."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return "Credentials(…)"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is good for, besides its day."""

    region: str
    service: str


def signed_headers(
    host: str, headers: dict[str, str], body: bytes, scope: Scope, who: Credentials, now: datetime
) -> dict[str, str]:
    """All headers to send, `headers` among them; `now` in UTC."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    day = stamp[:8]
    sent = {name.lower(): value.strip() for name, value in headers.items()} | {"host": host, "x-amz-date": stamp}
    if who.session_token:
        sent["x-amz-security-token"] = who.session_token
    names = ";".join(sorted(sent))
    listed = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
    request = "\n".join(("POST", "/", "", listed, names, hashlib.sha256(body).hexdigest()))
    place = f"{day}/{scope.region}/{scope.service}/aws4_request"
    told = "\n".join(("AWS4-HMAC-SHA256", stamp, place, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{who.secret_access_key}".encode()
    for part in place.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, told.encode(), "sha256").hex()
    credential = f"Credential={who.access_key_id}/{place}"
    return sent | {"authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"}
