"""Which IP addresses are on the public internet: the only ones that Loa may connect to because of a name in the DNS."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

IPV6_UNICAST = ip_network("2000::/3")
"""The only range of IPv6 from which public addresses are assigned. Outside it are, among others, addresses that stand
for one of IPv4: mapped (::ffff:0:0/96), translated (::ffff:0:0:0/96), compatible (::/96), NAT64 (64:ff9b::/96)."""
TUNNELS = tuple(map(ip_network, ("2001::/32", "2002::/16", "192.88.99.0/24")))
"""Teredo, 6to4 and its relays: they lead to an IPv4 address that nobody has checked."""
SPECIAL = tuple(map(ip_network, ("2001::/23", "2001:db8::/32", "3fff::/20", "100.64.0.0/10", "192.0.0.0/24")))
"""For protocols, documentation and carriers' own networks. Older versions of Python take some of them for public."""


class PrivateAddress(OSError):
    """A host has no address on the public internet."""


def is_public_address(text: str) -> bool:
    """Return whether `text` is an address on the public internet. Raises ValueError if it is not an address at all.

    Private, loopback, link-local, shared (RFC 6598), multicast, reserved and unspecified addresses are not, nor are
    those that stand for an IPv4 address, whichever.
    """
    address: IPv4Address | IPv6Address = ip_address(text)
    if address.version == 6 and address not in IPV6_UNICAST:
        return False
    if any(address in network for network in (*TUNNELS, *SPECIAL)):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved
