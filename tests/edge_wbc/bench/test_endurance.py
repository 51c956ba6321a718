"""What an endurance run says of memory, files and threads."""

from __future__ import annotations

import json

from click.testing import CliRunner

from edge_wbc.bench.endurance import Endurance
from edge_wbc.cli.bench import bench

FLAT = Endurance(400, 10, 1.0, (100.0, 200.0, 201.0, 203.0), (8, 9, 8, 9), (5, 5, 5, 5))


def test_what_is_kept_may_fill_in_the_first_quarter() -> None:
    assert FLAT.growth < 0.02
    assert FLAT.passed


def test_growth_fails() -> None:
    def grown(memory: float = 203.0, files: int = 9, threads: int = 5) -> bool:
        return Endurance(400, 10, 1.0, (100.0, 200.0, 201.0, memory), (8, 9, 8, files), (5, 5, 5, threads)).passed

    assert grown()
    assert not grown(memory=205.0)
    assert not grown(files=10)
    assert not grown(threads=6)


def test_the_command_runs_a_real_session() -> None:
    done = CliRunner().invoke(bench, ["endurance", "--smoke", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["frames"] == 400
    assert found["cells"] > 3
    assert len(found["resident_mb"]) == len(found["files"]) == len(found["threads"]) == 4
    assert min(found["resident_mb"]) > 50
