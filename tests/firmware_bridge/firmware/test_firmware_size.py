"""Ceilings on flash, RAM and stack."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge import Instrument
from tests.firmware_bridge.firmware.bench import EMULATED_BOARDS, QEMU_BOARDS
from tests.firmware_bridge.firmware.board import Board
from tests.firmware_bridge.firmware.ledger import results

Build = Callable[..., Path]

CORE, MESSAGES = ("edge_wbc_frame.o", "edge_wbc_link.o"), "edge_wbc_messages.o"
CORE_BYTES, LIBRARY_BYTES, STATE_BYTES = 1536, 3072, 400
"""On a Cortex-M0; from the issue that asked for the link."""

IMAGE_FLASH = {"atmega328p": 4608, **dict.fromkeys(QEMU_BOARDS, 2816)}
IMAGE_RAM = {"atmega328p": 1056, **dict.fromkeys(QEMU_BOARDS, 1536)}
"""Of the whole example with its rings, without the stack: some 15 % above what was measured."""

STACK = {"atmega328p": 256, **dict.fromkeys(QEMU_BOARDS, 448)}

_EXCEPTION_FRAME = 36
"""Eight words, and one where the stack was not aligned to two."""
_CALLBACKS = ("counter_apply", "counter_start_stream", "write_bytes")


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
    flash, ram = sizes("microbit", *core, folder / MESSAGES)
    assert flash <= LIBRARY_BYTES
    state = re.search(r"^\S+ (\S+) b instrument$", output("arm-none-eabi-nm", "-S", str(folder / "image.elf")), re.M)
    assert state is not None
    assert ram + int(state.group(1), 16) <= STATE_BYTES


def test_the_library_needs_nothing_but_itself(build: Build) -> None:
    folder = build("microbit") / "microbit"
    names: dict[str, set[str]] = {"defined": set(), "undefined": set()}
    for line in output("arm-none-eabi-nm", *(str(folder / name) for name in (*CORE, MESSAGES))).splitlines():
        fields = line.split()
        if len(fields) > 1:
            names["undefined" if fields[-2] == "U" else "defined"].add(fields[-1])
    assert names["undefined"]
    assert names["undefined"] <= names["defined"]


@pytest.mark.parametrize("name", EMULATED_BOARDS)
def test_an_image_keeps_its_size(build: Build, name: str) -> None:
    flash, ram = sizes(name, build(name) / name / "image.elf")
    assert flash <= IMAGE_FLASH[name]
    assert ram <= IMAGE_RAM[name]


def deepest(folder: Path) -> Callable[[str], int]:
    """Return a function that tells how much stack a call of a function takes at most, by the compiler's reports."""
    own: dict[str, int] = {}
    calls: dict[str, set[str]] = {"__indirect_call": set(_CALLBACKS)}
    for report in folder.glob("*.ci"):
        text = report.read_text()
        for title, size in re.findall(r'node: \{ title: "([^"]+)" label: "[^"]*?(\d+) bytes \(static\)', text):
            own[title] = int(size)
        for source, target in re.findall(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', text):
            calls.setdefault(source, set()).add(target)
    titles = {title.rsplit(":", 1)[-1]: title for title in own}
    assert "(dynamic" not in "".join(report.read_text() for report in folder.glob("*.su"))

    def depth(function: str, above: tuple[str, ...] = ()) -> int:
        title = titles.get(function, function)
        assert title not in above, f"recursion: {above}"
        assert title in own or title == "__indirect_call", f"no report on {title}"
        below = [depth(called, (*above, title)) for called in calls.get(title, ())]
        return own.get(title, 0) + max(below, default=0)

    return depth


@pytest.mark.parametrize("name", EMULATED_BOARDS)
def test_the_stack_stays_below_its_ceiling(build: Build, name: str) -> None:
    folder = build(name)
    with Board(name, folder) as board, Instrument.open(board.port) as link:
        for message in results(50):
            link.send(message)
        assert link.drain(20.0) == 0
        measured = board.stack_used()
    assert 0 < measured <= STACK[name]
    if name in QEMU_BOARDS:
        depth = deepest(folder / name)
        most = depth("reset") + _EXCEPTION_FRAME + depth("uart_interrupt")
        assert measured <= most <= STACK[name]
