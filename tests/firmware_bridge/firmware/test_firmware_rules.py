"""Each rule of delivery, taken out of a copy of the C library, makes its check fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware_bridge.firmware.bench import make, patched_copy
from tests.firmware_bridge.firmware.checks import connection_check, crc_check, dedupe_check
from tests.firmware_bridge.firmware.library import Library

LINK, FRAME = "src/edge_wbc_link.c", "src/edge_wbc_frame.c"
DEDUPE = """    } else if (ahead == 0 || ahead >= 0x80000000ul) {
        ack(link, out); /* applied before: without effect */
    } else if (ahead > 1) {
"""
NO_DEDUPE = "    } else if (ahead > 1 && ahead < 0x80000000ul) {\n"


@pytest.mark.parametrize(
    ("path", "rule", "without", "check"),
    [
        pytest.param(LINK, DEDUPE, NO_DEDUPE, dedupe_check, id="dedupe"),
        pytest.param(LINK, " || frame->connection != link->connection", "", connection_check, id="connection"),
        pytest.param(
            FRAME, "if (ewbc_crc32(0, decoder->body, length) != CRC_RESIDUE)", "if (false)", crc_check, id="crc"
        ),
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
