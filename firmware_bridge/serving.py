"""What a program at the other end of a pseudo-terminal needs: a printer that never waits, signals, a name."""

from __future__ import annotations

import json
import os
import select
import signal
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType


class Printer:
    """Prints without waiting for a slow reader: lines that a full pipe does not take stay in memory."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._writable = select.poll()
        self._writable.register(descriptor, select.POLLOUT)
        self.pending = bytearray()

    def add(self, *lines: str) -> None:
        self.pending += "".join(f"{line}\n" for line in lines).encode()

    def offer(self) -> None:
        while self.pending and self._writable.poll(0):
            self._write()

    def finish(self) -> None:
        while self.pending:
            self._write()

    def _write(self) -> None:
        del self.pending[: os.write(self._descriptor, self.pending[: select.PIPE_BUF])]


@contextmanager
def stop_signals() -> Iterator[int]:
    """Yield a descriptor that becomes readable on SIGTERM or SIGINT."""

    def ignore(number: int, frame: FrameType | None) -> None:
        """The wake-up descriptor tells of the signal."""

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    descriptor = signal.set_wakeup_fd(writer)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


@contextmanager
def offered_port(printer: Printer, *, link: str | None, as_json: bool) -> Iterator[int]:
    """Yield this program's end, non-blocking, of a new pseudo-terminal, whose name is printed for a host to open.

    :param link: also make this path a symbolic link to it.
    :raises FileExistsError: ``link`` names something that is not a symbolic link.
    :raises OSError: there is no pseudo-terminal left, or ``link`` cannot be made.
    """
    with ExitStack() as stack:
        # without its own hold on the host's end every read would fail while no host is there
        here, host_end = os.openpty()
        stack.callback(os.close, host_end)
        stack.callback(os.close, here)
        tty.setraw(host_end)
        os.set_blocking(here, False)
        port = os.ttyname(host_end)
        if link is not None:
            stack.enter_context(_symlink(port, link))
        printer.add(json.dumps({"type": "port", "port": port}) if as_json else f"port: {port}")
        printer.offer()
        yield here


@contextmanager
def _symlink(port: str, link: str) -> Iterator[None]:
    if os.path.islink(link):
        os.unlink(link)
    elif os.path.exists(link):
        raise FileExistsError(f"{link} exists and is not a symbolic link; choose another path or remove it")
    os.symlink(port, link)
    try:
        yield
    finally:
        if os.path.islink(link) and os.readlink(link) == port:
            os.unlink(link)
