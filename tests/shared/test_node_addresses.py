"""Which URLs and addresses a client node may have."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.node_addresses import ForbiddenAddressError, embedded_address, is_allowed_address, validate_node_url

FORBIDDEN = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",  # noqa: S104 - rejected, not bound
    "224.0.0.1",
    "255.255.255.255",
    "192.0.0.192",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "198.18.0.1",
    "192.88.99.1",
    "203.0.113.5",
    "240.0.0.1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::7f00:1",
    "fd20:ce::254",
    "fec0::1",
    "ff0e::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "localhost",
    "127.1",
    "",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_internal_addresses_are_rejected_in_every_form(address: str) -> None:
    """Private, local, metadata and multicast addresses are rejected, also mapped, translated or tunnelled."""
    assert not is_allowed_address(address, allow_private=False)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_public_addresses_are_allowed(address: str) -> None:
    """A client node may have a public address."""
    assert is_allowed_address(address, allow_private=False)


def test_a_laptop_may_allow_private_addresses_but_never_metadata() -> None:
    """ALLOW_PRIVATE_NODES opens loopback and private networks; metadata services stay blocked."""
    assert is_allowed_address("127.0.0.1", allow_private=True)
    assert is_allowed_address("192.168.1.1", allow_private=True)
    assert not is_allowed_address("169.254.169.254", allow_private=True)
    assert not is_allowed_address("::ffff:169.254.169.254", allow_private=True)
    assert not is_allowed_address("64:ff9b::a9fe:a9fe", allow_private=True)
    assert not is_allowed_address("168.63.129.16", allow_private=True)
    assert not is_allowed_address("fd00:ec2::254", allow_private=True)
    assert not is_allowed_address("fd20:ce::254", allow_private=True)


@given(st.ip_addresses(v=4))
def test_an_embedded_address_has_the_verdict_of_its_ipv4_address(address: ipaddress.IPv4Address) -> None:
    """A mapped, translated or tunnelled IPv4 address is allowed exactly when the plain address is."""
    number = int(address)
    for embedding in ((0xFFFF << 32) + number, (0x64FF9B << 96) + number, (0x2002 << 112) + (number << 80)):
        other = ipaddress.IPv6Address(embedding)
        assert embedded_address(other) == address
        for allow_private in (False, True):
            allowed = is_allowed_address(str(address), allow_private=allow_private)
            assert is_allowed_address(str(other), allow_private=allow_private) == allowed


@pytest.mark.parametrize(
    "url",
    [
        "http://node.example/v1",
        "ftp://node.example/v1",
        "https://node.example:22/v1",
        "https://user:pw@node.example/v1",
        "https://@node.example/v1",
        "https:///v1",
        "https://127.0.0.1/v1",
        "https://[::1]/v1",
        "https://[::ffff:10.0.0.1]/v1",
        "https://node.example:99999/v1",
        "https://node.example:80/v1",
        "https://user@node.example/v1",
        "https://node.example\\@127.0.0.1/v1",
        "https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/v1",
        "https://127。0。0。1/v1",
        "https://[fe80::1%25eth0]/v1",
        "https://[64:ff9b::7f00:1]/v1",
        "//node.example/v1",
        "node.example",
        "file:///etc/passwd",
        "",
    ],
)
def test_wrong_urls_are_rejected(url: str) -> None:
    """Only https on its two ports, without credentials, to a host that is not a private address."""
    with pytest.raises(ForbiddenAddressError):
        validate_node_url(url, allow_private=False)


@pytest.mark.parametrize("url", ["https://node.example/v1", "https://node.example:8443/v1", "https://93.184.216.34/v1"])
def test_right_urls_are_accepted(url: str) -> None:
    """An https URL on port 443 or 8443 is accepted."""
    validate_node_url(url, allow_private=False)
