"""``python -m firmware_bridge VERB``: the verbs of ``edge-wbc instrument`` without edge-wbc."""

from __future__ import annotations

from firmware_bridge.cli import main

if __name__ == "__main__":
    main()
