"""Ceilings on flash, RAM and stack."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge import Instrument
from firmware_bridge.messages import Command, Heartbeat
from firmware_bridge.schema import MessageType, Opcode
from tests.firmware_bridge.firmware.bench import EMULATED_BOARDS, QEMU_BOARDS
from tests.firmware_bridge.firmware.board import Board
from tests.firmware_bridge.firmware.ledger import results
from tests.firmware_bridge.firmware.panel import NM_PER_MS, TRAVEL_NM, press, push_stage
from tests.firmware_bridge.firmware.raw_host import RawHost

Build = Callable[..., Path]

CORE, MESSAGES = ("edge_wbc_frame.o", "edge_wbc_link.o"), ("edge_wbc_messages.o", "edge_wbc_control.o")
CORE_BYTES, LIBRARY_BYTES, STATE_BYTES = 1536, 3072, 400
"""On a Cortex-M0; from the issue that asked for the link."""

IMAGE_FLASH = {"atmega328p": 10112, **dict.fromkeys(QEMU_BOARDS, 5888)}
IMAGE_RAM = {"atmega328p": 1424, **dict.fromkeys(QEMU_BOARDS, 1856)}
"""Of the whole example with its rings, without the stack: some 15 % above what was measured."""

STACK = {"atmega328p": 256, **dict.fromkeys(QEMU_BOARDS, 448)}

_EXCEPTION_FRAME = 36
"""Eight words, and one where the stack was not aligned to two."""
_DIVISION = {"__aeabi_idiv": 16, "__aeabi_uidiv": 16}
"""libgcc's, in assembly: no report tells of it."""
_CALLBACKS = (
    "apparatus_apply",
    "apparatus_begin",
    "apparatus_stop",
    "counter_start_stream",
    "overruns",
    "write_bytes",
)
_FROM_CORE = "called by the core"
"""The core alone calls the control part, which calls the others."""


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def prefix(name: str) -> str:
    return "avr-" if name == "atmega328p" else "arm-none-eabi-"


def sizes(name: str, *files: Path) -> tuple[int, int]:
    """Return flash and RAM that these take, initialised data in both."""
    flash = ram = 0
    for line in output(f"{prefix(name)}size", *map(str, files)).splitlines()[1:]:
        text, data, bss = map(int, line.split()[:3])
        flash, ram = flash + text + data, ram + data + bss
    return flash, ram


def test_the_library_on_a_cortex_m0_is_small(build: Build) -> None:
    folder = build("microbit") / "microbit"
    core = [folder / name for name in CORE]
    assert sizes("microbit", *core)[0] <= CORE_BYTES
    flash, ram = sizes("microbit", *core, *(folder / name for name in MESSAGES))
    assert flash <= LIBRARY_BYTES
    symbols = output("arm-none-eabi-nm", "-S", str(folder / "image.elf"))
    states = re.findall(r"^\S+ (\S+) b (?:instrument|control_state)$", symbols, re.M)
    assert len(states) == 2
    assert ram + sum(int(state, 16) for state in states) <= STATE_BYTES


def needs(folder: Path, *files: str) -> set[str]:
    """Return the names that these use and do not define."""
    names: dict[str, set[str]] = {"defined": set(), "undefined": set()}
    for line in output("arm-none-eabi-nm", *(str(folder / name) for name in files)).splitlines():
        fields = line.split()
        if len(fields) > 1:
            names["undefined" if fields[-2] == "U" else "defined"].add(fields[-1])
    assert names["undefined"]
    return names["undefined"] - names["defined"]


def test_the_library_needs_nothing_but_itself(build: Build) -> None:
    folder = build("microbit") / "microbit"
    assert needs(folder, *CORE, *MESSAGES) == set()
    assert needs(folder, *CORE) == {"ewbc_message_decode"}, "the core links without the control part"


@pytest.mark.parametrize("name", EMULATED_BOARDS)
def test_an_image_keeps_its_size(build: Build, name: str) -> None:
    flash, ram = sizes(name, build(name) / name / "image.elf")
    assert flash <= IMAGE_FLASH[name]
    assert ram <= IMAGE_RAM[name]


def deepest(folder: Path) -> Callable[[str], int]:
    """Return a function that tells how much stack a call of a function takes at most, by the compiler's reports."""
    own: dict[str, int] = {"__indirect_call": 0, _FROM_CORE: 0, **_DIVISION}
    calls: dict[str, set[str]] = {
        "__indirect_call": set(_CALLBACKS),
        _FROM_CORE: {*_CALLBACKS, "ewbc_control_receive"},
    }
    for report in folder.glob("*.ci"):
        text = report.read_text()
        for title, size in re.findall(r'node: \{ title: "([^"]+)" label: "[^"]*?(\d+) bytes \(static\)', text):
            own[title] = int(size)
        for source, target in re.findall(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', text):
            from_core = target == "__indirect_call" and report.stem == "edge_wbc_link"
            calls.setdefault(source, set()).add(_FROM_CORE if from_core else target)
    titles = {title.rsplit(":", 1)[-1]: title for title in own}
    assert "(dynamic" not in "".join(report.read_text() for report in folder.glob("*.su"))

    def depth(function: str, above: tuple[str, ...] = ()) -> int:
        title = titles.get(function, function)
        assert title not in above, f"recursion: {above}"
        assert title in own, f"no report on {title}"
        below = [depth(called, (*above, title)) for called in calls.get(title, ())]
        return own[title] + max(below, default=0)

    return depth


@pytest.mark.parametrize("name", EMULATED_BOARDS)
def test_the_stack_stays_below_its_ceiling(build: Build, name: str) -> None:
    folder = build(name)
    with Board(name, folder) as board:
        with Instrument.open(board.port) as link:
            for message in results(50):
                link.send(message)
            assert link.drain(20.0) == 0
        push_stage(board, TRAVEL_NM - NM_PER_MS)
        with RawHost(board.port) as talker:
            press(board, 1)
            talker.ask(Heartbeat(0, 0, 0, 0, 0))
            talker.ask(Command(1, 1, Opcode.STAGE_MOVE, 1000, TRAVEL_NM + 1, 0, 0))
            talker.listen_for(MessageType.COMMAND_DONE, MessageType.EVENT, MessageType.LOG)
        measured = board.stack_used()
    assert 0 < measured <= STACK[name]
    if name in QEMU_BOARDS:
        depth = deepest(folder / name)
        most = depth("reset") + _EXCEPTION_FRAME + depth("uart_interrupt")
        assert measured <= most <= STACK[name]
