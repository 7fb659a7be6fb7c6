"""Which addresses count as public."""

import pytest

from service.common.public_address import is_public_address


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "172.15.255.255", "100.63.255.255", "2606:4700::1111", "2001:4860:4860::8888"]
)
def test_an_address_on_the_internet_is_public(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fc00::1", "fd12::1"),
        *("127.0.0.1", "127.255.255.255", "::1"),
        *("169.254.169.254", "fe80::1", "fe80::1%eth0", "fec0::1"),
        *("100.64.0.1", "100.127.255.255"),
        *("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"),
        *("0.0.0.0", "::", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "203.0.113.9", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:8.8.8.8", "::8.8.8.8"),
        *("2002:7f00:1::", "2002:808:808::1", "192.88.99.1", "2001:0:7f00:1::"),
        *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1"),
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    """Private, loopback, link-local, shared, multicast, reserved; mapped, 6to4, Teredo, NAT64, with any inside."""
    assert not is_public_address(address)


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match="localhost"):
        is_public_address("localhost")
