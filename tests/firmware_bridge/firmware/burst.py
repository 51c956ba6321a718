"""A thousand results at once: ``python -m tests.firmware_bridge.firmware.burst PORT OUTBOX``, on a disk made slow.

Prints seconds as JSON: until one result alone was durable, until a thousand were, and what the longest `send` took.
"""

from __future__ import annotations

import json
import sys
import time

from firmware_bridge import Instrument
from tests.firmware_bridge.firmware.ledger import results

port, outbox = sys.argv[1:]
with Instrument.open(port, outbox=outbox) as instrument:
    first, *burst, last = results(1001)
    began = time.perf_counter()
    instrument.send(first, durable=True)
    one_s = time.perf_counter() - began
    began, longest_s = time.perf_counter(), 0.0
    for result in burst:
        before = time.perf_counter()
        instrument.send(result)
        longest_s = max(longest_s, time.perf_counter() - before)
    instrument.send(last, durable=True)
    durable_s = time.perf_counter() - began
    assert instrument.drain(30.0) == 0
print(json.dumps({"one_s": one_s, "durable_s": durable_s, "longest_send_s": longest_s}))  # noqa: T201
