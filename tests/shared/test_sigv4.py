"""Signatures equal those of AWS's SDK."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as SdkCredentials

from shared.sigv4 import Credentials, Scope, signed_headers

_BODY = b'{"Path": "/parley/dev/", "WithDecryption": true}'
_HEADERS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.GetParametersByPath"}


@pytest.mark.parametrize("token", ["", "a-session-token//=="])
@pytest.mark.parametrize("host", ["ssm.eu-central-1.amazonaws.com", "127.0.0.1:5000"])
def test_a_signature_equals_the_sdks(host: str, token: str) -> None:
    """All signed headers and the signature are equal, byte by byte."""
    who = SdkCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token or None)
    request = AWSRequest("POST", f"https://{host}/", headers=_HEADERS, data=_BODY)
    SigV4Auth(who, "ssm", "eu-central-1").add_auth(request)
    sent = {name.lower(): value for name, value in request.headers.items()}
    ours = signed_headers(
        host,
        _HEADERS,
        _BODY,
        Scope("eu-central-1", "ssm"),
        Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token),
        datetime.strptime(sent["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
    )
    assert ours == sent | {"host": host}


def test_the_representation_has_no_key() -> None:
    """No key gets into a log by `repr`."""
    assert "secret" not in repr(Credentials("id", "secret", "secret token"))
