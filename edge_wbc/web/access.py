"""Who asks, and whether they may: what every handler that is not for everybody depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request

VIEWER, REVIEWER, ADMINISTRATOR = ROLES = ("viewer", "reviewer", "administrator")
"""Each may what those before it may. viewer: look. reviewer: run, move, sign. administrator: users, control set."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has come in."""

    name: str
    """As the audit chain has it."""
    role: str


def user_of(request: Request) -> User:
    """:raises HTTPException: 401, nobody has come in."""
    user: User | None = getattr(request.state, "user", None)
    if user is None:
        raise HTTPException(401, "log in first")
    return user


def _at_least(role: str, user: User) -> User:
    if ROLES.index(user.role) < ROLES.index(role):
        raise HTTPException(403, f"needs the role {role}; you are a {user.role}")
    return user


def _reviewer(user: Annotated[User, Depends(user_of)]) -> User:
    return _at_least(REVIEWER, user)


def _administrator(user: Annotated[User, Depends(user_of)]) -> User:
    return _at_least(ADMINISTRATOR, user)


Viewer = Annotated[User, Depends(user_of)]
Reviewer = Annotated[User, Depends(_reviewer)]
Administrator = Annotated[User, Depends(_administrator)]
