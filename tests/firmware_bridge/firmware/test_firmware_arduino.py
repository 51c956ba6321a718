"""The sources as an Arduino library: its sketch, compiled with Arduino's core, runs in simavr."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge import COUNTED_LABELS, Instrument
from firmware_bridge.messages import Persistence
from tests.firmware_bridge.firmware.bench import FIRMWARE, make, symbol
from tests.firmware_bridge.firmware.board import Board
from tests.firmware_bridge.firmware.ledger import results

ARDUINO_CORE = Path("/usr/share/arduino/hardware/arduino/avr/cores/arduino")


def test_the_sketch_counts_on_an_uno(build: Callable[..., Path], tmp_path: Path) -> None:
    if not ARDUINO_CORE.is_dir():
        pytest.skip("not installed: arduino-core-avr")
    board_runner = build("atmega328p") / "host"
    folder = tmp_path / "arduino"
    make(tmp_path, "arduino")
    (folder / "host").symlink_to(board_runner)
    sent = results(100)
    with Board("atmega328p", folder) as board:
        with Instrument.open(board.port) as link:
            for message in sent:
                link.send(message)
            assert link.drain(20.0) == 0
            assert link.instrument.unique_id.rstrip(b"\0") == b"arduino"
            assert link.instrument.persistence == Persistence.RAM_ONLY
        words = len(COUNTED_LABELS) + 1
        unidentified, *counts = struct.unpack(f"<{words}I", board.memory(symbol(board.image, "counts"), 4 * words))
    assert (counts, unidentified) == ([10] * len(COUNTED_LABELS), 10)


def test_the_library_says_what_arduino_asks_for() -> None:
    lines = (FIRMWARE / "library.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    asked = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "architectures"}
    assert asked <= properties.keys()
    assert (FIRMWARE / "src" / properties["includes"]).is_file()
    assert [path.parent.name for path in FIRMWARE.glob("examples/*/*.ino")] == ["CellCounter"]
