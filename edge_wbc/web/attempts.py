"""How often anybody may try to log in: by name, by address, and all together."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST_KEYS = 4096
"""Names or addresses remembered. No flood gets one forgotten early: `ALL` lets in too few of them in that time."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, then one after another."""

    burst: int
    every_s: float


NAME = Rate(5, 20.0)
"""4,320 guesses a day of one name."""
ADDRESS = Rate(10, 6.0)
ALL = Rate(20, 1.0)
"""Comparing a password takes some 0.16 s of a core: a flood of log-ins from everywhere takes a sixth of one."""


class Buckets:
    """One rate, kept for each key."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._full_s: OrderedDict[str, float] = OrderedDict()
        """When each may do all at once again."""

    def wait_s(self, key: str) -> float:
        """Until one more is allowed; 0 if it is now."""
        spare_s = (self._rate.burst - 1) * self._rate.every_s
        return max(0.0, self._full_s.get(key, 0.0) - self._clock() - spare_s)

    def take(self, key: str) -> None:
        self._full_s[key] = max(self._full_s.pop(key, 0.0), self._clock()) + self._rate.every_s
        if len(self._full_s) > MOST_KEYS:
            self._full_s.popitem(last=False)

    def give_back(self, key: str) -> None:
        if key in self._full_s:
            self._full_s[key] -= self._rate.every_s


class Attempts:
    """Those to log in. Each counts from its start, and no more once it has succeeded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets = tuple(Buckets(rate, clock) for rate in (NAME, ADDRESS, ALL))

    def begin(self, name: str, address: str) -> float:
        """Seconds to wait before another attempt is allowed; 0: this one is, and is counted."""
        pairs = tuple(zip(self._buckets, (name, network_of(address), ""), strict=True))
        wait_s = max(bucket.wait_s(key) for bucket, key in pairs)
        if not wait_s:
            for bucket, key in pairs:
                bucket.take(key)
        return wait_s

    def succeeded(self, name: str, address: str) -> None:
        for bucket, key in zip(self._buckets, (name, network_of(address), ""), strict=True):
            bucket.give_back(key)


def network_of(address: str) -> str:
    """What one person has: an IPv4 address, or the /64 that holds an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
