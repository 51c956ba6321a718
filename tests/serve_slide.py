"""``edge-wbc run SOURCE --serve`` as a process, as tests and tools of theirs use it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT


@contextmanager
def serving(source: str, place: Path) -> Iterator[str]:
    """Gives the address to open; Ctrl-C at the end.

    :param place: where sessions are recorded.
    """
    command = [sys.executable, "-m", "edge_wbc", "run", source, "--serve", "127.0.0.1:0", "--record", str(place)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stderr is not None
    try:
        yield next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
