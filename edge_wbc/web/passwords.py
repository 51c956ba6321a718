"""Passwords: hashed with argon2id, compared at one cost whether somebody has that name or not."""

from __future__ import annotations

import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from edge_wbc.errors import InputRefused

SHORTEST, LONGEST = 10, 200
"""Characters. NIST SP 800-63B asks for 8 at least where attempts are limited, as here; a sentence must fit."""
_HASHER = PasswordHasher(time_cost=3, memory_cost=65536, parallelism=1)
"""Memory of RFC 9106's second choice (64 MiB, three passes), on one thread: the pipeline wants the others."""


def hashed(password: str) -> str:
    """The hash to store, with its salt and settings in it.

    :raises InputRefused: too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise InputRefused(f"a password of {len(password)} characters; take {SHORTEST} to {LONGEST}")
    return _HASHER.hash(_same(password))


def fits(stored: str | None, password: str) -> bool:
    """Whether it is the password. Takes as long where there is none, so that the time tells no names."""
    try:
        return _HASHER.verify(stored or nobodys(), _same(password)) and stored is not None
    except (Argon2Error, InvalidHashError):
        return False


@cache
def nobodys() -> str:
    """A hash that stands for all who are not there."""
    return _HASHER.hash("nobody")


def _same(password: str) -> str:
    """However a keyboard composes it."""
    return unicodedata.normalize("NFKC", password)
