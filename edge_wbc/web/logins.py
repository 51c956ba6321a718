"""Who is in: logins kept in memory, each known by a random id in a cookie. They end with the server."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

IDLE_S = 3600.0
"""A login that asks for nothing so long has ended. A page that shows a running session asks all the time."""
WHOLE_S = 12 * 3600.0
"""A login ends after a day's work, whatever it does."""
MOST = 256
"""At once; one more ends the one that was idle the longest."""


def _token() -> str:
    return secrets.token_urlsafe(32)


@dataclass(slots=True)
class Login:
    """Somebody's."""

    name: str
    proof: str | None
    """The hash of the password that opened it, so that another password ends it; None: the launch token did."""
    began_s: float
    seen_s: float
    csrf: str = field(default_factory=_token)
    """What every change must carry: another site can't know it."""


class Logins:
    """Used by one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logins: dict[str, Login] = {}

    def begin(self, name: str, proof: str | None) -> str:
        """A new login's id: never one that came from outside."""
        now_s = self._clock()
        if len(self._logins) >= MOST:
            self.end(min(self._logins, key=lambda id_: self._logins[id_].seen_s))
        id_ = _token()
        self._logins[id_] = Login(name, proof, now_s, now_s)
        return id_

    def find(self, id_: str) -> Login | None:
        """A login that goes on, and is not idle now; None where it has ended."""
        login = self._logins.get(id_)
        if login is None:
            return None
        now_s = self._clock()
        expires = login.proof is not None
        if expires and (now_s - login.seen_s >= IDLE_S or now_s - login.began_s >= WHOLE_S):
            self.end(id_)
            return None
        login.seen_s = now_s
        return login

    def end(self, id_: str) -> None:
        self._logins.pop(id_, None)
