"""The guide's code compiles, its commands run and its numbers are so."""

from __future__ import annotations

import ctypes
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
STAGE_AND_BUTTON = """
static bool moves, arrived, pressed;
static uint8_t written[256], count;
void stage_go(const int32_t place_nm[3]) { moves = place_nm[0] == 5; }
void stage_halt(void) { moves = false; }
bool stage_arrived(void) { bool was = arrived; arrived = false; return was; }
bool button_pressed(void) { return pressed; }
static void write_bytes(void *context, const uint8_t *data, uint8_t length)
{
    ewbc_decoder decoder = {0};
    ewbc_frame frame;
    for (uint8_t i = 0; i < length; i++) {
        if (ewbc_decode(&decoder, data[i], &frame)) {
            written[count++] = frame.type;
        }
    }
}
static const ewbc_device device = {.unique_id = "guide", .write = write_bytes, .control = &control};
static ewbc_link link;
static void ask(uint8_t type, uint8_t length, uint8_t *out)
{
    length = ewbc_encode(out, type, 7, 0, length);
    for (uint8_t i = 0; i < length; i++) {
        ewbc_link_byte(&link, out[i]);
    }
}
#define HOLDS(condition) if (!(condition)) return __LINE__
int run(void)
{
    uint8_t out[EWBC_MAX_FRAME] = {0}, *payload = out + EWBC_PAYLOAD_AT;
    ewbc_link_init(&link, &device, 0, 1, 0, 0);
    EWBC_PUT_HELLO_VERSION_MAJOR(payload, EWBC_VERSION_MAJOR);
    EWBC_PUT_HELLO_SCHEMA_HASH(payload, EWBC_SCHEMA_HASH);
    EWBC_PUT_HELLO_CAPABILITIES(payload, 0x1F);
    ask(EWBC_TYPE_HELLO, EWBC_HELLO_SIZE, out);
    for (uint16_t number = 1; number <= 3; number++) {
        EWBC_PUT_COMMAND_ISSUER(payload, 1);
        EWBC_PUT_COMMAND_NUMBER(payload, number);
        EWBC_PUT_COMMAND_OPCODE(payload, EWBC_OPCODE_STAGE_MOVE);
        EWBC_PUT_COMMAND_DEADLINE_MS(payload, 1000);
        EWBC_PUT_COMMAND_ARGUMENT_1(payload, 5);
        ask(EWBC_TYPE_COMMAND, EWBC_COMMAND_SIZE, out);
        HOLDS(moves && written[count - 1] == EWBC_TYPE_COMMAND_DONE);
        if (number == 1) {
            arrived = true;
            control_tick(&link, 1);
            control_tick(&link, 2);
            HOLDS(written[count - 1] == EWBC_TYPE_COMMAND_DONE && count == 3);
        } else if (number == 2) {
            ask(EWBC_TYPE_STOP, EWBC_STOP_SIZE, out);
            HOLDS(!moves && written[count - 1] == EWBC_TYPE_STOP);
        } else {
            control_tick(&link, 1002);
            HOLDS(!moves && written[count - 1] == EWBC_TYPE_COMMAND_DONE);
        }
    }
    pressed = true;
    control_tick(&link, 1003);
    control_tick(&link, 1004);
    HOLDS(written[count - 1] == EWBC_TYPE_EVENT);
    return 0;
}
"""


def test_the_code_of_the_guide_compiles_clean(build: Build, tmp_path: Path) -> None:
    build("microbit", "host")
    codes = re.findall(r"```c\n(.*?)```", GUIDE, re.S)
    assert len(codes) == 2
    warnings = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", f"-I{FIRMWARE / 'include'}"]
    for compiler in (["gcc"], ["arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb", "-ffreestanding"]):
        for code in codes:
            (tmp_path / "guide.c").write_text(code)
            command = [*compiler, *warnings, "-c", str(tmp_path / "guide.c"), "-o", str(tmp_path / "guide.o")]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr


def test_the_commands_of_the_guide_work(build: Build, tmp_path: Path) -> None:
    """Its control part as it stands, with a stage and a button made for the test, behind the library."""
    build("host")
    _, code = re.findall(r"```c\n(.*?)```", GUIDE, re.S)
    (tmp_path / "guide.c").write_text(code + STAGE_AND_BUTTON)
    sources = [str(FIRMWARE / "src" / f"edge_wbc_{name}.c") for name in ("frame", "link", "messages", "control")]
    library = str(tmp_path / "guide.so")
    command = [
        "gcc",
        "-shared",
        "-fPIC",
        f"-I{FIRMWARE / 'include'}",
        str(tmp_path / "guide.c"),
        *sources,
        "-o",
        library,
    ]
    subprocess.run(command, check=True)
    guide = ctypes.CDLL(library)
    guide.run.restype = ctypes.c_int
    assert guide.run() == 0, "the line of STAGE_AND_BUTTON that does not hold"


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
        assert done.stdout.splitlines()[1:] == ["the stage is there"]
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
