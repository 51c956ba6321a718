"""Published networks as graphs with manifests, for `bench engine`.

python -m export.write_peers FOLDER LABEL,LABEL… NAME…
"""

from __future__ import annotations

import sys
from pathlib import Path

from export.peers import write_peer

if __name__ == "__main__":
    for name in sys.argv[3:]:
        write_peer(name, tuple(sys.argv[2].split(",")), Path(sys.argv[1]))
