"""On PYTHONPATH with EDGE_WBC_DOUBLE=10.3.0 set: the process finds the double instead of TensorRT and CUDA.

EDGE_WBC_DOUBLE_OPTIONS holds more arguments of ``installed`` as JSON. Where anything was used wrongly or left behind,
the process says so on stderr and ends with 70.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from pathlib import Path


def install(version: str) -> None:
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    from tests.doubles import Violation, installed

    double = installed(version, **json.loads(os.environ.get("EDGE_WBC_DOUBLE_OPTIONS", "{}")))
    double.__enter__()

    def finish() -> None:
        try:
            double.__exit__(None, None, None)
        except Violation as error:
            sys.stderr.write(f"found by the double: {error}\n")
            sys.stderr.flush()
            os._exit(70)

    atexit.register(finish)


if "EDGE_WBC_DOUBLE" in os.environ:
    install(os.environ["EDGE_WBC_DOUBLE"])
