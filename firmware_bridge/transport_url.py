"""Ports across a network, through pyserial: ``socket://host:port`` and ``rfc2217://host:port``."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import warnings
from typing import Any

import serial  # type: ignore[import-untyped, unused-ignore]

from firmware_bridge.errors import PortAbsentError
from firmware_bridge.transport import _READ_BYTES, _TROUBLE, SerialPort

_LOOK_S = 0.05


class SocketPort(SerialPort):
    """A serial port served as plain TCP; the server has set the baud rate."""

    def _open(self, baud: int, write_timeout_s: float) -> Any:
        opened: Any = serial.serial_for_url(self.path, baud, timeout=0, write_timeout=write_timeout_s)
        opened._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def _close(self) -> None:
        # pyserial would sleep 0.3 s here, "to give the server some time"
        taken, self._serial._socket = self._serial._socket, None
        self._serial.close()
        taken.close()


class Rfc2217Port(SerialPort):
    """A serial port served by RFC 2217, its baud rate set across the network.

    pyserial's has no descriptor to wait for, so a thread carries what arrives into a pipe.
    """

    def _open(self, baud: int, write_timeout_s: float) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pyserial 3.5 names its thread the old way
            opened: Any = serial.serial_for_url(self.path, baud, timeout=_LOOK_S)
        self._closing = threading.Event()
        self._reader, self._writer = os.pipe()
        self._pump = threading.Thread(target=self._carry, args=(opened,), name=f"port {self.path}", daemon=True)
        self._pump.start()
        return opened

    def _carry(self, opened: Any) -> None:
        with contextlib.suppress(*_TROUBLE):
            while not self._closing.is_set():
                data = opened.read(1)
                if data:
                    os.write(self._writer, data + opened.read(opened.in_waiting))
        os.close(self._writer)

    def _source(self) -> int:
        return self._reader

    def _sink(self) -> int:
        descriptor: int = self._serial._socket.fileno()
        return descriptor

    def _arrived(self) -> bytes:
        return os.read(self._reader, _READ_BYTES)

    def _close(self) -> None:
        self._closing.set()
        try:
            super()._close()
        finally:
            self._pump.join(2 * _LOOK_S + 1.0)
            os.close(self._reader)


def open_port(path: str, baud: int) -> SerialPort:
    """Open a local port, or one across a network.

    :raises PortAbsentError: no such port, nothing answers at the address, or it is of another kind.
    :raises PortDeniedError: this user may not open it.
    :raises PortBusyError: another program holds it.
    :raises ValueError: the baud rate is not positive.
    """
    scheme, found, _ = path.partition("://")
    if not found:
        return SerialPort(path, baud)
    if scheme == "socket":
        return SocketPort(path, baud)
    if scheme == "rfc2217":
        return Rfc2217Port(path, baud)
    raise PortAbsentError(f"{path}: a port across a network is socket://HOST:PORT or rfc2217://HOST:PORT")
