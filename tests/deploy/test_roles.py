"""What a function may do with its role's credentials: all it has to, and not a step further."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared import spool
from tests.deploy.adapter import url_event
from tests.deploy.deployment import Deployment
from tests.stack.people import Stack


def test_refresh_drains_the_spool_and_sets_aside_what_is_too_large(
    deployed: Deployment, stack: Stack, bucket: str
) -> None:
    """It lists, reads, removes and copies with what its role allows."""
    refresh = deployed.start("refresh")
    sent = {"Authorization": f"Bearer {stack['CRON_SECRET']}", "Content-Type": "application/json"}
    event = url_event("POST", "/", sent, b'{"steps": ["spool"]}')
    assert refresh.invoke(event).status == 200  # from here on it has its secrets
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
def test_what_is_not_a_functions_business_is_denied(
    deployed: Deployment, bucket: str, function: str, action: str, key: str
) -> None:
    """Whoever takes a function over has what it had, and no more."""
    deployed.account.client("s3").put_object(Bucket=bucket, Key=key, Body=b"1")
    store = deployed.account.client("s3", deployed.role(function))
    arguments: dict[str, Any] = {"Bucket": bucket, "Key": key}
    with deployed.account.guarded(), pytest.raises(ClientError, match="AccessDenied"):
        getattr(store, action)(**arguments)
    deployed.account.client("s3").delete_object(Bucket=bucket, Key=key)
