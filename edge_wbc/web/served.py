"""What is served under which names: the hosts, origins and cookies that are ours."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.IGNORECASE)
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Served:
    """How people reach this server."""

    names: frozenset[str]
    """In lower case. Those of a page that answers under another name are of another site."""
    any_address: bool
    """Whether a bare IP address is one of ours: a foreign site can only make a name point here, never an address."""
    secure: bool
    """Whether people come by TLS, here or at the proxy."""
    proxied: bool
    """Whether a proxy stands before it, which says who comes and how."""
    port: int

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names this server. Its port is not looked at: a tunnel has another."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found["name"].strip("[]").lower().rstrip(".")
        return name in self.names or (self.any_address and _is_address(name))

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"

    @property
    def cookie(self) -> str:
        """Its name: cookies are not kept apart by port. No other site can set one that begins so, over TLS."""
        return f"{'__Host-' * self.secure}edge-wbc-{self.port}"

    def is_from_here(self, headers: Mapping[str, str], *, has_token: bool) -> bool:
        """Whether a request that changes something comes from a page of this server, or from no browser.

        :param has_token: whether it has the token that only our pages know: then an origin kept back is forgiven.
        """
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if site is not None and site != "same-origin":
            return False
        if origin == "null":
            return site is not None or has_token
        return origin is None or origin.lower() == f"{self.scheme}://{headers.get('host', '')}".lower()

    def address_of(self, client: tuple[str, int] | None, headers: Mapping[str, str]) -> str:
        """Who comes: of what a proxy says, the last, which is its own word."""
        if self.proxied and (told := headers.get("x-forwarded-for", "").rpartition(",")[2].strip()):
            return told
        return client[0] if client else ""


def is_loopback(host: str) -> bool:
    """Whether all that a host name stands for is this machine itself.

    :raises OSError: it stands for nothing.
    """
    found = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    return all(ipaddress.ip_address(str(one).partition("%")[0]).is_loopback for one in found)


def own_names() -> frozenset[str]:
    """Under which others on the network may know this machine."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return frozenset({name, short, f"{short}.local"})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
