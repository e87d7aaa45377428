"""No spelling and no address leads inside."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.destination import (
    URL_CHARACTERS_MAX,
    Destination,
    Reach,
    check_addresses,
    is_allowed,
    parse_destination,
)
from offpeak.core.errors import InvalidRequest

INSIDE_V4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
]  # fmt: skip
INSIDE_V6 = [
    "::/128", "::1/128", "::/96", "100::/64", "64:ff9b:1::/48", "2001::/32", "2001:2::/48",
    "2001:10::/28", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7", "fd00:ec2::254/128",
    "fe80::/10", "fec0::/10", "ff00::/8",
]  # fmt: skip


def addresses_in(network: str) -> st.SearchStrategy[int]:
    bounds = IPv6Network(network) if ":" in network else IPv4Network(network)
    return st.integers(int(bounds[0]), int(bounds[-1]))


inside_v4 = st.sampled_from(INSIDE_V4).flatmap(addresses_in).map(IPv4Address)
inside_v6 = st.sampled_from(INSIDE_V6).flatmap(addresses_in).map(IPv6Address)
any_v4 = st.integers(0, 2**32 - 1).map(IPv4Address)


def carried(address: IPv4Address) -> list[str]:
    """Every IPv6 form whose packets end at this IPv4 address."""
    number = int(address)
    return [
        str(IPv6Address((0xFFFF << 32) | number)),
        f"::ffff:{address}",
        str(IPv6Address((0x2002 << 112) | (number << 80) | 1)),
        str(IPv6Address(int(IPv6Address("64:ff9b::")) | number)),
    ]


@given(inside_v4)
def test_no_inside_address_of_ipv4_is_allowed_nor_any_ipv6_form_of_it(address: IPv4Address) -> None:
    assert not is_allowed(str(address))
    assert [form for form in carried(address) if is_allowed(form)] == []


@given(inside_v6)
def test_no_inside_address_of_ipv6_is_allowed(address: IPv6Address) -> None:
    assert not is_allowed(str(address))


@given(any_v4)
def test_pythons_own_table_agrees_with_every_allowed_ipv4_address(address: IPv4Address) -> None:
    if is_allowed(str(address)):
        assert address.is_global
        assert not address.is_multicast


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_pythons_own_table_agrees_with_every_allowed_ipv6_address(address: IPv6Address) -> None:
    if is_allowed(str(address)) and not (address.ipv4_mapped or address.sixtofour):
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2600:1f18::1", "2a00:1450:4001::1"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address)
    check_addresses([address])


def test_a_public_address_is_allowed_in_its_ipv6_forms_too() -> None:
    """An IPv6-only network reaches IPv4 by NAT64."""
    assert all(map(is_allowed, carried(IPv4Address("8.8.8.8"))))


@pytest.mark.parametrize("address", ["", "x", "8.8.8", "fe80::1%eth0", "2600::1%1", "010.8.8.8"])
def test_what_is_no_plain_address_is_not_allowed(address: str) -> None:
    assert not is_allowed(address)


def test_one_address_inside_refuses_the_name() -> None:
    for addresses in (["8.8.8.8", "10.0.0.1"], ["::1", "8.8.8.8"], []):
        with pytest.raises(InvalidRequest) as caught:
            check_addresses(addresses)
        assert (caught.value.code, caught.value.param) == ("destination_refused", "url")


@given(any_v4)
def test_loopback_reach_adds_this_machine_and_nothing_else(address: IPv4Address) -> None:
    added = is_allowed(str(address), Reach.LOOPBACK) and not is_allowed(str(address))
    assert added is (is_allowed(str(address), Reach.LOOPBACK) and address.is_loopback)
    assert not is_allowed("169.254.169.254", Reach.LOOPBACK)
    assert is_allowed("::1", Reach.LOOPBACK)
    assert not is_allowed("::1")


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("https://example.com", ("example.com", 443, "/", "example.com")),
        ("https://Example.COM:443/a?b=c", ("example.com", 443, "/a?b=c", "example.com")),
        ("https://hooks.example.com:8443/x%20y", ("hooks.example.com", 8443, "/x%20y", "hooks.example.com:8443")),
        ("https://bücher.example.com./", ("xn--bcher-kva.example.com", 443, "/", "xn--bcher-kva.example.com")),
        ("https://8.8.8.8/", ("8.8.8.8", 443, "/", "8.8.8.8")),
        ("https://[2600:1f18::1]:8443/", ("2600:1f18::1", 8443, "/", "[2600:1f18::1]:8443")),
        ("https://example.com?q=1", ("example.com", 443, "/?q=1", "example.com")),
    ],
)  # fmt: skip
def test_a_url_is_taken_apart(url: str, parsed: tuple[str, int, str, str]) -> None:
    found = parse_destination(url)
    assert (found.host, found.port, found.target, found.authority) == parsed
    assert found.scheme == "https"


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "//example.com", "http://example.com", "ftp://example.com", "https://",
        "https:///path", "https://user@example.com", "https://u:p@example.com",
        "https://example.com@10.0.0.1/", "https://example.com:22", "https://example.com:0",
        "https://example.com:65536", "https://example.com:x", "https://example.com/#f",
        "https://example.com/a b", "https://example.com/\r\nHost: x", "https://example.com\\@10.0.0.1/",
        "https://example.com/ü", "https://exa mple.com", "https://-a.com", "https://a..com",
        "https://" + "a" * 64 + ".com", "https://" + "a." * 130 + "com", "https://exa%6dple.com",
        "https://[::1]/", "https://[fe80::1%25eth0]/", "https://[::ffff:127.0.0.1]/", "https://[x]/",
        "https://localhost", "https://metadata", "https://metadata.google.internal",
        "https://ip-10-0-0-1.ec2.internal", "https://printer.local", "https://a.localhost",
        "https://127.0.0.1", "https://127.1", "https://2130706433", "https://0x7f000001",
        "https://0177.0.0.1", "https://0x7f.1", "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1./", "https://localhost./", "https://metadata.google.internal./",
        "https://0x7f000001./", "https://①②⑦.⓪.⓪.①/", "https://[::127.0.0.1]/",
        "https://[::ffff:0:7f00:1]/", "https://[64:ff9b::a9fe:a9fe]/", "https://[2002:a9fe:a9fe::1]/",
        "https://[2001:0:53aa:64c:0:fbff:5601:5601]/", "https://[fd00:ec2::254]/",
        "https://169.254.170.2", "https://１２７.0.0.1", "https://127。0。0。1", "https://0",
        "https://example.com/" + "x" * URL_CHARACTERS_MAX,
    ],
)  # fmt: skip
def test_a_url_that_breaks_a_rule_is_refused_and_its_parameter_named(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_destination(url, param="callback_url")
    assert (caught.value.code, caught.value.param) == ("invalid_url", "callback_url")


@given(inside_v4)
def test_no_address_inside_can_be_written_into_a_url(address: IPv4Address) -> None:
    octets = address.packed
    spellings = [
        str(address), str(int(address)), hex(int(address)), f"0x{octets[0]:x}.{int(address) & 0xFFFFFF}",
        ".".join(f"0{octet:o}" for octet in octets), *(f"[{form}]" for form in carried(address)),
    ]  # fmt: skip
    for spelling in spellings:
        with pytest.raises(InvalidRequest):
            parse_destination(f"https://{spelling}/")


@given(st.text(max_size=60), st.sampled_from(["", "https://", "https://a.com/", "https://a.com:"]))
def test_any_text_is_refused_or_taken_whole(text: str, before: str) -> None:
    try:
        found = parse_destination(before + text)
    except InvalidRequest:
        return
    assert isinstance(found, Destination)
    assert found.host.isascii()
    assert found.target.startswith("/")
    assert not set(found.target + found.host) & set(
        "\r\n \\#@" if "@" not in found.target else "\r\n \\#"
    )
    again = parse_destination(f"https://{found.authority}{found.target}")
    assert again == found


def test_the_local_cloud_alone_sends_to_itself_and_without_tls() -> None:
    for url, host in {
        "http://127.0.0.1:9000/hook": "127.0.0.1",
        "http://localhost:9000/hook": "localhost",
        "http://[::1]:9000/hook": "::1",
        "https://example.com/hook": "example.com",
    }.items():
        assert parse_destination(url, Reach.LOOPBACK).host == host
    for url in (
        "http://10.0.0.1/",
        "http://169.254.169.254/",
        "http://metadata/",
        "ftp://127.0.0.1/",
    ):
        with pytest.raises(InvalidRequest):
            parse_destination(url, Reach.LOOPBACK)


def test_addresses_are_compared_as_addresses() -> None:
    assert parse_destination("https://[2600:1F18:0::1]/").host == str(ip_address("2600:1f18::1"))


def test_a_process_without_a_way_out_sends_nowhere_and_says_so() -> None:
    with pytest.raises(InvalidRequest, match="fetches nothing from the internet"):
        parse_destination("https://example.com/a.png", Reach.NOWHERE)
    assert not is_allowed("93.184.216.34", Reach.NOWHERE)
    with pytest.raises(InvalidRequest):
        check_addresses(["93.184.216.34"], Reach.NOWHERE)
