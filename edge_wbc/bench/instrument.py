"""The simulated instrument as a process of its own, for ``demo`` and ``bench``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge_wbc.errors import EnvironmentMissing

STOP_S = 5.0


class SimulatedInstrument:
    """A running ``edge-wbc instrument simulate``."""

    def __init__(self, process: subprocess.Popen[str], port: str) -> None:
        self.port = port
        self._process = process

    def stop(self) -> dict[str, Any]:
        """End it and return its last line: what it applied, as ``instrument simulate --json`` prints it."""
        self._process.terminate()
        try:
            printed, _ = self._process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            printed, _ = self._process.communicate()
        lines = printed.splitlines()
        total: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return total


@contextmanager
def simulated_instrument(baud: int | None = None) -> Iterator[SimulatedInstrument]:
    """Start it on a pseudo-terminal; it is ended at the latest on leaving.

    :param baud: be as slow as a line of so many bit/s.
    :raises EnvironmentMissing: it did not start.
    """
    command = [sys.executable, "-m", "edge_wbc", "instrument", "simulate", "--json", "--quiet"]
    command += [] if baud is None else ["--baud", str(baud)]
    # A session of its own: Ctrl-C reaches only the host, which ends the instrument when all is delivered.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            if not first:
                raise EnvironmentMissing(
                    "the simulated instrument did not start; run `edge-wbc instrument simulate` to see why"
                )
            yield SimulatedInstrument(process, json.loads(first)["port"])
        finally:
            if process.poll() is None:
                process.kill()
