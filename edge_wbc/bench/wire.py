"""What the naive loop needs to be understood by an instrument: a port that was greeted, and results as bytes.

Nothing is acknowledged or sent again: that is what the loop lacks.
"""

from __future__ import annotations

import time

import serial

from edge_wbc.errors import EnvironmentMissing
from edge_wbc.types import LABELS, Box
from firmware_bridge.messages import CellResult, Hello, NewStream
from firmware_bridge.protocol import Frame, encode_frame
from firmware_bridge.schema import SCHEMA_HASH, VERSION_MAJOR, VERSION_MINOR

CONNECTION = 1
STREAM = 1
ANSWER_S = 5.0


def open_port(path: str) -> serial.Serial:
    """Open a port and start a stream on the instrument behind it.

    :raises EnvironmentMissing: nothing answers.
    """
    port = serial.Serial(path, timeout=ANSWER_S)
    for greeting in (Hello(VERSION_MAJOR, VERSION_MINOR, 0, SCHEMA_HASH, STREAM), NewStream(STREAM)):
        port.write(encode_frame(Frame(greeting.TYPE, CONNECTION, 0, greeting.encode())))
        if not port.read(8):
            port.close()
            raise EnvironmentMissing(f"no instrument answered on {path}; start one with `edge-wbc instrument simulate`")
        time.sleep(0.05)
        port.reset_input_buffer()
    return port


def result_bytes(number: int, best: int, probability: float, box: Box) -> bytes:
    """One CELL_RESULT as bytes; ``number`` from 1 is cell and sequence number alike."""
    result = CellResult(number, time.time_ns(), LABELS[best], probability, (box.xmin, box.ymin, box.width, box.height))
    return encode_frame(Frame(result.TYPE, CONNECTION, number, result.encode()))
