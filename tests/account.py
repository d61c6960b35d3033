"""An AWS account on loopback (moto's), for what must hold in one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from moto.server import ThreadedMotoServer


@dataclass(frozen=True, slots=True)
class Account:
    """Where it answers, and with which variables a function, a CLI or a test reaches it."""

    url: str

    @property
    def environ(self) -> dict[str, str]:
        """The variables."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        """boto3's."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="anybody",
            aws_secret_access_key="anything",
        )

    def put_secrets(self, path: str, **values: str) -> None:
        """Encrypted parameters right under the path."""
        store = self.client("ssm")
        for name, value in values.items():
            store.put_parameter(Name=f"{path}{name}", Value=value, Type="SecureString", Overwrite=True)


@contextlib.contextmanager
def serving_account() -> Iterator[Account]:
    """The running account; moto keeps one a process, so what others made in it is there, too."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Account(f"http://{host}:{port}")
    finally:
        server.stop()
