"""A running simulated instrument for the tests that need a port."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import firmware_bridge

ROOT = Path(firmware_bridge.__file__).parents[1]


class RunningSimulator:
    """The simulated instrument as a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "firmware_bridge", "simulate", "--json", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        self.port: str = json.loads(self.process.stdout.readline())["port"]

    def stop(self) -> list[dict[str, Any]]:
        """End it as a service manager would and return every line it printed after the first."""
        self.process.terminate()
        output, _ = self.process.communicate(timeout=10)
        assert self.process.returncode == 0
        return [json.loads(line) for line in output.splitlines()]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=10)


@pytest.fixture
def start_simulator() -> Iterator[Callable[..., RunningSimulator]]:
    running: list[RunningSimulator] = []

    def start(*arguments: str) -> RunningSimulator:
        running.append(RunningSimulator(*arguments))
        return running[-1]

    yield start
    for simulator in running:
        simulator.kill()
