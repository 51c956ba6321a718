"""A board's real firmware in an emulator, a bad wire to it, and a host that goes on after every interruption."""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time
import tty
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import firmware_bridge
from firmware_bridge import COUNTED_LABELS, UNIDENTIFIED, CellResult, Differential
from firmware_bridge.delivery import Sender
from firmware_bridge.errors import PortAbsentError, PortLostError
from firmware_bridge.messages import Ack, Hello, HelloAck, Nak, NewStream, decode_message
from firmware_bridge.protocol import Frame, FrameDecoder, encode_frame
from firmware_bridge.schema import SCHEMA_HASH, VERSION_MAJOR, VERSION_MINOR, MessageType
from firmware_bridge.transport import SerialPort

FIRMWARE = Path(firmware_bridge.__file__).parent / "firmware"
QEMU_BOARDS = ("lm3s6965evb", "mps2-an385", "stm32vldiscovery", "microbit")
EMULATED_BOARDS = (*QEMU_BOARDS, "atmega328p")
BOARDS = (*EMULATED_BOARDS, "host")
"""``host`` is the example as a process under ASan and UBSan; a reset kills it."""

BAUD = 115200
PATIENCE_S = 20.0
_POLL_S = 0.005
_MOST_BACKLOG = 1 << 16
_SILENCE_S = 0.3
_GREETING_PERIOD_S = 0.1

COMPILERS = {"atmega328p": ("avr-gcc", "gcc"), "host": ("gcc",), "fuzz": ("clang",)}


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


def patched_copy(directory: Path, path: str, old: str, new: str) -> Path:
    """Return a copy of the firmware in which one place is changed."""
    copy = directory / "firmware"
    shutil.copytree(FIRMWARE, copy, ignore=shutil.ignore_patterns("build", "__pycache__"))
    text = (copy / path).read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
    (copy / path).write_text(text.replace(old, new))
    return copy


# what was sent, and what the board's own record says


@dataclass(frozen=True)
class Record:
    """The example's record as it stands in the board's memory."""

    stream_id: int
    last_seq: int
    applied: int
    chain: int
    counts: dict[str, int]
    differential: tuple[int, ...]


_RECORD = struct.Struct("<27I")
_BOOTS = struct.Struct("<I")
KEPT_BYTES = _BOOTS.size + 2 * _RECORD.size


def newest_record(kept: bytes) -> Record:
    """Return the newer good record, found as the firmware finds it."""
    best: tuple[int, ...] | None = None
    for number in range(2):
        raw = kept[_BOOTS.size + number * _RECORD.size :][: _RECORD.size]
        words = _RECORD.unpack(raw)
        if not words[0] or zlib.crc32(raw[:-4]) != words[-1]:
            continue
        if best is None or (words[0] - best[0]) & 0xFFFFFFFF < 1 << 31:
            best = words
    assert best is not None, "no good record in the board's memory"
    _, stream_id, last_seq, applied, chain, *rest = best
    names = (*COUNTED_LABELS, UNIDENTIFIED)
    counts = {name: count for name, count in zip(names, rest[: len(names)], strict=True) if count}
    return Record(stream_id, last_seq, applied, chain, counts, tuple(rest[len(names) : -1]))


class Ledger:
    """What the board's record must say when each message has been applied once and in order."""

    def __init__(self) -> None:
        self.applied = 0
        self.chain = 0
        self.counts: Counter[str] = Counter()

    def add(self, messages: Iterable[CellResult | Differential], first_seq: int = 1) -> None:
        for seq, message in enumerate(messages, first_seq):
            self.applied += 1
            self.chain = zlib.crc32(struct.pack("<I", seq) + message.encode(), self.chain)
            if isinstance(message, CellResult):
                self.counts[message.label] += 1

    def check(self, record: Record) -> None:
        assert (record.applied, record.counts) == (self.applied, dict(self.counts))
        assert record.chain == self.chain, "the counts are right, but not the order or a value"


def results(count: int, first: int = 0) -> list[CellResult]:
    labels = (*COUNTED_LABELS, UNIDENTIFIED)
    return [
        CellResult(n, 1_700_000_000_000_000_000 + n, labels[n % len(labels)], n % 101 / 100, (n, n * 3, 40, n % 300))
        for n in range(first, first + count)
    ]


# the wire


@dataclass(frozen=True)
class Faults:
    """Chances for each piece of 1 to 40 bytes; a delayed piece is overtaken by those behind it."""

    drop: float = 0.0
    flip: float = 0.0
    double: float = 0.0
    delay: float = 0.0
    delay_s: float = 0.03


NO_FAULTS = Faults()


class Relay:
    """Owns the host's pseudo-terminal and speaks to the emulator by a Unix socket; a thread carries the bytes.

    The emulator stays connected while the host's side is unplugged; what it sends meanwhile is lost.
    """

    def __init__(self, directory: Path, faults: Faults = NO_FAULTS, seed: int = 0) -> None:
        self.port = str(directory / "port")
        """A symbolic link that leads to the port, whichever it is after a replug."""
        self.wire = str(directory / "wire")
        self.faults = faults
        self.done = Counter[str]()
        """Faults made, by kind."""
        self._source = random.Random(seed)
        self._lock = threading.Lock()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.wire)
        self._listening.listen(1)
        self._board: socket.socket | None = None
        self._master = self._slave = -1
        self._under_way: list[tuple[float, int, bool, bytes]] = []
        self._backlog = bytearray()
        self._count = 0
        self._stop = False
        self.plug()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def plug(self) -> None:
        """A new pseudo-terminal under the same link."""
        with self._lock:
            self._master, self._slave = os.openpty()
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            with suppress(FileNotFoundError):
                os.unlink(self.port)
            os.symlink(os.ttyname(self._slave), self.port)

    def unplug(self) -> None:
        """The host's port vanishes, with everything under way."""
        with self._lock:
            self.done["unplug"] += 1
            os.unlink(self.port)
            os.close(self._master)
            os.close(self._slave)
            self._master = self._slave = -1
            self._under_way.clear()
            self._backlog.clear()

    def board_was_replaced(self) -> None:
        """Take the next connection to the wire as the board's."""
        with self._lock:
            self._drop_board()
            self._under_way.clear()
            self._backlog.clear()

    def hand_over(self, data: bytes, within_s: float) -> bool:
        """Give the board these bytes; return whether it has read them all within that time."""
        with self._lock:
            assert self._board is not None
            self._board.sendall(data)
            deadline = time.monotonic() + within_s
            while time.monotonic() < deadline:
                unread = fcntl.ioctl(self._board, termios.TIOCOUTQ, bytes(4))
                if not any(unread):
                    return True
                time.sleep(0.0005)
        return False

    def close(self) -> None:
        self._stop = True
        self._thread.join(5)
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._drop_board()
        self._listening.close()

    def _drop_board(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None

    def _run(self) -> None:
        while not self._stop:
            with self._lock:
                poll = select.poll()
                if self._master >= 0:
                    poll.register(self._master, select.POLLIN)
                board = self._board or self._listening
                poll.register(board, select.POLLIN | (select.POLLOUT if self._backlog else 0))
                due = self._under_way[0][0] - time.monotonic() if self._under_way else _POLL_S
            poll.poll(max(0.0, min(due, _POLL_S)) * 1000)
            with self._lock:
                self._carry()

    def _carry(self) -> None:
        if self._master >= 0:
            with suppress(BlockingIOError, OSError):
                self._take(True, os.read(self._master, 4096))
        if self._board is None:
            self._accept()
        else:
            try:
                data = self._board.recv(4096)
            except BlockingIOError:
                pass
            except OSError:
                self._drop_board()
            else:
                self._take(False, data)
                if not data:
                    self._drop_board()
        now = time.monotonic()
        while self._under_way and self._under_way[0][0] <= now:
            _, _, to_board, data = heapq.heappop(self._under_way)
            if to_board:
                self._backlog += data[: _MOST_BACKLOG - len(self._backlog)]
            elif self._master >= 0:
                with suppress(BlockingIOError, OSError):
                    os.write(self._master, data)
        if self._board is not None and self._backlog:
            with suppress(BlockingIOError, OSError):
                del self._backlog[: self._board.send(self._backlog)]

    def _accept(self) -> None:
        if select.select([self._listening], [], [], 0)[0]:
            self._board, _ = self._listening.accept()
            self._board.setblocking(False)

    def _take(self, to_board: bool, data: bytes) -> None:
        faults = self.faults
        now = time.monotonic()
        if faults == NO_FAULTS:
            self._push(now, to_board, data)
            return
        at = 0
        while at < len(data):
            size = self._source.randint(1, 40)
            piece, at = bytearray(data[at : at + size]), at + size
            if self._happens("drop", faults.drop):
                continue
            if self._happens("flip", faults.flip):
                piece[self._source.randrange(len(piece))] ^= 1 << self._source.randrange(8)
            late = self._source.random() * faults.delay_s if self._happens("delay", faults.delay) else 0.0
            for _ in range(1 + self._happens("double", faults.double)):
                self._push(now + late, to_board, bytes(piece))

    def _push(self, due: float, to_board: bool, data: bytes) -> None:
        self._count += 1
        heapq.heappush(self._under_way, (due, self._count, to_board, data))

    def _happens(self, name: str, chance: float) -> bool:
        happens = self._source.random() < chance
        self.done[name] += happens
        return happens


# the board


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


def symbol(image: Path, name: str) -> int:
    """Return a symbol's address in the board's data memory."""
    lines = subprocess.run(["nm", str(image)], capture_output=True, text=True, check=True).stdout.splitlines()
    (address,) = [int(line.split()[0], 16) for line in lines if line.split()[-1] == name]
    return address - 0x800000 if 0x800000 <= address < 0x900000 else address


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
        self.relay.done["reset"] += 1
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
        self.relay.done["hang"] += hung
        if isinstance(self._control, _Control):
            self._control.do("stop" if hung else "cont")
        elif self._control is not None:
            self._obey("stop" if hung else "cont")
        else:
            self._process.send_signal(signal.SIGSTOP if hung else signal.SIGCONT)

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
        assert isinstance(self._control, socket.socket)
        self._control.sendall(f"read {address} {size}\n".encode())
        data = b""
        while len(data) < size:
            data += self._control.recv(size - len(data))
        return data

    def record(self) -> Record:
        """Return the example's record, straight from the board's memory."""
        if self.name == "host":
            return newest_record((self._directory / "store").read_bytes())
        return newest_record(self.memory(symbol(self.image, "kept_memory"), KEPT_BYTES))

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


# the host


class Host:
    """Sender and port without a thread, on one stream: greets anew whenever the board falls silent or the port
    vanishes, and goes on where the board says it stands.
    """

    def __init__(self, port: str, seed: int = 0) -> None:
        self._path = port
        self._source = random.Random(seed)
        self._stream_id = self._source.randrange(1, 1 << 32)
        self._connection = 0
        self._started = False
        self._port: SerialPort | None = None
        self._decoder = FrameDecoder()
        self.sender = Sender(BAUD, capacity=1 << 20)
        self.greetings: list[HelloAck] = []
        """What the board told of itself at each connection."""

    def send(self, messages: Iterable[CellResult | Differential]) -> None:
        for message in messages:
            self.sender.enqueue(message.TYPE, message.encode())

    def deliver(self, patience_s: float = PATIENCE_S, meanwhile: Callable[[int], None] | None = None) -> None:
        """Go on until all is acknowledged; ``meanwhile`` is told how many are, after each step.

        :raises TimeoutError: so long nothing new was acknowledged.
        """
        seen, since = -1, time.monotonic()
        while self.sender.pending:
            if self.sender.acknowledged != seen:
                seen, since = self.sender.acknowledged, time.monotonic()
            if time.monotonic() - since > patience_s:
                raise TimeoutError(f"nothing acknowledged for {patience_s:g} s")
            try:
                if self._port is None:
                    self._port = SerialPort(self._path, BAUD)
                if not self._connection:
                    self._greet(since + patience_s)
                self._step()
            except (PortAbsentError, PortLostError):
                self.close()
                time.sleep(_POLL_S)
            if meanwhile is not None:
                meanwhile(self.sender.acknowledged)

    def close(self) -> None:
        if self._port is not None:
            self._port.close()
        self._port, self._connection = None, 0

    def _step(self) -> None:
        assert self._port is not None
        now = time.monotonic()
        self.sender.on_time(now)
        data = self.sender.take(now)
        if data:
            self._port.write(data)
        wait_s = self.sender.wait_s(now)
        for message in self._received(0.05 if wait_s is None else min(wait_s, 0.05)):
            if isinstance(message, Ack):
                self.sender.on_ack(message, time.monotonic())
            elif isinstance(message, Nak):
                self.sender.on_nak(message, time.monotonic())
        if self.sender.silent_s(time.monotonic()) > _SILENCE_S:
            self._connection = 0

    def _greet(self, deadline: float) -> None:
        self._connection = self._source.randrange(1, 1 << 16)
        hello = Hello(VERSION_MAJOR, VERSION_MINOR, 0, SCHEMA_HASH, self._stream_id)
        told = self._ask(hello, HelloAck, deadline)
        self.greetings.append(told)
        last, window = told.last_applied_seq, told.window_bytes
        if told.stream_id != self._stream_id:
            assert not self._started, "the board has forgotten the stream"
            answer = self._ask(NewStream(self._stream_id), Ack, deadline)
            last, window = answer.seq, answer.window_bytes
        self._started = True
        self.sender.connect(self._connection, last, window)

    def _ask(self, question: Hello | NewStream, kind: type[Any], deadline: float) -> Any:
        assert self._port is not None
        while time.monotonic() < deadline:
            self._port.write(encode_frame(Frame(question.TYPE, self._connection, 0, question.encode())))
            again = time.monotonic() + _GREETING_PERIOD_S
            while (left := again - time.monotonic()) > 0:
                for message in self._received(left):
                    if isinstance(message, kind):
                        return message
        raise TimeoutError(f"no answer to {MessageType(question.TYPE).name}")

    def _received(self, wait_s: float) -> list[Any]:
        assert self._port is not None
        return [
            decode_message(frame.type, frame.payload)
            for frame in self._decoder.feed(self._port.read(wait_s))
            if frame.connection == self._connection
        ]

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
