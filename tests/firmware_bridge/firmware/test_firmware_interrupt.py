"""The receive interrupt, one instruction at a time: a byte that comes in at any of them is taken."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.firmware_bridge.firmware.bench import QEMU_BOARDS, make, patched_copy, symbol
from tests.firmware_bridge.firmware.board import Board, connected

Build = Callable[..., Path]

_INSTRUCTIONS = 45
"""More than the interrupt has on any board."""
_SETTLES_S = 0.03
_ARRIVES_WITHIN_S = 0.03
_TAKEN_WITHIN_S = 0.5


class Debugger:
    """As much of GDB's remote protocol as is needed."""

    def __init__(self, board: Board) -> None:
        self._socket = connected(board.debugger)
        self._buffer = b""
        self._socket.settimeout(0.3)
        self.tell("?")
        with suppress(TimeoutError):
            while True:  # it says once or twice that the board has stopped
                self.answer()
        self._socket.settimeout(5.0)

    def tell(self, command: str) -> None:
        self._socket.sendall(b"$%s#%02x" % (command.encode(), sum(command.encode()) & 0xFF))

    def answer(self) -> str:
        while (found := re.search(rb"\$([^#]*)#..", self._buffer)) is None:
            self._buffer += self._socket.recv(4096)
        self._buffer = self._buffer[found.end() :]
        self._socket.sendall(b"+")
        return found.group(1).decode()

    def ask(self, command: str) -> str:
        self.tell(command)
        return self.answer()

    def reach(self) -> None:
        """Wait for the breakpoint.

        :raises AssertionError: the board does not come there.
        """
        try:
            self.answer()
        except TimeoutError:
            raise AssertionError("the interrupt did not come") from None

    def stop(self) -> None:
        self._socket.sendall(b"\x03")
        self.answer()

    def __enter__(self) -> Debugger:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def into_interrupt(board: Board, debugger: Debugger, interrupt: int, instructions: int) -> None:
    """Send a byte, and stop the board so many instructions into the interrupt that it raises."""
    debugger.stop()
    assert debugger.ask(f"Z0,{interrupt:x},2") == "OK"
    debugger.tell("c")
    board.relay.hand_over(b"\1", _ARRIVES_WITHIN_S)
    debugger.reach()
    assert debugger.ask(f"z0,{interrupt:x},2") == "OK"
    for _ in range(instructions):
        debugger.ask("s")


def every_instruction_check(name: str, folder: Path) -> None:
    """Send a byte, and another after each number of instructions of the interrupt; both must reach the ring."""
    with Board(name, folder) as board, Debugger(board) as debugger:
        interrupt, head = symbol(board.image, "uart_interrupt") & ~1, symbol(board.image, "head")

        def taken_bytes() -> int:
            return int.from_bytes(board.memory(head, 2), "little")

        debugger.tell("c")
        while not taken_bytes():  # bytes that come before the UART is on are lost
            board.relay.hand_over(b"\1", _ARRIVES_WITHIN_S)
            time.sleep(_SETTLES_S)
        expected = taken_bytes()
        for instructions in range(_INSTRUCTIONS):
            into_interrupt(board, debugger, interrupt, instructions)
            # where the byte before has not been read yet, this one waits outside
            board.relay.hand_over(b"\1", _ARRIVES_WITHIN_S)
            debugger.tell("c")
            expected += 2
            deadline = time.monotonic() + _TAKEN_WITHIN_S
            while (taken := taken_bytes()) != expected:
                assert time.monotonic() < deadline, f"{taken} of {expected} after {instructions} instructions"


@pytest.mark.parametrize("name", QEMU_BOARDS)
def test_a_reset_at_any_instruction_of_the_interrupt_leaves_the_board_listening(build: Build, name: str) -> None:
    with Board(name, build(name)) as board, Debugger(board) as debugger:
        interrupt, head = symbol(board.image, "uart_interrupt") & ~1, symbol(board.image, "head")

        def listens(after: object) -> None:
            deadline = time.monotonic() + 2.0
            before = board.memory(head, 2)
            while board.memory(head, 2) == before:
                assert time.monotonic() < deadline, f"silent after a reset after {after} instructions"
                board.relay.hand_over(b"\1", _ARRIVES_WITHIN_S)

        debugger.tell("c")
        listens("no")
        for instructions in range(0, _INSTRUCTIONS, 2):
            into_interrupt(board, debugger, interrupt, instructions)
            board.relay.hand_over(b"\1", _ARRIVES_WITHIN_S)
            board.reset()
            debugger.tell("c")
            time.sleep(0.02)
            listens(instructions)


@pytest.mark.parametrize("name", QEMU_BOARDS)
def test_a_byte_at_any_instruction_of_the_interrupt_is_taken(build: Build, name: str) -> None:
    every_instruction_check(name, build(name))


def test_draining_before_clearing_silences_the_mps2(build: Build, tmp_path: Path) -> None:
    build("mps2-an385")
    clear = (
        "    INTERRUPT_CLEAR = INTERRUPT_RX; "
        "/* clear, then drain: the other way round a byte in between raises nothing more */\n"
    )
    drain = "    while (STATE & STATE_RX_FULL) {\n        ring_put((uint8_t)DATA);\n    }\n"
    swapped = drain + "    INTERRUPT_CLEAR = INTERRUPT_RX;\n"
    source = patched_copy(tmp_path, "ports/mps2-an385/uart.c", clear + drain, swapped)
    make(tmp_path / "build", "mps2-an385", source=source)
    # it may fall silent on a byte of the check, or on one of those that look whether it has started
    with pytest.raises(AssertionError, match=r"\d+ of \d+ after|the interrupt did not come"):
        every_instruction_check("mps2-an385", tmp_path / "build")
