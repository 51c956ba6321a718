"""The workbench: the firmware's boards, and how their images are built."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import firmware_bridge

FIRMWARE = Path(firmware_bridge.__file__).parent / "firmware"
QEMU_BOARDS = ("lm3s6965evb", "mps2-an385", "stm32vldiscovery", "microbit")
EMULATED_BOARDS = (*QEMU_BOARDS, "atmega328p")
BOARDS = (*EMULATED_BOARDS, "host")
"""``host`` is the example as a process under ASan and UBSan; a reset kills it."""

BAUD = 115200
PATIENCE_S = 20.0
"""Until something that should happen is given up."""

COMPILERS = {"atmega328p": ("avr-gcc", "gcc"), "host": ("gcc",), "fuzz": ("clang",)}
_CROSS = {"atmega328p": ("avr-gcc", "-mmcu=atmega328p"), "host": ("gcc",)}


def missing_tools(*boards: str) -> list[str]:
    """Return what these boards need and this machine does not have."""
    needed: list[str] = ["make"]
    for board in boards:
        needed += COMPILERS.get(board, ("arm-none-eabi-gcc", "qemu-system-arm"))
    missing = [tool for tool in dict.fromkeys(needed) if shutil.which(tool) is None]
    if "atmega328p" in boards and not Path("/usr/include/simavr").is_dir():
        missing.append("libsimavr-dev")
    return missing


def make(build: Path, *targets: str, source: Path = FIRMWARE) -> None:
    """Build; a warning or an error of a compiler is a failure with its words."""
    command = ["make", "-j2", "-s", "-C", str(source), f"BUILD={build}", *targets]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr, done.stderr


def make_boards(build: Path, *names: str, awake: bool = False) -> None:
    """Build these boards' images, and what runs them.

    :param awake: Cortex-M boards do not sleep between bytes. QEMU hands a byte to a processor that sleeps later.
    """
    simulator = ["simavr"] if "atmega328p" in names else []
    make(build, *names, *simulator, *(["SLEEP=no"] if awake else []))


def patched_copy(directory: Path, path: str, old: str, new: str) -> Path:
    """Return a copy of the firmware in which one place is changed."""
    copy = directory / "firmware"
    shutil.copytree(FIRMWARE, copy, ignore=shutil.ignore_patterns("build", "__pycache__"))
    text = (copy / path).read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
    (copy / path).write_text(text.replace(old, new))
    return copy


@functools.cache
def symbols(image: Path) -> dict[str, int]:
    """Return the addresses of an image's symbols in the board's memory."""
    lines = subprocess.run(["nm", str(image)], capture_output=True, text=True, check=True).stdout.splitlines()
    found = {fields[-1]: int(fields[0], 16) for fields in map(str.split, lines) if len(fields) == 3}
    return {name: at - 0x800000 if 0x800000 <= at < 0x900000 else at for name, at in found.items()}


def symbol(image: Path, name: str) -> int:
    """Return a symbol's address in the board's data memory."""
    return symbols(image)[name]


@functools.cache
def offset_in_link(board: str, member: str) -> int:
    """Return where a member of `ewbc_link` stands, by the board's own compiler: the size of an array so long."""
    compiler = _CROSS.get(board, ("arm-none-eabi-gcc", "-mthumb", "-ffreestanding"))
    code = f'#include <stddef.h>\n#include "edge_wbc_link.h"\nchar found[1 + offsetof(ewbc_link, {member})] = {{1}};'
    command = [*compiler, f"-I{FIRMWARE / 'include'}", "-x", "c", "-S", "-", "-o", "-"]
    listing = subprocess.run(command, input=code, capture_output=True, text=True, check=True).stdout
    (size,) = (line.split(",")[1] for line in listing.splitlines() if ".size" in line and "found" in line)
    return int(size) - 1
