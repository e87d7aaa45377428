"""Where we may send to, or fetch from, on a caller's word: rules on the URL, and on every address its name stands for.

A URL is looked at when it is set and before each use; its name is resolved each time, every address is checked, and the
connection goes to an address that was checked (`Destinations`). So no name can lead inside, however it is spelled and
whatever it resolves to later.

Callers' URLs (callbacks, webhooks, images) keep the rules without exception. For an engine's URL, which is an
operator's, the operator may name what else may be reached (`Allowed`); link-local addresses, where instances keep
their credentials, never.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from offpeak.core.errors import InvalidRequest

URL_CHARACTERS_MAX = 2_048
NAME_CHARACTERS_MAX = 253
PORT_UNPRIVILEGED_MIN = 1_024
_PORTS = {"https": 443, "http": 80}
_URL = re.compile(r"[!-~\u00a1-\U0010fffd]+")  # printable, no blank
_ASCII_REST = re.compile(
    r"[A-Za-z0-9\-._~:/?@!$&'()*+,;=%\[\]]*"
)  # RFC 3986, without the fragment's sign
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Names that no public zone has: RFC 6761, 6762, 8375, 9476, ICANN's `internal`, and what routers make up.
_PRIVATE_ZONES = frozenset(
    {
        "alt", "arpa", "corp", "example", "home", "internal", "intranet", "invalid", "lan", "local",
        "localdomain", "localhost", "onion", "private", "test",
    }
)  # fmt: skip


class Reach(StrEnum):
    """How far: `public` is https to the internet's addresses. `loopback` adds http and this machine itself, for the
    local cloud alone. `nowhere` is for processes in a network without a way to the internet."""

    PUBLIC = "public"
    LOOPBACK = "loopback"
    NOWHERE = "nowhere"


Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What an operator lets us reach besides: hosts by name, and networks; there by http too, and at any port."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """Of names, addresses and networks, with commas between them. Raises ValueError, which names what is none."""
        names: set[str] = set()
        networks: list[Network] = []
        for each in filter(None, map(str.strip, text.split(","))):
            try:
                networks.append(ip_network(each))
                continue
            except ValueError:
                name = each.lower().removesuffix(".")
            if not all(map(_LABEL.fullmatch, name.split("."))) or _NUMBER.fullmatch(
                name.split(".")[-1]
            ):
                raise ValueError(f"{each[:80]!r} is neither a host's name nor a network.")
            names.add(name)
        return cls(names=frozenset(names), networks=tuple(networks))

    def admits(self, host: str, address: str) -> bool:
        """Whether this address may be connected to for this host."""
        try:
            plain = _unwrapped(ip_address(address))
        except ValueError:
            return False
        if plain is None or any(plain in network for network in _NEVER):
            return False
        return host in self.names or any(plain in network for network in self.networks)


NOTHING_MORE = Allowed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A URL that keeps the rules. `host` is a name in ASCII or an address, `target` the path with its query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What the header Host says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def parse_destination(
    url: str, reach: Reach = Reach.PUBLIC, *, allowed: Allowed = NOTHING_MORE,
    param: str | None = "url",
) -> Destination:  # fmt: skip
    """The URL's parts. An address that is written out is checked too. Raises InvalidRequest, which names `param`."""
    try:
        return _parsed(url, reach, allowed)
    except _Refused as refusal:
        raise InvalidRequest(str(refusal), param=param, code="invalid_url") from None


def check_addresses(
    addresses: list[str], reach: Reach = Reach.PUBLIC, *, host: str = "",
    allowed: Allowed = NOTHING_MORE, param: str | None = "url",
) -> None:  # fmt: skip
    """Raises InvalidRequest (code `destination_refused`) unless there are some, and every one may be connected to: a
    name of which a single address leads inside is refused as a whole."""
    if not addresses or not all(
        is_allowed(address, reach) or allowed.admits(host, address) for address in addresses
    ):
        raise InvalidRequest(
            "This destination is not reachable from here: its name must stand for public internet addresses only.",
            param=param,
            code="destination_refused",
        )


def is_allowed(address: str, reach: Reach = Reach.PUBLIC) -> bool:
    """Whether we may connect to this address, of IPv4 or IPv6, in whatever form it comes."""
    try:
        plain = _unwrapped(ip_address(address))
    except ValueError:
        return False
    if plain is None or reach is Reach.NOWHERE:
        return False
    if reach is Reach.LOOPBACK and plain.is_loopback:
        return True
    if isinstance(plain, IPv4Address):
        return not any(plain in network for network in _NOT_PUBLIC_V4)
    return plain in _GLOBAL_UNICAST and not any(plain in network for network in _NOT_PUBLIC_V6)


# IANA's special-purpose registries, whole: what isn't globally reachable, and what only looks as if it were.
_NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by carriers
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local: instance metadata, task credentials
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
# Where instances and tasks keep their credentials, and what is nobody's: no operator's list opens these.
_NEVER: tuple[Network, ...] = (
    IPv4Network("0.0.0.0/8"), IPv4Network("169.254.0.0/16"), IPv4Network("224.0.0.0/3"),
    IPv6Network("::/128"), IPv6Network("fd00:ec2::/32"), IPv6Network("fe80::/10"), IPv6Network("ff00::/8"),
)  # fmt: skip


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address | None:
    """The IPv4 address that an IPv6 one carries: where a packet to it arrives. None for a scoped address."""
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        return None
    carried = address.ipv4_mapped or address.sixtofour
    if carried is None and address in _NAT64:
        carried = IPv4Address(int(address) & 0xFFFFFFFF)
    return carried or address


class _Refused(Exception):
    """The message says what is wrong with the URL."""


def _parsed(url: str, reach: Reach, allowed: Allowed) -> Destination:
    if len(url) > URL_CHARACTERS_MAX:
        raise _Refused(f"A URL has at most {URL_CHARACTERS_MAX:,} characters.")
    if not _URL.fullmatch(url) or "\\" in url or "#" in url:
        raise _Refused("The URL must be printable, without blanks, backslashes or a fragment.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _Refused("This is not a URL.") from None
    listed = _listed(parts.hostname or "", allowed)
    if reach is Reach.NOWHERE and not listed:
        raise _Refused("This deployment fetches nothing from the internet.")
    if parts.scheme not in ({"https", "http"} if reach is Reach.LOOPBACK or listed else {"https"}):
        raise _Refused("The URL must begin with https://.")
    if "@" in parts.netloc:
        raise _Refused("The URL must not carry a user name or a password.")
    if listed:
        return Destination(
            scheme=parts.scheme,
            host=listed,
            port=port or _PORTS[parts.scheme],
            target=_target(parts),
        )
    return Destination(
        scheme=parts.scheme,
        host=_host(parts.hostname or "", reach),
        port=_port(parts.scheme, port),
        target=_target(parts),
    )


def _listed(host: str, allowed: Allowed) -> str | None:
    """The host as an operator's list has it, by name or by its network."""
    name = host.lower().removesuffix(".")
    return name if name in allowed.names or allowed.admits("", name) else None


def _port(scheme: str, port: int | None) -> int:
    usual = _PORTS[scheme]
    if port is None or port == usual:
        return usual
    if port < PORT_UNPRIVILEGED_MIN:
        raise _Refused(f"The port must be {usual}, or from {PORT_UNPRIVILEGED_MIN} to 65535.")
    return port


def _target(parts: SplitResult) -> str:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _ASCII_REST.fullmatch(target):
        raise _Refused("Path and query must be percent-encoded ASCII.")
    return target


def _host(host: str, reach: Reach) -> str:
    """Names in ASCII (IDNA), in lower case, without the root's dot."""
    if ":" in host:
        return _address(host, reach)
    try:
        name = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise _Refused("The URL's host is not a name.") from None
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # What C libraries take for an IPv4 address in one of its many spellings. One of them is plain.
        return _address(name, reach)
    if not 0 < len(name) <= NAME_CHARACTERS_MAX or not all(map(_LABEL.fullmatch, labels)):
        raise _Refused("The URL's host is not a name.")
    if reach is Reach.LOOPBACK and name == "localhost":
        return name
    if len(labels) == 1 or labels[-1] in _PRIVATE_ZONES:
        raise _Refused(f"The host {name[:80]} is not a public internet name.")
    return name


def _address(text: str, reach: Reach) -> str:
    if not is_allowed(text, reach):
        raise _Refused(f"The address {text[:80]} is not a public internet address.")
    return str(ip_address(text))
