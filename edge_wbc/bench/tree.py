"""The files where a system tells of itself, below a root; and of what could not be read, why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path("/")


@dataclass(slots=True)
class Tree:
    """Files below a root: a recorded tree in tests, the running system else."""

    root: Path = ROOT
    absent: dict[str, str] = field(default_factory=dict)
    """What was looked for and could not be had → why."""

    def text(self, what: str, *places: str) -> str | None:
        """The content of the first place that can be read, without the white space around it.

        Where none can, the reason is kept under ``what``: that of the first that is there but refuses, if any is.
        """
        refused = ""
        for place in places:
            try:
                text = (self.root / place).read_bytes().decode("utf-8", "replace").strip("\0\n\t ")
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                refused = refused or f"/{place}: {(error.strerror or str(error)).lower()}"
            else:
                if text:
                    return text
                refused = refused or f"/{place} is empty"
        self.absent[what] = refused or f"no /{places[0]}"
        return None

    def number(self, what: str, *places: str) -> int | None:
        """A whole number that stands alone in a file."""
        text = self.text(what, *places)
        if text is None or re.fullmatch(r"-?\d+", text):
            return None if text is None else int(text)
        self.absent[what] = f"/{places[0]} holds {text[:40]!r}, no number"
        return None

    def named(self, what: str, pattern: str) -> list[str]:
        """Places that a pattern of ``Path.glob`` fits, in their order by name, numbers by size."""
        fixed = pattern.partition("*")[0].rpartition("/")[0]
        try:
            found = [path.relative_to(self.root).as_posix() for path in self.root.glob(pattern)]
            any((self.root / fixed).iterdir())
        except FileNotFoundError:
            found = []
        except OSError as error:
            self.absent[what] = f"/{fixed}: {(error.strerror or str(error)).lower()}"
            return []
        if not found:
            self.absent[what] = f"no /{pattern}"
        return sorted(found, key=_by_number)

    def lines(self, what: str, place: str, separator: str) -> Iterator[tuple[str, str]]:
        """Key and value of each line of a file, such as ``model name : AMD EPYC``."""
        for line in (self.text(what, place) or "").splitlines():
            key, found, value = line.partition(separator)
            if found:
                yield key.strip(), value.strip()


def ranges(text: str) -> tuple[int, ...]:
    """The numbers of a list such as ``0-3,6``, as the kernel writes processors; none where it can't be understood."""
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        if not (found := re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)):
            return ()
        numbers += range(int(found[1]), int(found[2] or found[1]) + 1)
    return tuple(numbers)


def _by_number(place: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", place)]
