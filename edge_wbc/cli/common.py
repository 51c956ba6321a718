"""What the verbs share: lines for people, progress, tables, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import click

from edge_wbc.errors import EnvironmentMissing

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


class Advance(Protocol):
    def __call__(self, done: int, note: str = "") -> None: ...


def say(text: str = "") -> None:
    """A line for the person, on standard error: standard output belongs to results.

    Not by click's echo, which writes past what draws the screen: the line would be drawn over.
    """
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def one_line(text: str) -> str:
    """Names of files need not be UTF-8, and a label may hold a line break."""
    return " ".join(text.encode(errors="backslashreplace").decode().splitlines())


def print_json(value: Any) -> None:
    """One object on one line of standard output."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


@contextmanager
def web_packages() -> Iterator[None]:
    """Around imports that need the pages' packages.

    :raises EnvironmentMissing: one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise EnvironmentMissing(f"no package {error.name}; pip install 'edge-wbc[web]'") from None


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """A bar with the time left on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, note="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done, note="": bar.update(task, completed=done, description=f"{title} {note}".strip())


def aligned(rows: Sequence[tuple[str, ...]], right: Sequence[int]) -> list[str]:
    """Columns of equal width, two spaces between them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            one_line(value).rjust(width) if i in right else one_line(value).ljust(width)
            for i, (value, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
