"""The credentials of each role: they allow what the function needs and nothing more."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared import spool
from tests.deploy.adapter import url_event
from tests.deploy.deployment import Deployment
from tests.stack.people import Stack


def test_refresh_drains_the_spool_and_quarantines_large_objects(
    deployed: Deployment, stack: Stack, bucket: str
) -> None:
    """Its role allows it to list, read, delete and copy."""
    refresh = deployed.start("refresh")
    sent = {"Authorization": f"Bearer {stack['CRON_SECRET']}", "Content-Type": "application/json"}
    event = url_event("POST", "/", sent, b'{"steps": ["spool"]}')
    assert refresh.invoke(event).status == 200  # now it has its secrets
    store, names = deployed.account.client("s3"), [f"{uuid.uuid4()}.{uuid.uuid4()}.json" for _ in range(2)]
    for name, content in zip(names, (b"nonsense", b" " * (spool.MAX_BYTES + 1)), strict=True):
        store.put_object(Bucket=bucket, Key=f"spool/{name}", Body=content)
    with deployed.account.guarded():
        step = refresh.invoke(event).json()["steps"]["spool"]
    assert (step["ok"], step["quarantined"]) == (True, 2), step
    left = {key for key in deployed.spooled() if any(name in key for name in names)}
    assert left == {f"spool/quarantine/{names[1]}"}


@pytest.mark.parametrize(
    ("function", "action", "key"),
    [
        ("chat", "get_object", "spool/x.json"),
        ("chat", "delete_object", "spool/x.json"),
        ("chat", "put_object", "elsewhere/x.json"),
        ("llms", "get_object", "spool/x.json"),
        ("llms", "put_object", "spool/x.json"),
        ("refresh", "put_object", "spool/x.json"),
        ("refresh", "get_object", "elsewhere/x.json"),
    ],
)
def test_other_actions_are_denied(deployed: Deployment, bucket: str, function: str, action: str, key: str) -> None:
    """An attacker in a function has only the rights of that function."""
    deployed.account.client("s3").put_object(Bucket=bucket, Key=key, Body=b"1")
    store = deployed.account.client("s3", deployed.role(function))
    arguments: dict[str, Any] = {"Bucket": bucket, "Key": key}
    with deployed.account.guarded(), pytest.raises(ClientError, match="AccessDenied"):
        getattr(store, action)(**arguments)
    deployed.account.client("s3").delete_object(Bucket=bucket, Key=key)
