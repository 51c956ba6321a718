"""`faults.c` as a library: a process that has it preloaded is killed at a write, or finds its disk slow or full."""

from __future__ import annotations

import subprocess
from pathlib import Path


def faults_library(folder: Path) -> Path:
    """Build it, to be preloaded into a process, and return it."""
    library = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-o", library, source, "-ldl"], check=True)
    return library
