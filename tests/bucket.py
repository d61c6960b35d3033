"""An S3 server on loopback (moto's), for what must hold on real object storage."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

import httpx
from moto.server import ThreadedMotoServer


@contextlib.contextmanager
def serving_bucket() -> Iterator[dict[str, str]]:
    """The variables with which a function finds a bucket of its own: SPOOL_URL under a prefix, and AWS_…."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        bucket = f"bucket-{secrets.token_hex(4)}"
        assert httpx.put(f"http://{host}:{port}/{bucket}").status_code == 200
        yield {
            "SPOOL_URL": f"s3://{bucket}/some/prefix",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_REGION": "us-east-1",
        }
    finally:
        server.stop()
