"""Which URLs and IP addresses a client node may have; rules without a network."""

from __future__ import annotations

import ipaddress

from yarl import URL

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NODE_PORTS = {443, 8443}
_NEVER = [
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local, and every cloud's metadata service
        "168.63.129.16/32",  # Azure's wire server, a public address reachable only from inside
        "fd00:ec2::/32",  # AWS metadata over IPv6
        "fd20:ce::254/128",  # Google Cloud metadata over IPv6
        "fe80::/10",
        "100.100.100.200/32",  # Alibaba Cloud's metadata
        "192.0.0.192/32",  # Oracle Cloud's
        "0.0.0.0/32",
        "::/128",
        "255.255.255.255/32",
        "224.0.0.0/4",
        "ff00::/8",
    )
]
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = [  # public by is_global of Python 3.11.7, special by IANA's registries (read 2026-11-21)
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; Oracle Cloud's metadata service was 192.0.0.192
        "192.88.99.0/24",
        "3fff::/20",
    )
]
_EMBEDS_IPV4 = [  # in the last 32 bits: NAT64, its local form, IPv4-translated, IPv4-compatible
    ipaddress.ip_network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")
]


class ForbiddenAddressError(OSError):
    """The URL or the address of a client node is not allowed."""


def embedded_address(address: Address) -> Address:
    """The IPv4 address that is embedded in an IPv6 address (mapped, NAT64, 6to4, Teredo), else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped or address.sixtofour:
            return address.ipv4_mapped or address.sixtofour or address
        if address.teredo:
            return address.teredo[1]
        is_own = address.is_loopback or address.is_unspecified
        if not is_own and any(address in network for network in _EMBEDS_IPV4):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_allowed_address(text: str, *, allow_private: bool) -> bool:
    """Whether a client node may have this IP address; False for any other text."""
    try:
        real = embedded_address(ipaddress.ip_address(text.split("%", 1)[0]))
    except ValueError:
        return False
    if any(real in network for network in _NEVER):
        return False
    if allow_private:
        return True
    is_unicast = not real.is_multicast and (real.version == 4 or real in _GLOBAL_UNICAST)
    return is_unicast and real.is_global and not any(real in network for network in _NOT_PUBLIC)


def validate_node_url(url: str, *, allow_private: bool) -> None:
    """Raises ForbiddenAddressError for a node URL with a wrong scheme, port, userinfo or literal address."""
    try:
        parts = URL(url)  # the HTTP client's parser: another one may read a name where this one reads 127.0.0.1
        host = parts.host
    except ValueError as error:
        raise ForbiddenAddressError("malformed URL") from error
    if not host or "@" in url.partition("://")[2].partition("/")[0]:
        raise ForbiddenAddressError("no host, or credentials in the URL")
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise ForbiddenAddressError("scheme not allowed")
    if parts.port not in _NODE_PORTS and not allow_private:
        raise ForbiddenAddressError("port not allowed")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return  # a host name: GuardedResolver checks its addresses
    if not is_allowed_address(host, allow_private=allow_private):
        raise ForbiddenAddressError("address not allowed")
