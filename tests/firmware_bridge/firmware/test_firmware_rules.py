"""Each rule of delivery, taken out of a copy of the C library, makes its check fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware_bridge.firmware.bench import make, patched_copy
from tests.firmware_bridge.firmware.checks import connection_check, crc_check, dedupe_check
from tests.firmware_bridge.firmware.control_checks import (
    deadline_check,
    event_check,
    once_check,
    other_connection_check,
    stop_check,
)
from tests.firmware_bridge.firmware.library import Library

LINK, FRAME, CONTROL = "src/edge_wbc_link.c", "src/edge_wbc_frame.c", "src/edge_wbc_control.c"
DEDUPE = """    } else if (ahead == 0 || ahead >= 0x80000000ul) {
        ack(link, out); /* applied before: without effect */
    } else if (ahead > 1) {
"""
NO_DEDUPE = "    } else if (ahead > 1 && ahead < 0x80000000ul) {\n"


CONNECTION = "if (frame->connection != link->connection && (frame->type != EWBC_TYPE_STOP || control == NULL))"
PRESENT_ONLY = "if (frame->connection != link->connection)"
ONCE = "if (!(same_issuer && ahead == 0)) {"
HELD_BACK = "if (same_issuer && ahead >= 0x8000u) {"
DEADLINE = "if (runs(state) && now_ms - state->began_ms >= state->last.deadline_ms) {"
EVENT_NUMBER = "if (EWBC_GET_ACK_SEQ(frame->payload) == state->event_number) {"
STOP = "    halt(link, EWBC_STATUS_STOPPED);\n    if", "    if"


@pytest.mark.parametrize(
    ("path", "rule", "without", "check"),
    [
        pytest.param(LINK, DEDUPE, NO_DEDUPE, dedupe_check, id="dedupe"),
        pytest.param(LINK, CONNECTION, "if (link->connection == 0)", connection_check, id="connection"),
        pytest.param(
            LINK, CONNECTION, "if (link->connection == 0)", other_connection_check, id="connection of a command"
        ),
        pytest.param(
            FRAME, "if (ewbc_crc32(0, decoder->body, length) != CRC_RESIDUE)", "if (false)", crc_check, id="crc"
        ),
        pytest.param(CONTROL, ONCE, "if (true) {", once_check, id="once"),
        pytest.param(CONTROL, HELD_BACK, "if (false) {", once_check, id="held back"),
        pytest.param(CONTROL, DEADLINE, "if (false) {", deadline_check, id="deadline"),
        pytest.param(CONTROL, *STOP, stop_check, id="stop"),
        pytest.param(LINK, CONNECTION, PRESENT_ONLY, stop_check, id="stop from another connection"),
        pytest.param(
            CONTROL,
            "state->last.number = number;\n        state->status",
            "state->status",
            stop_check,
            id="stop outdates",
        ),
        pytest.param(CONTROL, EVENT_NUMBER, "if (true) {", event_check, id="event's number"),
    ],
)
def test_a_rule_taken_out_is_noticed(
    build: Callable[..., Path],
    tmp_path: Path,
    path: str,
    rule: str,
    without: str,
    check: Callable[[Library], None],
) -> None:
    build("host")  # skips where there is no compiler
    make(tmp_path / "build", "shared", source=patched_copy(tmp_path, path, rule, without))
    with pytest.raises(AssertionError):
        check(Library(tmp_path / "build"))
