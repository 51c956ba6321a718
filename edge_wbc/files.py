"""Files that are whole under their final name, or not there."""

from __future__ import annotations

import os
from pathlib import Path

from edge_wbc.errors import OutputFailed, reason


def write_whole(path: Path, data: bytes, advice: str) -> None:
    """Write under another name, then rename: an interruption or a full disk leaves what was there before.

    :param advice: what to do if it fails, as the end of a sentence.
    :raises OutputFailed: it could not be written.
    """
    try:
        replace_whole(path, data)
    except OSError as error:
        raise OutputFailed(f"{path}: {reason(error)}; {advice}") from None


def replace_whole(path: Path, data: bytes) -> None:
    """The same for callers that say themselves what failed.

    :raises OSError: it could not be written.
    """
    half_written = part_of(path)
    try:
        with half_written.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(half_written, path)
    finally:
        half_written.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """Where a file is written before it bears its name."""
    return path.with_name(f"{path.name}.part")
