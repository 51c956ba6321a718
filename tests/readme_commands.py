"""Run every command of the README, as CI does: each ``sh`` block is one script, in a scratch folder.

``make`` lines are left to CI itself, long verbs run in their ``--smoke`` form, and blocks that name ``../shared`` are
passed over where it is absent.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONG = re.compile(r"^(edge-wbc (?:train|bench|front|study)\b[^#\n]*?)(\s*#.*)?$", re.MULTILINE)
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
DEADLINE_S = 300


def scripts(text: str) -> list[str]:
    """The README's ``sh`` blocks, long verbs shortened."""
    blocks = []
    for block in BLOCK.findall(text):
        script = "\n".join(line for line in block.splitlines() if not line.startswith("make ")).strip()
        if script:
            blocks.append(LONG.sub(lambda match: f"{match[1].rstrip()} --smoke", script))
    return blocks


def main() -> int:
    shared = ROOT.parent / "shared"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "project")
        folder.mkdir()
        if shared.exists():
            Path(scratch, "shared").symlink_to(shared)
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "XDG_DATA_HOME": str(Path(scratch, "data-home")),
        }
        blocks = scripts((ROOT / "README.md").read_text(encoding="utf-8"))
        for block in blocks:
            if "../shared" in block and not shared.exists():
                print(f"passed over, ../shared is absent:\n{block}\n")
                continue
            print(f"--- {block}", flush=True)
            script = f"set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{block}\n"
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                timeout=DEADLINE_S,
                check=False,
            )
            if done.returncode:
                print(f"exit code {done.returncode}")
                return 1
    print(f"{len(blocks)} blocks of the README ran")
    return 0 if blocks else 1


if __name__ == "__main__":
    sys.exit(main())
