"""The sources as an Arduino library: its sketch, compiled with Arduino's core, runs in simavr."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge import (
    COUNTED_LABELS,
    EventCode,
    Indicate,
    Instrument,
    MoveStage,
    ProtocolError,
    Reported,
)
from firmware_bridge.schema import Persistence
from tests.firmware_bridge.firmware.bench import FIRMWARE, PATIENCE_S, make, symbol
from tests.firmware_bridge.firmware.board import Board
from tests.firmware_bridge.firmware.ledger import results

ARDUINO_CORE = Path("/usr/share/arduino/hardware/arduino/avr/cores/arduino")
PIN_D, PORT_B = 0x29, 0x25
"""In data memory."""
BUTTON, LIGHT = 1 << 2, 1 << 5


@pytest.fixture
def sketch(build: Callable[..., Path], tmp_path: Path) -> Path:
    """Where the sketch's image is, and beside it what runs the board."""
    if not ARDUINO_CORE.is_dir():
        pytest.skip("not installed: arduino-core-avr")
    board_runner = build("atmega328p") / "host"
    folder = tmp_path / "arduino"
    make(tmp_path, "arduino")
    (folder / "host").symlink_to(board_runner)
    return folder


def test_the_sketch_counts_on_an_uno(sketch: Path) -> None:
    sent = results(100)
    with Board("atmega328p", sketch) as board:
        with Instrument.open(board.port) as link:
            for message in sent:
                link.send(message)
            assert link.drain(20.0) == 0
            assert link.instrument.unique_id.rstrip(b"\0") == b"arduino"
            assert link.instrument.persistence == Persistence.RAM_ONLY
        words = len(COUNTED_LABELS) + 1
        unidentified, *counts = struct.unpack(f"<{words}I", board.memory(symbol(board.image, "counts"), 4 * words))
    assert (counts, unidentified) == ([10] * len(COUNTED_LABELS), 10)


def test_the_sketch_takes_commands_and_tells_of_its_button(sketch: Path) -> None:
    told: list[tuple[int, int, int]] = []

    def on_event(event: object) -> None:
        if isinstance(event, Reported):
            told.append((event.event.event, event.event.source, event.event.value))

    def light() -> bool:
        return bool(board.memory(PORT_B, 1)[0] & LIGHT)

    with Board("atmega328p", sketch) as board, Instrument.open(board.port, on_event=on_event) as link:
        for level, pressed in ((0, 1), (BUTTON, 0), (0, 1)):
            before = len(told)
            board._obey(f"write {PIN_D} {level}")
            deadline = time.monotonic() + PATIENCE_S
            while len(told) == before or told[-1] != (EventCode.BUTTON, 2, pressed):
                assert time.monotonic() < deadline, told
                time.sleep(0.01)
        link.command(Indicate("monocyte", 0.3))
        assert light()
        deadline = time.monotonic() + PATIENCE_S
        while light():
            assert time.monotonic() < deadline
        link.command(Indicate("monocyte"))
        assert light()
        link.stop()
        assert not light()
        with pytest.raises(ProtocolError):
            link.command(MoveStage(1, 1, 1))


def test_the_library_says_what_arduino_asks_for() -> None:
    lines = (FIRMWARE / "library.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    asked = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "architectures"}
    assert asked <= properties.keys()
    assert (FIRMWARE / "src" / properties["includes"]).is_file()
    assert [path.parent.name for path in FIRMWARE.glob("examples/*/*.ino")] == ["CellCounter"]
