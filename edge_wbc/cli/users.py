"""The verb ``users``: who may come in to the pages."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import print_json, say

if TYPE_CHECKING:
    from edge_wbc.web.users import Users

ROLES = ("viewer", "reviewer", "administrator")
"""As `edge_wbc.web.access` has them, which needs the web's packages."""


@click.group()
def users() -> None:
    """Who may come in to the pages of `edge-wbc serve`.

    viewer: look. reviewer: run, move cells, sign. administrator: quality control too. With users everybody logs in,
    on this machine also; what is changed here holds at once in a server that runs.
    """


stdin_option = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@users.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True)
@stdin_option
def add(name: str, role: str, password_stdin: bool) -> int:
    """Let somebody in."""
    there = _users()
    from edge_wbc.errors import UsageError
    from edge_wbc.web.users import checked_name

    name = checked_name(name)
    if there.find(name) is not None:
        raise UsageError(f"there is a user {name}; `edge-wbc users password` or `role` changes one")
    there.add(name, role, _password(password_stdin))
    say(f"{name} may come in as {role}; `edge-wbc serve` serves the pages")
    return 0


@users.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_users(as_json: bool) -> int:
    """Names and roles."""
    there = _users()
    entries = there.all()
    if as_json:
        print_json({"file": str(there.path), "users": [{"name": one.name, "role": one.role} for one in entries]})
    elif entries:
        width = max(len(one.name) for one in entries)
        for one in entries:
            click.echo(f"{one.name:<{width}}  {one.role}")
    else:
        say("no users; `edge-wbc users add NAME --role administrator` adds one")
    return 0


@users.command()
@click.argument("name")
def remove(name: str) -> int:
    """Let somebody in no more. Who is in is out at once."""
    there = _users()
    say(f"{there.remove(name)} may come in no more")
    if not there.all():
        say("no users are left; a server that runs lets nobody in")
    return 0


@users.command()
@click.argument("name")
@stdin_option
def password(name: str, password_stdin: bool) -> int:
    """Give somebody another password. Who is in under the old one is out at once."""
    there = _users()
    _known(there, name)
    say(f"{there.change(name, password=_password(password_stdin))} has a new password")
    return 0


@users.command()
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
def role(name: str, role: str) -> int:
    """Give somebody another role. It holds at once."""
    say(f"{_users().change(name, role=role)} is {role} now")
    return 0


def _users() -> Users:
    """:raises EnvironmentMissing: without the packages that store passwords."""
    from edge_wbc.cli.common import web_packages

    with web_packages():
        import argon2  # noqa: F401

        from edge_wbc.web.users import Users, default_users
    return Users(default_users())


def _known(there: Users, name: str) -> None:
    from edge_wbc.errors import UsageError

    if there.find(name) is None:
        raise UsageError(f"no user {name!r}; see `edge-wbc users list`")


def _password(from_stdin: bool) -> str:
    """Its hash: asked for twice on a terminal, or the first line of standard input.

    :raises UsageError: neither a terminal nor the option.
    :raises InputRefused: too short or too long.
    """
    from edge_wbc.errors import UsageError
    from edge_wbc.web.passwords import hashed

    if from_stdin:
        return hashed(sys.stdin.readline().rstrip("\r\n"))
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask for a password; give it by --password-stdin")
    return hashed(click.prompt("Password", hide_input=True, confirmation_prompt="Once more", err=True))
