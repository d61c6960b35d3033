"""An AWS account on loopback (moto's), for what must hold in one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from moto import settings
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

    def client(self, service: str, environ: Mapping[str, str] | None = None) -> Any:
        """The boto3 client for the credentials in `environ`."""
        who = self.environ | dict(environ or {})
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=who["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=who["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=who.get("AWS_SESSION_TOKEN"),
        )

    def as_role(self, arn: str) -> dict[str, str]:
        """The variables by which a function acts with its role."""
        assumed = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="function")["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": assumed["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": assumed["SecretAccessKey"],
            "AWS_SESSION_TOKEN": assumed["SessionToken"],
        }

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Meanwhile signatures are checked, and that a role's policies allow what is asked.

        Of S3 only: moto does not give policies the parameter or the queue. It denies conditions that it cannot see.
        """
        before = settings.INITIAL_NO_AUTH_ACTION_COUNT
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
        try:
            yield
        finally:
            settings.INITIAL_NO_AUTH_ACTION_COUNT = before

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
