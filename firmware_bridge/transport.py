"""A thin serial port over pyserial 3.5, with every way it reports trouble turned into a `LinkError`.

pyserial tells of an unplugged port by SerialException (often without errno), plain OSError, termios.error
(which is no OSError) or, when another thread has closed it, TypeError.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import termios
from typing import Any

import serial  # type: ignore[import-untyped, unused-ignore]

from firmware_bridge.delivery import BITS_PER_BYTE
from firmware_bridge.errors import LinkError, PortAbsentError, PortBusyError, PortDeniedError, PortLostError

_READ_BYTES = 4096
_KERNEL_BUFFER_BYTES = 4096
"""What Linux holds back for a terminal; a write waits at most for its time on the wire."""

_TROUBLE = (OSError, termios.error, TypeError, ValueError)
_ABSENT = (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ENOTDIR)
_BUSY = (errno.EAGAIN, errno.EBUSY)


def _opening_error(path: str, error: Exception) -> LinkError:
    code = getattr(error, "errno", None)
    if "://" in path:
        cause = " ".join(str(error).split())
        return PortAbsentError(
            f"{path} can't be reached ({cause}); check address, network and the server's serial port"
        )
    if code in _ABSENT:
        return PortAbsentError(f"there is no port {path}; plug the instrument in or choose another port")
    if code in (errno.EACCES, errno.EPERM):
        return PortDeniedError(f"this user may not open {path}; add the user to group dialout and log in again")
    if code in _BUSY:
        return PortBusyError(f"{path} is in use by another program; close it or choose another port")
    if not os.path.exists(path):
        return PortAbsentError(f"{path} vanished while it was opened; plug the instrument in again")
    cause = " ".join(str(error).split())
    return PortAbsentError(f"{path} does not work as a serial port ({cause}); choose another port or baud rate")


class SerialPort:
    """One open port. `read` and `write` belong to one thread; `wake` and `cancel` may be called from any
    other.
    """

    def __init__(self, path: str, baud: int) -> None:
        """Open the port for this process alone, in raw mode, and drop what it had received.

        The lock is advisory (flock): it keeps out those who ask for it, as every pyserial program may.

        :raises PortAbsentError: no such port, or not a serial port, or it cannot do this baud rate.
        :raises PortDeniedError: this user may not open it.
        :raises PortBusyError: another program holds it.
        :raises ValueError: the baud rate is not positive.
        """
        self.path = path
        if baud <= 0:
            raise ValueError(f"a baud rate of {baud} means nothing; give the instrument's, such as 115200")
        write_timeout_s = max(1.0, _KERNEL_BUFFER_BYTES * BITS_PER_BYTE / baud)
        self._write_timeout_ms = math.ceil(write_timeout_s * 1000)
        try:
            self._serial: Any = self._open(baud, write_timeout_s)
        except _TROUBLE as error:
            raise _opening_error(path, error) from error
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._readable = select.poll()
        self._readable.register(self._source(), select.POLLIN)
        self._readable.register(self._wake_reader, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(self._sink(), select.POLLOUT)

    def _open(self, baud: int, write_timeout_s: float) -> Any:
        """Return pyserial's port."""
        return serial.Serial(self.path, baud, timeout=0, write_timeout=write_timeout_s, exclusive=True)

    def _source(self) -> int:
        """The descriptor that is readable when something has arrived."""
        descriptor: int = self._serial.fileno()
        return descriptor

    def _sink(self) -> int:
        """The descriptor that is writable when there is room."""
        descriptor: int = self._serial.fileno()
        return descriptor

    def _arrived(self) -> bytes:
        data: bytes = self._serial.read(_READ_BYTES)
        return data

    @property
    def readable(self) -> int:
        """A descriptor that is readable when `read` would return something at once."""
        return self._source()

    def read(self, timeout_s: float | None) -> bytes:
        """Return what has arrived, waiting until there is something, `wake` is called or the time is over.

        :raises PortLostError: the port vanished.
        """
        data = b""
        try:
            wait_ms = None if timeout_s is None else math.ceil(timeout_s * 1000)
            for descriptor, _ in self._readable.poll(wait_ms):
                if descriptor == self._wake_reader:
                    os.read(self._wake_reader, _READ_BYTES)
                else:
                    data = self._arrived()
                    if not data:
                        raise self._lost()
        except _TROUBLE as error:
            raise self._lost() from error
        return data

    def write(self, data: bytes) -> bool:
        """Write all of it; False when time ran out or `cancel` was called, and an unknown part of it is on
        the wire.

        After False go on with whole frames: each begins with the 00 that ends a half written one.

        :raises PortLostError: the port vanished.
        """
        try:
            # pyserial spins on a full buffer until its time is over, so wait here for room
            if not self._writable.poll(self._write_timeout_ms):
                return False
            return bool(self._serial.write(data) == len(data))
        except serial.SerialTimeoutException:
            return False
        except _TROUBLE as error:
            raise self._lost() from error

    def discard_output(self) -> None:
        """Drop what was written and has not left yet; a frame may be cut by it."""
        with contextlib.suppress(*_TROUBLE):
            self._serial.reset_output_buffer()

    def wake(self) -> None:
        """Make `read` return at once, the one that waits or the next one."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_writer, b"\0")

    def cancel(self) -> None:
        """Make a `read` and a `write` that wait return at once."""
        self.wake()
        with contextlib.suppress(*_TROUBLE):
            getattr(self._serial, "cancel_write", lambda: None)()

    def close(self) -> None:
        """Close the port. No other thread may be inside `read` or `write`. Closing twice is without
        effect.
        """
        if self._wake_reader < 0:
            return
        with contextlib.suppress(*_TROUBLE):
            self._close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)
        self._wake_reader = self._wake_writer = -1

    def _close(self) -> None:
        self._serial.close()

    def _lost(self) -> PortLostError:
        return PortLostError(f"{self.path} vanished while in use; plug the instrument in and open the link again")
