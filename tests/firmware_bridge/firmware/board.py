"""A board's real firmware, running: in QEMU, in simavr, or as a process of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.firmware_bridge.firmware.bench import PATIENCE_S, QEMU_BOARDS, offset_in_link, symbol, symbols
from tests.firmware_bridge.firmware.ledger import BOOTS_BYTES, STORE_BYTES, Record, newest_record
from tests.firmware_bridge.firmware.relay import Relay
from tests.firmware_bridge.firmware.wire import NO_FAULTS, Faults


class _Control:
    """QEMU's control socket."""

    def __init__(self, path: Path) -> None:
        self._socket = connected(path)
        self._lines = self._socket.makefile("r")
        self._lines.readline()
        self.do("qmp_capabilities")

    def do(self, command: str, **arguments: Any) -> None:
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            line = self._lines.readline()
            if not line:
                assert command == "quit", "QEMU has ended"
                return
            answer = json.loads(line)
            assert "error" not in answer, answer
            if "return" in answer:
                return

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def connected(path: Path) -> socket.socket:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
            return connection
        except OSError:
            connection.close()
            assert time.monotonic() < deadline, f"nothing listens on {path}"
            time.sleep(0.01)


class Board:
    """One board's image running, with its wire. Use as a context manager."""

    def __init__(self, name: str, build: Path, *, faults: Faults = NO_FAULTS, seed: int = 0) -> None:
        self.name = name
        self._build = build
        self._directory = Path(tempfile.mkdtemp(prefix="wbc-"))
        self.relay = Relay(self._directory, faults, seed)
        self._process = self._start()
        self._control: _Control | socket.socket | None = None
        try:
            if name in QEMU_BOARDS:
                self._control = _Control(self._directory / "control")
            elif name == "atmega328p":
                self._control = connected(self._directory / "control")
        except BaseException:
            self._end()
            raise

    @property
    def image(self) -> Path:
        return self._build / self.name / ("instrument" if self.name == "host" else "image.elf")

    @property
    def port(self) -> str:
        return self.relay.port

    @property
    def debugger(self) -> Path:
        """Where QEMU listens for GDB."""
        return self._directory / "debugger"

    def _start(self) -> subprocess.Popen[bytes]:
        control = str(self._directory / "control")
        environment = None
        if self.name == "host":
            command = [str(self.image)]
            environment = {"EWBC_SOCKET": self.relay.wire, "EWBC_STORE": str(self._directory / "store")}
        elif self.name == "atmega328p":
            command = [str(self._build / "host" / "simavr-board"), str(self.image), self.relay.wire, control]
        else:
            command = ["qemu-system-arm", "-M", self.name, "-kernel", str(self.image), "-display", "none"]
            command += ["-monitor", "none", "-serial", f"unix:{self.relay.wire}"]
            command += ["-qmp", f"unix:{control},server=on,wait=off"]
            command += ["-gdb", f"unix:{self.debugger},server=on,wait=off"]
        errors = (self._directory / "errors").open("ab")
        with errors:
            return subprocess.Popen(command, env=environment, stdout=errors, stderr=errors)

    def reset(self) -> None:
        """Press the reset button; the process of ``host`` is killed and started again."""
        if isinstance(self._control, _Control):
            self._control.do("system_reset")
        elif self._control is not None:
            self._obey("reset")
        else:
            self._process.kill()
            self._process.wait()
            self.relay.board_was_replaced()
            self._process = self._start()

    def hang(self, hung: bool) -> None:
        """Stop the board's clock, or let it go on."""
        if isinstance(self._control, _Control):
            self._control.do("stop" if hung else "cont")
        elif self._control is not None:
            self._obey("stop" if hung else "cont")
        else:
            self._process.send_signal(signal.SIGSTOP if hung else signal.SIGCONT)
            if hung:
                os.waitpid(self._process.pid, os.WUNTRACED)

    def _obey(self, line: str) -> None:
        assert isinstance(self._control, socket.socket)
        self._control.sendall(line.encode() + b"\n")
        assert self._control.recv(16) == b"ok\n"

    def memory(self, address: int, size: int) -> bytes:
        """Return bytes of the board's data memory."""
        if isinstance(self._control, _Control):
            path = self._directory / "memory"
            self._control.do("memsave", val=address, size=size, filename=str(path))
            return path.read_bytes()
        if self._control is None:
            return self._memory_of_process(address, size)
        self._control.sendall(f"read {address} {size}\n".encode())
        data = b""
        while len(data) < size:
            data += self._control.recv(size - len(data))
        return data

    def _memory_of_process(self, address: int, size: int) -> bytes:
        process = Path("/proc", str(self._process.pid))
        maps = (process / "maps").read_text().splitlines()
        base = next((line for line in maps if line.endswith(str(self.image))), None)
        if base is None:  # it is only just starting
            return bytes(size)
        with (process / "mem").open("rb", buffering=0) as memory:
            memory.seek(int(base.split("-")[0], 16) + address)
            return memory.read(size)

    @property
    def forgets(self) -> bool:
        """Whether its record does not outlive a reset."""
        return "ram_store" in symbols(self.image)

    @property
    def boots(self) -> int:
        """How often the board has started."""
        return int.from_bytes(self._kept()[:BOOTS_BYTES], "little")

    def record(self) -> Record:
        """Return the example's record, straight from the board's memory.

        :raises NoRecordError: it has not applied anything yet.
        """
        if self.forgets:
            return newest_record(self.memory(symbol(self.image, "ram_store"), STORE_BYTES))
        return newest_record(self._kept()[BOOTS_BYTES:])

    def crc_errors(self) -> int:
        """Return how many frames have failed their CRC since the board started, by its decoder's own count."""
        at = symbol(self.image, "instrument") + offset_in_link(self.name, "decoder.crc_errors")
        return int.from_bytes(self.memory(at, 4), "little")

    def _kept(self) -> bytes:
        if self.name == "host":
            store = self._directory / "store"
            return (store.read_bytes() if store.exists() else b"").ljust(BOOTS_BYTES + STORE_BYTES, b"\0")
        return self.memory(symbol(self.image, "kept_memory"), BOOTS_BYTES + STORE_BYTES)

    def stack_used(self) -> int:
        """Return how deep the stack has been: RAM is zeros before, and start-up does not touch the stack's part."""
        start, top = ("_end", 0x900) if self.name == "atmega328p" else ("__ram_end", None)
        bottom = symbol(self.image, start)
        top = symbol(self.image, "__stack_top") if top is None else top
        return len(self.memory(bottom, top - bottom).lstrip(b"\0"))

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        errors = (self._directory / "errors").read_text(errors="replace")
        self._end()
        if error is None and self.name not in QEMU_BOARDS:  # QEMU remarks on a board's unused timers
            assert not errors, errors

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        self._process.kill()
        self._process.wait()
        self.relay.close()
        shutil.rmtree(self._directory, ignore_errors=True)
