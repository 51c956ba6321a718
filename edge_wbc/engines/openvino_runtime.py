"""OpenVINO without its model converter, which nothing here uses: take ``openvino`` from here.

The package imports the converter with itself where it can, and goes on where it can't. That import sends usage data to
Google Analytics for Intel at every start, unless each user has opted out: from a process that is forked in a thread,
for which the exit waits where the network does not answer (openvino_telemetry 2025.2). And it takes two fifths of the
processor time of ``import openvino``.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, cast

CONVERTER = "openvino.tools.ovc"

_modules = cast("dict[str, Any]", sys.modules)
_whole = "openvino" in _modules or CONVERTER in _modules
if not _whole:
    _modules[CONVERTER] = None  # importing it raises ModuleNotFoundError
try:
    import openvino as openvino
finally:
    if not _whole:
        del _modules[CONVERTER]  # whoever wants it can still have it


@functools.cache
def core() -> Any:
    """The process's one ``openvino.Core``: never make another.

    Each Core's CPU plugin sets the main thread's alternative stack for signals, and puts back the one before when it
    goes. Of two that go in the order in which they came, the first's stack is left in place, unmapped, and the next
    Ctrl-C ends the process (2026.4; ``SigAltStackSetup`` in the plugin's source).
    """
    return openvino.Core()
