"""How long a thread that could have run waited for a processor, as Linux counts it."""

from __future__ import annotations

import os
import threading


class RunDelay:
    """Per thread, what has been waited since it asked last.

    The second figure of ``schedstat`` (Linux, Documentation/scheduler/sched-stats.rst): ns spent waiting on a
    runqueue. What a hypervisor takes from a processor that runs is not in it.
    """

    def __init__(self, path: str = "/proc/thread-self/schedstat") -> None:
        self._path = path
        self._threads = threading.local()
        self._open: list[int] = []
        self.told = os.path.exists(path)
        """Whether the system counts it."""

    def __call__(self) -> int:
        """In ns; 0 when a thread asks for the first time, and where it is not counted."""
        if not self.told:
            return 0
        mine = self._threads
        if not hasattr(mine, "file"):
            mine.file = os.open(self._path, os.O_RDONLY)
            self._open.append(mine.file)
            mine.until = _waited_ns(mine.file)
            return 0
        now = _waited_ns(mine.file)
        since: int = now - mine.until
        mine.until = now
        return since

    def close(self) -> None:
        """To be called when the threads have ended."""
        while self._open:
            os.close(self._open.pop())
        self._threads = threading.local()


def _waited_ns(file: int) -> int:
    return int(os.pread(file, 80, 0).split()[1])
