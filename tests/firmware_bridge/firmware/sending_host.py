"""A host to be killed: ``python -m tests.firmware_bridge.firmware.sending_host PORT BAUD OUTBOX COUNT``.

Puts into the outbox what no earlier host has put there, a few thousand at a time, and delivers all. Prints its
counters as a JSON object a line while it runs. Exits with 1 where the port does not open or nothing answers.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from firmware_bridge import Instrument, LinkError
from firmware_bridge.outbox_file import check, connect, read_state
from firmware_bridge.store import Stream
from tests.firmware_bridge.firmware.ledger import results

_WAITING = 2_000
_AT_ONCE = 500
_LOOK_S = 0.01
_REPORT_S = 0.1


def state(outbox: Path) -> tuple[int, int, Stream]:
    """Return the last and the acknowledged position of an outbox, and its stream; it may be open elsewhere."""
    if outbox.exists():
        connection = connect(outbox, read_only=True)
        try:
            if check(connection, outbox):
                last, acknowledged, _, stream = read_state(connection)
                return last, acknowledged, stream
        finally:
            connection.close()
    return 0, 0, Stream(0, 0)


def main(port: str, baud: int, outbox: Path, count: int) -> None:
    sent, reported = state(outbox)[0], 0.0
    with Instrument.open(port, baud=baud, outbox=outbox, reconnect_s=None) as instrument:
        while sent < count or instrument.counters.pending:
            waiting = instrument.drain(_LOOK_S)
            if waiting < _WAITING and sent < count:
                for result in results(min(_AT_ONCE, count - sent), sent):
                    instrument.send(result)
                    sent += 1
            if (now := time.monotonic()) - reported >= _REPORT_S:
                reported = now
                report(instrument)
        report(instrument)


def report(instrument: Instrument) -> None:
    counters = instrument.counters
    said = {name: getattr(counters, name) for name in ("retransmitted", "crc_errors", "naks")}
    print(json.dumps(said), flush=True)  # noqa: T201


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    except LinkError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(1)
