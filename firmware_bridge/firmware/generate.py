"""Writes include/edge_wbc_messages.h from the Python side's tables, so that there is one schema.

python firmware_bridge/firmware/generate.py            writes the header
python firmware_bridge/firmware/generate.py --check    exit code 1 where the header is not what it would write
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from firmware_bridge import messages, protocol

HEADER = Path(__file__).parent / "include" / "edge_wbc_messages.h"
_BITS = {"B": 8, "H": 16, "I": 32, "Q": 64}


def _identifier(name: str) -> str:
    return name.upper().replace(" ", "_")


def _define(name: str, value: str) -> str:
    return f"#define EWBC_{name} {value}"


def _message(kind: messages.MessageType, fields: tuple[tuple[str, str], ...]) -> Iterator[str]:
    at = 0
    for name, code in fields:
        field, size = f"{kind.name}_{_identifier(name)}", struct.calcsize("<" + code)
        yield _define(f"{field}_AT", f"{at}u")
        if code in _BITS:
            yield _define(f"GET_{field}(payload)", f"ewbc_get{_BITS[code]}((payload) + {at})")
            yield _define(f"PUT_{field}(payload, value)", f"ewbc_put{_BITS[code]}((payload) + {at}, (value))")
        else:
            yield _define(f"{field}_LENGTH", f"{size}u")
        at += size
    if at > protocol.MAX_PAYLOAD:
        raise ValueError(f"{kind.name} has {at} bytes and a frame holds {protocol.MAX_PAYLOAD}; shorten it")
    yield _define(f"{kind.name}_SIZE", f"{at}u")


def header() -> str:
    """Return the header as it has to be."""
    counted = [messages.LABEL_CODES[name] for name in messages.COUNTED_LABELS]
    if counted != list(range(1, len(counted) + 1)):
        raise ValueError("the C side counts labels in an array: number the counted ones 1, 2, 3 … without a gap")
    lines = [
        "/* Written by generate.py from firmware_bridge/messages.py and protocol.py. Change those, then run it again.",
        "   Fields are little-endian, without padding; payload is a uint8_t *. */",
        "#ifndef EDGE_WBC_MESSAGES_H",
        "#define EDGE_WBC_MESSAGES_H",
        "",
        _define("VERSION_MAJOR", f"{messages.VERSION_MAJOR}u"),
        _define("VERSION_MINOR", f"{messages.VERSION_MINOR}u"),
        _define("SCHEMA_HASH", f"0x{messages.SCHEMA_HASH:08X}ul"),
        "",
        _define("MAX_PAYLOAD", f"{protocol.MAX_PAYLOAD}u"),
        _define("OVERHEAD", f"{protocol.OVERHEAD}u"),
        "",
        "/* Message types; those with a size below are implemented. */",
        *(_define(f"TYPE_{kind.name}", f"0x{kind:02X}u") for kind in messages.MessageType),
        _define("IS_SEQUENCED(type)", "(((type) & 0xF0u) == 0x10u)"),
        "",
        *(_define(f"NAK_{reason.name}", f"{reason:d}u") for reason in messages.NakReason),
        "",
        *(_define(f"PERSISTENCE_{value.name}", f"{value:d}u") for value in messages.Persistence),
        "",
        *(_define(f"LABEL_{_identifier(name)}", f"{code}u") for name, code in messages.LABEL_CODES.items()),
        "/* Labels 1 … this are counted. */",
        _define("COUNTED_LABELS", f"{len(counted)}u"),
        "",
        _define("FLAG_UNIDENTIFIED", f"0x{messages._FLAG_UNIDENTIFIED:02X}u"),
        _define("FLAG_REDELIVERED", f"0x{messages._FLAG_REDELIVERED:02X}u"),
    ]
    for kind, fields in messages.SCHEMA.items():
        lines += ["", f"/* {kind.name} */", *_message(kind, fields)]
    return "\n".join([*lines, "", "#endif", ""])


def main(arguments: list[str]) -> int:
    """Write the header, or compare it."""
    if arguments == ["--check"]:
        if HEADER.read_text(encoding="utf-8") == header():
            return 0
        sys.stderr.write(f"{HEADER} is not what the schema says; run {Path(__file__).name}\n")
        return 1
    HEADER.write_text(header(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
