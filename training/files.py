"""Files that are whole under their final name, or not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from edge_wbc.errors import OutputFailed, reason


def write_whole(path: Path, data: bytes, advice: str) -> None:
    """Write under another name, then rename: an interruption or a full disk leaves what was there before.

    :param advice: what to do if it fails, as the end of a sentence.
    :raises OutputFailed: it could not be written.
    """
    half_written = path.with_name(path.name + ".part")
    try:
        with half_written.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(half_written, path)
    except OSError as error:
        half_written.unlink(missing_ok=True)
        raise OutputFailed(f"{path}: {reason(error)}; {advice}") from None
    except BaseException:
        half_written.unlink(missing_ok=True)
        raise


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
