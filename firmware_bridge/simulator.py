"""A simulated instrument on a pseudo-terminal: the instrument's half of the protocol, and a print of what
it applies.

It keeps its own ledger of what was applied, apart from the receiver's rule, so that a double or a hole
would show.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from typing import Any

from firmware_bridge.apparatus import CAPABILITIES, Apparatus
from firmware_bridge.errors import ProtocolError
from firmware_bridge.messages import CellResult, Differential, InstrumentEvent
from firmware_bridge.protocol import SEQ_MASK, Frame, FrameDecoder, encode_frame, seq_distance
from firmware_bridge.receiver import Receiver
from firmware_bridge.receiver_control import ControlReceiver
from firmware_bridge.schema import CommandStatus, EventCode, MessageType
from firmware_bridge.serving import Printer, offered_port, stop_signals
from firmware_bridge.store import random_id
from firmware_bridge.wire import FIFO_BYTES, Wire

_READ_BYTES = 4096
_IDLE_S = 0.01
_LATEST_PRINT_S = 0.1


class Simulator:
    """The simulated instrument without its port: bytes in, bytes and lines out."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._began = time.monotonic()
        self._apparatus = Apparatus(self._did, self._clock_ms)
        self._control = ControlReceiver(self._apparatus.begin, self._apparatus.stop, CAPABILITIES)
        self._decoder = FrameDecoder()
        self._receiver = Receiver(
            boot_id=random_id(4), unique_id=b"simulator", control=self._control, decoder=self._decoder
        )
        self._happened: deque[tuple[int, int, int, int]] = deque()
        self.commands: Counter[str] = Counter()
        self._ledger: dict[int, int] = {}
        self.lines: list[str] = []
        """What is to be printed next; the caller empties it."""
        self.labels: Counter[str] = Counter()
        self.differentials = 0
        self.doubled = 0
        self.out_of_order = 0

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the host and return the answer, the last of successive acknowledgements standing
        for all.
        """
        answers: list[Frame] = []
        for frame in self._decoder.feed(data):
            answer, message = self._receiver.receive(frame, self._clock_ms())
            if message is not None:
                self._apply(frame.seq, message)
            if answer is not None:
                if answers and answer.type == answers[-1].type == MessageType.ACK:
                    answers.pop()
                answers.append(answer)
        return b"".join(map(encode_frame, answers))

    def tick(self) -> bytes:
        """Go on with what takes time, and return what is said of its own accord."""
        if self._apparatus.arrived():
            self._control.done(CommandStatus.DONE)
        while self._happened and self._control.event(*self._happened[0]):
            self._happened.popleft()
        return b"".join(map(encode_frame, self._receiver.tick(self._clock_ms())))

    @property
    def restless(self) -> bool:
        """Whether `tick` is to be called soon."""
        return self._control.restless or bool(self._happened)

    def happen(self, line: str) -> str | None:
        """Raise the event that a line names: its name, then source and value if they are not 1; return what is wrong
        with the line.
        """
        name, *numbers = line.split()
        try:
            source, value = [*map(int, numbers), 1, 1][:2]
            event = EventCode[name.upper()]
            InstrumentEvent(event, source, value, 0).encode()
        except (KeyError, ValueError, ProtocolError):
            names = ", ".join(code.name.lower() for code in EventCode)
            return f"{line!r} is no event; write one of {names}, then its source and value"
        self._happened.append((event, source, value, self._clock_ms()))
        return None

    def _clock_ms(self) -> int:
        return round((time.monotonic() - self._began) * 1000) & SEQ_MASK

    def _did(self, record: dict[str, Any]) -> None:
        self.commands[record.get("command", record["type"])] += 1
        if self._quiet:
            return
        if self._as_json:
            self.lines.append(json.dumps(record))
            return
        what = ", ".join(f"{name} {value}" for name, value in record.items() if name not in ("type", "command"))
        self.lines.append(f"{record.get('command', record['type'])}: {what}")

    def totals(self) -> str:
        """Return the final line."""
        applied, crc_errors = sum(self.labels.values()), self._decoder.crc_errors
        if self._as_json:
            return json.dumps(
                {
                    "type": "total",
                    "applied": applied,
                    "differentials": self.differentials,
                    "doubled": self.doubled,
                    "out_of_order": self.out_of_order,
                    "crc_errors": crc_errors,
                    "labels": dict(self.labels),
                    **({"commands": dict(self.commands)} if self.commands else {}),
                }
            )
        return (
            f"applied {applied} results, {self.differentials} differentials, doubled {self.doubled}, "
            f"out of order {self.out_of_order}, crc errors {crc_errors}"
        )

    def _apply(self, seq: int, message: CellResult | Differential) -> None:
        step = seq_distance(seq, self._ledger.get(self._receiver.stream_id, 0))
        if step <= 0:
            self.doubled += 1
        else:
            self.out_of_order += step > 1
            self._ledger[self._receiver.stream_id] = seq
        if isinstance(message, CellResult):
            self.labels[message.label] += 1
        else:
            self.differentials += 1
        if not self._quiet:
            self.lines.append(self._line(seq, message))

    def _line(self, seq: int, message: CellResult | Differential) -> str:
        if isinstance(message, CellResult):
            if self._as_json:
                return json.dumps(
                    {
                        "type": "applied",
                        "seq": seq,
                        "cell": message.cell_id,
                        "label": message.label,
                        "probability": round(message.probability, 6),
                        "box": message.box,
                    }
                    | ({"redelivered": True} if message.redelivered else {})
                )
            xmin, ymin, width, height = message.box
            return (
                f"applied {seq}: cell {message.cell_id} {message.label} {message.probability:.3f} "
                f"at {xmin},{ymin} {width}x{height}{' (perhaps again)' if message.redelivered else ''}"
            )
        if self._as_json:
            return json.dumps(
                {
                    "type": "differential",
                    "seq": seq,
                    "counts": dict(message.counts),
                    "total": message.total,
                    "unidentified": message.unidentified,
                }
            )
        counts = ", ".join(f"{name} {count}" for name, count in message.counts.items() if count)
        return f"differential {seq}: {counts or 'no cells'}; total {message.total}, unidentified {message.unidentified}"


def simulate(*, link: str | None = None, as_json: bool = False, quiet: bool = False, baud: int | None = None) -> None:
    """Run a simulated instrument until SIGTERM or SIGINT; call it in the main thread, where signals arrive.

    Prints the port on the first line, then what is applied, and last the totals. A line of standard input raises the
    event that it names.

    :param baud: take and answer bytes no faster than a line of so many bit/s; at once otherwise.
    :raises FileExistsError: ``link`` names something that is not a symbolic link.
    :raises OSError: there is no pseudo-terminal left, or ``link`` cannot be made.
    """
    simulator = Simulator(as_json=as_json, quiet=quiet)
    with suppress(BrokenPipeError):
        printer = Printer(sys.stdout.fileno())
        with stop_signals() as stop, offered_port(printer, link=link, as_json=as_json) as instrument_end:
            _serve(simulator, instrument_end, stop, printer, baud)
        printer.add(*simulator.lines, simulator.totals())
        printer.finish()


def _serve(simulator: Simulator, instrument_end: int, stop: int, printer: Printer, baud: int | None) -> None:
    inward, outward = Wire(baud), Wire(baud)
    most = _READ_BYTES if baud is None else FIFO_BYTES
    keyboard = sys.stdin.fileno() if sys.stdin is not None else None  # None: started with it closed
    print_at = 0.0
    while True:
        now = time.monotonic()
        unprinted = simulator.lines or printer.pending
        restless_s = _IDLE_S if unprinted or simulator.restless else None
        waits = [wait_s for wait_s in (inward.wait_s(now), outward.wait_s(now), restless_s) if wait_s is not None]
        watched = [stop] + ([] if keyboard is None else [keyboard]) + ([instrument_end] if inward.takes else [])
        # not poll: a byte's time on the wire is far below its milliseconds
        ready = select.select(watched, [], [], min(waits, default=None))[0]
        now = time.monotonic()
        if stop in ready:
            return
        if keyboard in ready and keyboard is not None and not _typed(simulator, keyboard):
            keyboard = None
        if instrument_end in ready:
            inward.put(os.read(instrument_end, most), now)
        outward.put(simulator.feed(inward.take(now)) + simulator.tick(), now)
        if answer := outward.take(now):
            _answer(instrument_end, answer)
        if unprinted and (not ready or time.monotonic() >= print_at):
            printer.add(*simulator.lines)
            simulator.lines.clear()
            printer.offer()
            print_at = time.monotonic() + _LATEST_PRINT_S


def _typed(simulator: Simulator, keyboard: int) -> bool:
    """Take what was typed; False when nothing more will come."""
    if os.isatty(keyboard) and os.tcgetpgrp(keyboard) != os.getpgrp():
        return False  # started with &: to read would stop the process
    data = os.read(keyboard, _READ_BYTES)
    for line in data.decode(errors="replace").splitlines():
        if line.strip() and (wrong := simulator.happen(line)) is not None:
            sys.stderr.write(f"edge-wbc: {wrong}\n")
    return bool(data)


def _answer(instrument_end: int, answer: bytes) -> None:
    """Write an answer; where no host takes it, it is lost, as on a wire."""
    try:
        os.write(instrument_end, answer)
    except BlockingIOError:
        return
