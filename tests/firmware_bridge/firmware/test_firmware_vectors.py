"""The published test vectors, through the C library: what another implementer checks, checked here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.protocol import Frame, FrameDecoder
from tests.firmware_bridge.firmware.library import CDecoder, CReceiver, Library

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[3] / "docs" / "protocol-vectors.json").read_text()
)


@pytest.mark.parametrize("frame", VECTORS["frames"], ids=lambda frame: frame["name"])
def test_frames(library: Library, frame: dict[str, Any]) -> None:
    made = Frame(frame["type"], frame["connection"], frame["seq"], bytes.fromhex(frame["payload"]))
    assert library.encode(made).hex() == frame["wire"]
    assert CDecoder(library).feed(bytes.fromhex(frame["wire"])) == [made]


@pytest.mark.parametrize("stream", VECTORS["streams"], ids=lambda stream: stream["name"])
def test_streams(library: Library, stream: dict[str, Any]) -> None:
    decoder = CDecoder(library)
    frames = decoder.feed(bytes.fromhex(stream["bytes"]))
    assert [[frame.type, frame.connection, frame.seq, frame.payload.hex()] for frame in frames] == stream["frames"]
    assert decoder.counters[1:] == (stream["crc_errors"], stream["malformed"], stream["oversize"])


def test_the_dialogue(library: Library) -> None:
    receiver = CReceiver(library, boot_id=9, unique_id=b"vectors", window_bytes=2048)
    for turn in VECTORS["dialogue"]:
        before = len(receiver.applied)
        answers = FrameDecoder().feed(receiver.feed(bytes.fromhex(turn["host"])))
        wanted = FrameDecoder().feed(bytes.fromhex(turn["instrument"] or ""))
        assert answers == wanted, turn["name"]
        assert len(receiver.applied) - before == turn["applied"], turn["name"]
