"""``python -m firmware_bridge simulate``: the simulated instrument without edge-wbc."""

from __future__ import annotations

from firmware_bridge.cli import instrument

if __name__ == "__main__":
    instrument()
