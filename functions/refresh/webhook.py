"""Posts an alert to the operator's webhook: as Slack's JSON, and signed by Standard Webhooks when there is a secret.

https://www.standardwebhooks.com describes the signature.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from functions.refresh.alert_texts import text_of
from shared import http
from shared.config import settings

_POST_SECONDS = 5.0
_DATA = ("id", "scope", "period", "period_start", "threshold", "amount", "cap", "created_at", "is_recovery")


@dataclass(frozen=True, slots=True)
class Webhook:
    """The operator's address, and the key that signs; an empty key signs nothing."""

    url: URL
    key: bytes = b""

    def __repr__(self) -> str:
        return "Webhook(…)"

    async def is_accepted(self, row: dict[str, Any]) -> bool:
        """Whether the address answered 2xx to this row of cost_alerts."""
        body = json.dumps(self._payload(row)).encode()
        headers = {"Content-Type": "application/json"} | self._signature(f"alert_{row['id']}", body)
        try:
            async with (
                asyncio.timeout(_POST_SECONDS),
                http.session().post(self.url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False  # not logged: aiohttp's errors contain the URL, which is a secret

    def _payload(self, row: dict[str, Any]) -> dict[str, Any]:
        """Slack's field alone, or with the event, which Slack's own addresses would reject."""
        text = {"text": text_of(row)}
        if not self.key:
            return text
        kind = "alert.recovered" if row.get("is_recovery") else "alert.raised"
        data = {name: row[name] for name in _DATA if name in row}
        return {"type": kind, "timestamp": row.get("created_at"), "data": data} | text

    def _signature(self, message_id: str, body: bytes) -> dict[str, str]:
        if not self.key:
            return {}
        timestamp = str(int(time.time()))
        signed = b".".join((message_id.encode(), timestamp.encode(), body))
        signature = base64.b64encode(hmac.digest(self.key, signed, hashlib.sha256)).decode()
        return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}


def configured_webhook() -> Webhook | None:
    """The webhook of ALERT_WEBHOOK_URL and WEBHOOK_SECRET; None without an address. Raises NotConfigured."""
    url, secret = settings().checked("ALERT_WEBHOOK_URL"), settings().checked("WEBHOOK_SECRET")
    return Webhook(URL(url), base64.b64decode(secret.removeprefix("whsec_"))) if url else None
