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
from collections import Counter
from contextlib import suppress

from firmware_bridge.messages import CellResult, Differential
from firmware_bridge.protocol import Frame, FrameDecoder, encode_frame, seq_distance
from firmware_bridge.receiver import Receiver
from firmware_bridge.schema import MessageType
from firmware_bridge.serving import Printer, offered_port, stop_signals

_READ_BYTES = 4096
_IDLE_S = 0.01
_LATEST_PRINT_S = 0.1


class Simulator:
    """The simulated instrument without its port: bytes in, bytes and lines out."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._receiver = Receiver(boot_id=int.from_bytes(os.urandom(4), "little"), unique_id=b"simulator")
        self._decoder = FrameDecoder()
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
            answer, message = self._receiver.receive(frame)
            if message is not None:
                self._apply(frame.seq, message)
            if answer is not None:
                if answers and answer.type == answers[-1].type == MessageType.ACK:
                    answers.pop()
                answers.append(answer)
        return b"".join(map(encode_frame, answers))

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


def simulate(*, link: str | None = None, as_json: bool = False, quiet: bool = False) -> None:
    """Run a simulated instrument until SIGTERM or SIGINT; call it in the main thread, where signals arrive.

    Prints the port on the first line, then what is applied, and last the totals.

    :raises FileExistsError: ``link`` names something that is not a symbolic link.
    :raises OSError: there is no pseudo-terminal left, or ``link`` cannot be made.
    """
    simulator = Simulator(as_json=as_json, quiet=quiet)
    with suppress(BrokenPipeError):
        printer = Printer(sys.stdout.fileno())
        with stop_signals() as stop, offered_port(printer, link=link, as_json=as_json) as instrument_end:
            _serve(simulator, instrument_end, stop, printer)
        printer.add(*simulator.lines, simulator.totals())
        printer.finish()


def _serve(simulator: Simulator, instrument_end: int, stop: int, printer: Printer) -> None:
    poll = select.poll()
    poll.register(instrument_end, select.POLLIN)
    poll.register(stop, select.POLLIN)
    print_at = 0.0
    while True:
        unprinted = simulator.lines or printer.pending
        ready = [descriptor for descriptor, _ in poll.poll(_IDLE_S * 1000 if unprinted else None)]
        if stop in ready:
            return
        if ready:
            answer = simulator.feed(os.read(instrument_end, _READ_BYTES))
            if answer:
                _answer(instrument_end, answer)
        if unprinted and (not ready or time.monotonic() >= print_at):
            printer.add(*simulator.lines)
            simulator.lines.clear()
            printer.offer()
            print_at = time.monotonic() + _LATEST_PRINT_S


def _answer(instrument_end: int, answer: bytes) -> None:
    """Write an answer; where no host takes it, it is lost, as on a wire."""
    try:
        os.write(instrument_end, answer)
    except BlockingIOError:
        return
