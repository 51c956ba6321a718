"""The firmware, built once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware_bridge.firmware.bench import BOARDS, make, missing_tools
from tests.firmware_bridge.firmware.library import Library

Build = Callable[..., Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """``build("microbit", …)`` builds what is not built yet and returns the folder; skips where a tool is missing."""
    folder = tmp_path_factory.mktemp("firmware")
    built: set[str] = set()

    def ensure(*names: str) -> Path:
        missing = missing_tools(*(name for name in names if name in BOARDS or name == "fuzz"))
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")
        targets = {target for name in names for target in ((name, "simavr") if name == "atmega328p" else (name,))}
        if targets - built:
            make(folder, *sorted(targets - built))
            built.update(targets)
        return folder

    return ensure


@pytest.fixture(scope="session")
def library(build: Build) -> Library:
    return Library(build("host", "shared"))
