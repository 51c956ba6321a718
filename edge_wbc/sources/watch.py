"""``watch:FOLDER``: the images that other software, a microscope's own say, puts into a folder, as they come.

    watch:/data/slides
    watch:///data/slides?existing=1

A name is taken once, when its file is whole. Nothing is lost, and the source ends when it is closed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_wbc.errors import SourceError, UsageError, reason
from edge_wbc.sources.files import IMAGE_SUFFIXES, read_frames
from edge_wbc.types import Frame, Refused
from edge_wbc.uri import Uri

POLL_S = 0.2
SETTLED_S = 0.4
"""A file that has not changed for so long may be whole: it is tried."""
GIVE_UP_S = 5.0
"""A file that can't be read and has not changed for so long is refused."""


@dataclass(slots=True)
class _Waiting:
    """A file that is there but was not taken yet."""

    seen_ns: int
    state: tuple[int, int]
    """Size in bytes, and time of the last change."""
    changed: float
    tried: bool = False


class Watch:
    """New images of a folder and its subfolders, in the order in which they were seen."""

    live = True
    continuous = False
    lossless = True

    def __init__(self, uri: str, folder: Path, existing: bool) -> None:
        """
        :param existing: take what is there already, too, the oldest first.
        :raises SourceError: the folder can't be read.
        """
        self.uri = uri
        self._folder = folder
        self._closed = threading.Event()
        self._taken: set[str] = set()
        self._waiting: dict[str, _Waiting] = {}
        there = self._files()
        if not existing:
            self._taken = set(there)

    def frames(self) -> Iterator[Frame | Refused]:
        index = 0
        while not self._closed.is_set():
            for path in self._settled():
                for item in self._read(path, index):
                    if self._closed.is_set():
                        return
                    yield item
                    index += 1
            self._closed.wait(POLL_S)

    def close(self) -> None:
        self._closed.set()

    def _settled(self) -> list[str]:
        """Files that may be whole, the first seen first."""
        now = time.monotonic()
        files = self._files()
        for gone in self._waiting.keys() - files.keys():
            del self._waiting[gone]
        for path, state in files.items():
            if path in self._taken:
                continue
            waiting = self._waiting.get(path)
            if waiting is None:
                self._waiting[path] = _Waiting(time.monotonic_ns(), state, now)
            elif waiting.state != state:
                waiting.state, waiting.changed, waiting.tried = state, now, False
        return [
            path
            for path, waiting in self._waiting.items()
            if now - waiting.changed >= (GIVE_UP_S if waiting.tried else SETTLED_S)
        ]

    def _read(self, path: str, index: int) -> Iterator[Frame | Refused]:
        waiting = self._waiting[path]
        given_up = waiting.tried
        waiting.tried = True
        for item in read_frames(Path(path), index, waiting.seen_ns):
            if isinstance(item, Refused) and not given_up and path in self._waiting:
                return  # it may still be written
            self._waiting.pop(path, None)
            self._taken.add(path)
            yield item

    def _files(self) -> dict[str, tuple[int, int]]:
        """Images not taken yet, the oldest first, with size and time of change.

        :raises SourceError: the folder is not there any more.
        """
        found: dict[str, tuple[int, int]] = {}
        folders = [str(self._folder)]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name.startswith("."):  # how rsync and others name what they still write
                            continue
                        if entry.is_dir():
                            folders.append(entry.path)
                        elif entry.path not in self._taken and Path(entry.name).suffix.lower() in IMAGE_SUFFIXES:
                            status = entry.stat()
                            found[entry.path] = status.st_size, status.st_mtime_ns
            except OSError as error:
                if folder == str(self._folder):
                    why = f"{self.uri}: {reason(error)}; bring the folder back and start again"
                    raise SourceError(why) from None
        return dict(sorted(found.items(), key=lambda item: item[1][1]))


def open_watch(uri: Uri) -> Watch:
    """A folder to watch.

    :raises UsageError: no folder named, or an unknown option.
    :raises SourceError: the folder can't be read.
    """
    uri.allow("existing")
    if not uri.path:
        raise UsageError(f"{uri.text} names no folder; write for example watch:/data/slides")
    existing = uri.options.get("existing", "0")
    if existing not in ("0", "1"):
        raise UsageError(f"{uri.text}: existing={existing!r} is neither 0 nor 1; write existing=1")
    return Watch(uri.text, Path(uri.path), existing == "1")
