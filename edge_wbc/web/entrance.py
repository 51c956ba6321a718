"""The entrance: by a launch token where there are no users, by name and password where there are."""

from __future__ import annotations

import getpass
import hmac
import os
import secrets
from dataclasses import dataclass

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request

from edge_wbc.errors import EdgeWbcError, first_line
from edge_wbc.web.access import ADMINISTRATOR, User
from edge_wbc.web.attempts import Attempts
from edge_wbc.web.logins import Login, Logins
from edge_wbc.web.passwords import fits
from edge_wbc.web.users import LONGEST_NAME, Users, key_of

AT_ONCE = 1
"""Passwords compared at the same time: 64 MiB and one core each."""


class NotIn(EdgeWbcError):
    """Name and password do not fit."""


class TooOften(EdgeWbcError):
    """Too many attempts; ``wait_s`` says when the next is allowed."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = int(wait_s) + 1
        super().__init__(f"too many attempts; try again in {self.wait_s} s")


@dataclass(frozen=True, slots=True)
class Inside:
    """Somebody who is in."""

    user: User
    login: Login


class Entrance:
    """One server's. Used by the thread of its event loop."""

    def __init__(self, users: Users, *, alone: bool) -> None:
        """
        :param alone: let the owner of this process in by a launch token while there are no users.
        """
        self.users = users
        self.logins = Logins()
        self.attempts = Attempts()
        self.launch_token: str | None = secrets.token_urlsafe(32) if alone else None
        """Lets the owner's browsers in while this process runs: a browser that was closed has lost its cookie."""
        self._alone = alone
        self._comparing = CapacityLimiter(AT_ONCE)

    @property
    def alone(self) -> bool:
        """Whether the launch token is the way in.

        :raises InputRefused: the file of users can't be read.
        """
        return self._alone and not self.users.all()

    def inside(self, id_: str | None) -> Inside | None:
        """Who has this login, with the role they have now.

        :raises InputRefused: the file of users can't be read.
        """
        self.users.all()  # for one who has no login too: nobody gets further without the file
        login = self.logins.find(id_) if id_ else None
        if login is None or id_ is None:
            return None
        if login.proof is None:
            if self.alone:
                return Inside(User(login.name, ADMINISTRATOR), login)
        elif (entry := self.users.find(login.name)) is not None and hmac.compare_digest(entry.password, login.proof):
            return Inside(User(entry.name, entry.role), login)
        self.logins.end(id_)
        return None

    def launch(self, token: str, before: str | None) -> str | None:
        """A new login's id for whoever has the launch token; None: it is not that, or there are users now.

        :param before: the id of the login that the same browser had, which ends.
        :raises InputRefused: the file of users can't be read.
        """
        if self.launch_token is None or not self.alone:
            return None
        if not hmac.compare_digest(token.encode(), self.launch_token.encode()):
            return None
        self.logins.end(before or "")
        return self.logins.begin(account(), None)

    async def log_in(self, name: str, password: str, address: str, before: str | None) -> str:
        """A new login's id.

        :param before: the id of the login that the same browser had, which ends.
        :raises NotIn: name and password do not fit.
        :raises TooOften: too many attempts of late.
        :raises InputRefused: the file of users can't be read.
        """
        key = key_of(name[:LONGEST_NAME])
        if wait_s := self.attempts.begin(key, address):
            raise TooOften(wait_s)
        entry = self.users.find(name)
        stored = None if entry is None else entry.password
        if not await run_sync(fits, stored, password, limiter=self._comparing) or entry is None:
            raise NotIn("name and password do not fit; try again")
        self.attempts.succeeded(key, address)
        self.logins.end(before or "")
        return self.logins.begin(entry.name, entry.password)


def account() -> str:
    """The name of the system's account that this process has."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:  # an account without a name, as in some containers
        return f"account {os.getuid()}" if hasattr(os, "getuid") else first_line(error)


def entrance_of(request: Request) -> Entrance:
    entrance: Entrance = request.app.state.entrance
    return entrance
