"""Who may come in: names, roles and hashes of passwords, in one file that only its owner reads."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_wbc.errors import EnvironmentMissing, InputRefused, OutputFailed, UsageError, reason
from edge_wbc.files import part_of, replace_whole
from edge_wbc.sessions.schema import default_place

LONGEST_NAME = 64
LARGEST = 1_000_000
"""Bytes of the file: some 5,000 users."""


class Entry(BaseModel):
    """Somebody who may come in."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    role: Literal["viewer", "reviewer", "administrator"]
    password: str
    """Its argon2id hash."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal[1] = 1
    users: list[Entry] = []


def default_users() -> Path:
    """In the user's data folder, beside the sessions."""
    return default_place().parent / "users.json"


def key_of(name: str) -> str:
    """What two names have in common that are the same to a person."""
    return unicodedata.normalize("NFKC", name).casefold()


def checked_name(name: str) -> str:
    """:raises UsageError: no name for a person."""
    name = unicodedata.normalize("NFC", name)
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise UsageError(f"the name {name[:LONGEST_NAME]!r}; take 1 to {LONGEST_NAME} printable characters")
    return name


class Users:
    """The file as it is now: what the command line changes holds at once in a server that runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] | None = None
        self._entries: dict[str, Entry] = {}

    def all(self) -> tuple[Entry, ...]:
        """In the order they were added.

        :raises InputRefused: the file can't be read, is damaged, or others may write it.
        """
        self._refresh()
        return tuple(self._entries.values())

    def find(self, name: str) -> Entry | None:
        """Without regard to case.

        :raises InputRefused: as `all`.
        """
        self._refresh()
        return self._entries.get(key_of(name))

    def add(self, name: str, role: str, password: str) -> None:
        """:param password: its hash.
        :raises UsageError: there is one of this name, or it is no name.
        :raises OutputFailed: the file can't be written.
        """
        with self._changing() as entries:
            if (there := entries.get(key_of(name))) is not None:
                raise UsageError(f"there is a user {there.name}; take another name, or remove that one")
            entries[key_of(name)] = _entry(checked_name(name), role, password)

    def remove(self, name: str) -> str:
        """The name as it was written.

        :raises UsageError: nobody has that name.
        :raises OutputFailed: the file can't be written.
        """
        with self._changing() as entries:
            return entries.pop(self._key(entries, name)).name

    def change(self, name: str, *, role: str | None = None, password: str | None = None) -> str:
        """Another role or another password (its hash); gives the name as it was written.

        :raises UsageError: nobody has that name.
        :raises OutputFailed: the file can't be written.
        """
        with self._changing() as entries:
            key = self._key(entries, name)
            old = entries[key]
            entries[key] = _entry(old.name, role or old.role, password or old.password)
            return old.name

    def _key(self, entries: dict[str, Entry], name: str) -> str:
        if key_of(name) not in entries:
            raise UsageError(f"no user {name!r}; see `edge-wbc users list`")
        return key_of(name)

    def _refresh(self) -> None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._seen, self._entries = None, {}
            return
        except OSError as error:
            raise InputRefused(f"{self.path}: {reason(error)}; check the file and its rights") from None
        if self._seen != (seen := (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)):
            self._seen = None  # until it was read whole
            self._entries = _read(self.path, found)
            self._seen = seen

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Entry]]:
        """One at a time, and all or nothing."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self.path.with_suffix(".lock")):
                self._refresh()
                entries = dict(self._entries)
                yield entries
                half_written = part_of(self.path)
                half_written.unlink(missing_ok=True)
                half_written.touch(0o600, exist_ok=False)
                text = _File(users=list(entries.values())).model_dump_json(indent=1)
                replace_whole(self.path, text.encode())
        except OSError as error:
            raise OutputFailed(f"{self.path}: {reason(error)}; nothing was changed; check its rights") from None


def _entry(name: str, role: str, password: str) -> Entry:
    return Entry.model_validate({"name": name, "role": role, "password": password})


def _read(path: Path, found: os.stat_result) -> dict[str, Entry]:
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InputRefused(f"{path}: others may write it; look through `edge-wbc users list`, then `chmod 600` it")
    try:
        with path.open("rb") as file:
            read = _File.model_validate_json(file.read(LARGEST))
    except OSError as error:
        raise InputRefused(f"{path}: {reason(error)}; check the file and its rights") from None
    except ValidationError:
        raise InputRefused(f"{path}: damaged, or of a newer version; move it away and add the users again") from None
    return {key_of(one.name): one for one in read.users}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows
        raise EnvironmentMissing("users need the file locks of Linux; serve there") from None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
