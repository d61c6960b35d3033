"""AWS Signature Version 4 for a POST to `/` with a JSON body, the requests of AWS's JSON services."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key; `session_token` is empty for a key that does not expire."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return "Credentials(…)"


@dataclass(frozen=True, slots=True)
class Scope:
    """The region and service that a signature is valid for."""

    region: str
    service: str


def signed_headers(
    host: str, headers: dict[str, str], body: bytes, scope: Scope, credentials: Credentials, now: datetime
) -> dict[str, str]:
    """All headers of the request, `headers` included; `now` is in UTC."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    day = stamp[:8]
    sent = {name.lower(): value.strip() for name, value in headers.items()} | {"host": host, "x-amz-date": stamp}
    if credentials.session_token:
        sent["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(sent))
    listed = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
    request = "\n".join(("POST", "/", "", listed, names, hashlib.sha256(body).hexdigest()))
    place = f"{day}/{scope.region}/{scope.service}/aws4_request"
    to_sign = "\n".join(("AWS4-HMAC-SHA256", stamp, place, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in place.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    credential = f"Credential={credentials.access_key_id}/{place}"
    return sent | {"authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"}
