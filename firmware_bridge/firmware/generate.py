"""Writes include/edge_wbc_messages.h from the Python side's tables, so that there is one schema.

python firmware_bridge/firmware/generate.py            writes the header
python firmware_bridge/firmware/generate.py --check    exit code 1 where the header is not what it would write
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from firmware_bridge import protocol, schema

HEADER = Path(__file__).parent / "include" / "edge_wbc_messages.h"
_BITS = {"B": 8, "H": 16, "I": 32, "i": 32, "Q": 64}


def _identifier(name: str) -> str:
    return name.upper().replace(" ", "_")


def _define(name: str, value: str) -> str:
    return f"#define EWBC_{name} {value}"


def _message(kind: schema.MessageType, fields: tuple[tuple[str, str], ...]) -> Iterator[str]:
    at = 0
    for name, code in fields:
        field = f"{kind.name}_{_identifier(name)}"
        yield _define(f"{field}_AT", f"{at}u")
        if code == schema.REST:
            yield f"/* {name} takes what is left of the payload; the size is without it. */"
            continue
        size = struct.calcsize("<" + code)
        if code in _BITS:
            got, given = f"ewbc_get{_BITS[code]}((payload) + {at})", "(value)"
            if code == "i":
                got, given = f"((int32_t){got})", "(uint32_t)(value)"
            yield _define(f"GET_{field}(payload)", got)
            yield _define(f"PUT_{field}(payload, value)", f"ewbc_put{_BITS[code]}((payload) + {at}, {given})")
        else:
            yield _define(f"{field}_LENGTH", f"{size}u")
        at += size
    if at > protocol.MAX_PAYLOAD:
        raise ValueError(f"{kind.name} has {at} bytes and a frame holds {protocol.MAX_PAYLOAD}; shorten it")
    yield _define(f"{kind.name}_SIZE", f"{at}u")


def header() -> str:
    """Return the header as it has to be."""
    counted = [schema.LABEL_CODES[name] for name in schema.COUNTED_LABELS]
    if counted != list(range(1, len(counted) + 1)):
        raise ValueError("the C side counts labels in an array: number the counted ones 1, 2, 3 … without a gap")
    lines = [
        "/* Written by generate.py from firmware_bridge/schema.py and protocol.py. Change those, then run it again.",
        "   Fields are little-endian, without padding; payload is a uint8_t *. */",
        "#ifndef EDGE_WBC_MESSAGES_H",
        "#define EDGE_WBC_MESSAGES_H",
        "",
        _define("VERSION_MAJOR", f"{schema.VERSION_MAJOR}u"),
        _define("VERSION_MINOR", f"{schema.VERSION_MINOR}u"),
        _define("SCHEMA_HASH", f"0x{schema.SCHEMA_HASH:08X}ul"),
        "",
        _define("MAX_PAYLOAD", f"{protocol.MAX_PAYLOAD}u"),
        _define("OVERHEAD", f"{protocol.OVERHEAD}u"),
        "",
        "/* Message types. */",
        *(_define(f"TYPE_{kind.name}", f"0x{kind:02X}u") for kind in schema.MessageType),
        _define("IS_SEQUENCED(type)", "(((type) & 0xF0u) == 0x10u)"),
        "",
        *(_define(f"NAK_{reason.name}", f"{reason:d}u") for reason in schema.NakReason),
        "",
        *(_define(f"PERSISTENCE_{value.name}", f"{value:d}u") for value in schema.Persistence),
        "",
        *(_define(f"CAPABILITY_{bit.name}", f"0x{bit:04X}u") for bit in schema.Capability),
        "",
        *(_define(f"OPCODE_{opcode.name}", f"0x{opcode:02X}u") for opcode in schema.Opcode),
        *(_define(f"STATUS_{status.name}", f"{status:d}u") for status in schema.CommandStatus),
        *(_define(f"EVENT_{event.name}", f"0x{event:02X}u") for event in schema.EventCode),
        *(_define(f"LOG_{level.name}", f"{level:d}u") for level in schema.LogLevel),
        "",
        *(_define(f"LABEL_{_identifier(name)}", f"{code}u") for name, code in schema.LABEL_CODES.items()),
        "/* Labels 1 … this are counted. */",
        _define("COUNTED_LABELS", f"{len(counted)}u"),
        "",
        _define("FLAG_UNIDENTIFIED", f"0x{schema.FLAG_UNIDENTIFIED:02X}u"),
        _define("FLAG_REDELIVERED", f"0x{schema.FLAG_REDELIVERED:02X}u"),
    ]
    for kind, fields in schema.SCHEMA.items():
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
