"""Where recorded sessions are, for verbs that read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def place_option(command: Decorated) -> Decorated:
    """``--record``, as ``place``."""
    return click.option(
        "--record",
        "place",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Where the sessions are, as for `edge-wbc run`; the user's data folder by default.",
    )(command)
