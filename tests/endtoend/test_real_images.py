"""The whole path on real photographs and cells. Skipped where ../shared/data is absent; CI fails on such a skip."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edge_wbc.engines.base import open_engine
from edge_wbc.manifest import load_model
from export.verify import LARGEST_DIFFERENCE, compare_engines
from tests.data import NO_REAL, REAL
from training.datasets import locked_groups, read_all, split
from training.evaluate import report, score

pytestmark = [pytest.mark.real_data, pytest.mark.skipif(not REAL.is_dir(), reason=NO_REAL)]


@pytest.fixture(scope="module")
def locked_samples():
    return split(read_all(REAL), locked_groups())[1]


def test_engines_agree_on_every_locked_crop(locked_samples):
    (found,) = compare_engines(load_model(), locked_samples, lambda done: None).values()
    assert found.crops == len(locked_samples)
    assert found.worst_difference <= LARGEST_DIFFERENCE


def test_photographs_never_trained_on_are_classified(locked_samples):
    """The bar of the first release: above 85 % of the images of locked photographs."""
    engine = open_engine("openvino", load_model())
    samples = [sample for sample in locked_samples if sample.source == "kaggle"]
    figures = report(score(samples, engine, "cell", lambda done: None))
    engine.close()
    assert figures.accuracy > 0.85


def test_photographs_to_jsonl_and_to_the_instrument(tmp_path):
    """Every result applied once, in order, and the same as in the file."""
    lines = tmp_path / "out.jsonl"
    simulate = [sys.executable, "-m", "edge_wbc", "instrument", "simulate", "--json"]
    with subprocess.Popen(simulate, stdout=subprocess.PIPE, text=True) as instrument:
        assert instrument.stdout is not None
        port = json.loads(instrument.stdout.readline())["port"]
        run = [sys.executable, "-m", "edge_wbc", "run", str(REAL / "bccd" / "images"), "--json"]
        done = subprocess.run(
            [*run, "--to", f"jsonl:{lines}", "--to", f"serial://{port}"], capture_output=True, text=True, check=False
        )
        instrument.terminate()
        applied = [json.loads(line) for line in instrument.stdout.read().splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert (summary["frames"], summary["refused"]) == (288, 0)
    cells = [record for record in map(json.loads, lines.read_text().splitlines()) if record["type"] == "cell"]
    results = [record for record in applied if record["type"] == "applied"]
    assert [(r["cell"], r["label"], r["box"]) for r in results] == [(c["cell"], c["label"], c["box"]) for c in cells]
    assert [r["cell"] for r in results] == list(range(1, summary["cells"] + 1))
    (differential,) = [record for record in applied if record["type"] == "differential"]
    assert differential["total"] == summary["differential"]["total"]
    total = applied[-1]
    assert (total["doubled"], total["out_of_order"], total["crc_errors"]) == (0, 0, 0)
