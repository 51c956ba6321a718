"""The guide's code compiles, its commands run and its numbers are so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from tests.firmware_bridge.firmware.bench import FIRMWARE

Build = Callable[..., Path]
GUIDE = (FIRMWARE / "README.md").read_text()
ROOT = FIRMWARE.parents[1]


def test_the_code_of_the_guide_compiles_clean(build: Build, tmp_path: Path) -> None:
    build("microbit", "host")
    (code,) = re.findall(r"```c\n(.*?)```", GUIDE, re.S)
    (tmp_path / "guide.c").write_text(code)
    warnings = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", f"-I{FIRMWARE / 'include'}"]
    for compiler in (["gcc"], ["arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb", "-ffreestanding"]):
        command = [*compiler, *warnings, "-c", str(tmp_path / "guide.c"), "-o", str(tmp_path / "guide.o")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_first_step_of_the_guide_works(build: Build) -> None:
    image = build("microbit") / "microbit" / "image.elf"
    (qemu,) = re.findall(r"^    (qemu-system-arm .*)$", GUIDE, re.M)
    (script,) = re.findall(r'^    python -c "\n(.*?)"$', GUIDE, re.M | re.S)
    command = qemu.replace("build/microbit/image.elf", str(image)).split()
    board = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert board.stdout is not None
        found = re.search(r"/dev/pts/\d+", board.stdout.readline())
        assert found is not None
        code = textwrap.dedent(script).replace("/dev/pts/3", found.group())
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=os.environ)
        assert done.stdout.startswith("0 not acknowledged; HelloAck("), done.stderr
    finally:
        board.kill()
        board.communicate()


def test_the_windows_of_the_guide_are_those_of_the_boards() -> None:
    rings = {path.parent.name: path.read_text() for path in FIRMWARE.glob("ports/*/config.h")}
    for row in re.findall(r"^\| (.+?) \| .+? \| (\d+) \| (\d+) \|", GUIDE, re.M):
        for name in re.findall(r"[a-z0-9-]+", row[0].split(" (")[0]):
            assert f"RING_BYTES {row[1]}u" in rings.pop(name)
        assert int(row[1]) - 1 - 78 == int(row[2])
    assert not rings
