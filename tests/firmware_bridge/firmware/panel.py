"""What the example instrument shows and moves, read from the board's memory; and its button, pressed there."""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.firmware_bridge.firmware.bench import PATIENCE_S, QEMU_BOARDS, symbol
from tests.firmware_bridge.firmware.board import Board
from tests.firmware_bridge.firmware.test_firmware_interrupt import Debugger

NM_PER_MS = 10_000
TRAVEL_NM = 75_000_000
_PANEL = struct.Struct("<6i4I5B96s")
_BUTTON_AT = 44
_COLUMNS = 16


@dataclass(frozen=True)
class Panel:
    """`apparatus_panel`, as it stands."""

    place_nm: tuple[int, int, int]
    target_nm: tuple[int, int, int]
    moves: int
    pulses: int
    stops: int
    pulse_us: int
    moving: bool
    outputs: int
    indicator: int
    limits: int
    button: int
    display: tuple[str, ...]


def panel(board: Board) -> Panel:
    x, y, z, to_x, to_y, to_z, *rest, display = _PANEL.unpack(_memory(board, _at(board), _PANEL.size))
    text = display.replace(b"\0", b" ").decode("ascii")
    lines = tuple(text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS))
    moves, pulses, stops, pulse_us, moving, outputs, indicator, limits, button = rest
    return Panel(
        place_nm=(x, y, z),
        target_nm=(to_x, to_y, to_z),
        moves=moves,
        pulses=pulses,
        stops=stops,
        pulse_us=pulse_us,
        moving=bool(moving),
        outputs=outputs,
        indicator=indicator,
        limits=limits,
        button=button,
        display=lines,
    )


def until(board: Board, holds: Callable[[Panel], bool], within_s: float = PATIENCE_S) -> Panel:
    """Look until it is so.

    :raises AssertionError: it did not come to be.
    """
    deadline = time.monotonic() + within_s
    while not holds(now := panel(board)):
        assert time.monotonic() < deadline, now
        time.sleep(0.005)
    return now


def press(board: Board, value: int) -> None:
    """Press (1) or release (0) the button."""
    _write(board, _at(board) + _BUTTON_AT, bytes([value]))


def push_stage(board: Board, x_nm: int) -> None:
    """Move the stage by hand, while it stands."""
    _write(board, _at(board), struct.pack("<i", x_nm))


def _write(board: Board, at: int, data: bytes) -> None:
    if board.name in QEMU_BOARDS:
        with Debugger(board) as debugger:
            assert debugger.ask(f"M{at:x},{len(data):x}:{data.hex()}") == "OK"
            assert debugger.ask("D") == "OK"
    elif isinstance(board._control, socket.socket):
        for offset, byte in enumerate(data):
            board._obey(f"write {at + offset} {byte}")
    else:
        memory = os.open(f"/proc/{board._process.pid}/mem", os.O_RDWR)
        os.pwrite(memory, data, at)
        os.close(memory)


def _at(board: Board) -> int:
    return symbol(board.image, "panel") + (0 if board.name != "host" else _base(board))


def _base(board: Board) -> int:
    maps = Path(f"/proc/{board._process.pid}/maps").read_text()
    first = re.search(rf"^([0-9a-f]+)-.* {re.escape(str(board.image))}$", maps, re.M)
    assert first is not None
    return int(first.group(1), 16)


def _memory(board: Board, at: int, size: int) -> bytes:
    if board.name != "host":
        return board.memory(at, size)
    memory = os.open(f"/proc/{board._process.pid}/mem", os.O_RDONLY)
    try:
        return os.pread(memory, size, at)
    finally:
        os.close(memory)
