from __future__ import annotations

import errno
import os
import random
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: nothing can be trained")

from safetensors.torch import load_file  # noqa: E402

from edge_wbc.errors import ModelError, OutputFailed, UsageError  # noqa: E402
from training.checkpoint import Checkpoint  # noqa: E402
from training.datasets import Sample  # noqa: E402
from training.leukonet import Architecture  # noqa: E402
from training.log import HEADER, Log  # noqa: E402
from training.train import Recipe, fit  # noqa: E402

RECIPE = Recipe(steps=8, batch=4, warmup_steps=2, average=0.8)
SMALL = Architecture(2, size=64, widths=(32, 32), blocks=(1, 1))


@pytest.fixture(scope="module")
def cells():
    crops = np.random.default_rng(0).integers(0, 256, (12, 96, 96, 3), np.uint8)
    labels = ("neutrophil", "monocyte")
    return crops, [Sample(None, labels[i % 2], "a", f"a/{i}", None) for i in range(12)]  # type: ignore[arg-type]


def trained(cells, checkpoint=None, progress=lambda step: None, recipe=RECIPE):
    network, _ = fit(*cells, recipe, progress, SMALL, checkpoint=checkpoint)
    return network.state_dict()


def interrupted_after(step, cells, checkpoint):
    """A run that is told to stop while it does ``step``."""
    seen = []
    checkpoint.interrupted = lambda: seen[-1] >= step
    with pytest.raises(KeyboardInterrupt):
        trained(cells, checkpoint, lambda at: seen.append(at.step))
    return seen


def disturb_the_generators():
    torch.manual_seed(random.randrange(1000))
    torch.rand(7)


@pytest.mark.parametrize("stops", [(1,), (4,), (3, 6), (7,)])
def test_a_run_interrupted_and_gone_on_with_ends_with_the_same_weights_bit_by_bit(tmp_path, cells, stops):
    whole = trained(cells)
    path = tmp_path / "w.checkpoint"
    seen = []
    for stop in stops:
        seen += interrupted_after(stop, cells, Checkpoint(path, {}))
        disturb_the_generators()
    last = Checkpoint(path, {})
    assert last.kept == stops[-1]
    gone_on = trained(cells, last, lambda at: seen.append(at.step))
    assert seen == list(range(1, 9))
    for name, tensor in whole.items():
        assert torch.equal(tensor, gone_on[name]), name


def test_a_run_killed_without_warning_goes_on_from_what_was_last_kept(tmp_path, cells):
    whole = trained(cells)
    checkpoint = Checkpoint(tmp_path / "w.checkpoint", {}, every_s=0)

    def killed(at):
        if at.step == 6:
            raise SystemExit

    with pytest.raises(SystemExit):
        trained(cells, checkpoint, killed)
    disturb_the_generators()
    last = Checkpoint(checkpoint.path, {})
    assert last.kept == 5
    gone_on = trained(cells, last)
    assert all(torch.equal(tensor, gone_on[name]) for name, tensor in whole.items())


def test_loss_and_time_go_on_where_they_were(tmp_path, cells):
    steps, again = [], []
    trained(cells, progress=steps.append)
    interrupted_after(4, cells, Checkpoint(tmp_path / "w.checkpoint", {}))
    trained(cells, Checkpoint(tmp_path / "w.checkpoint", {}), again.append)
    assert [at.loss for at in again] == [at.loss for at in steps[4:]]
    assert [at.learning_rate for at in again] == [at.learning_rate for at in steps[4:]]
    assert again[0].seconds > 0


def test_it_is_written_at_the_first_step_and_then_from_time_to_time(tmp_path, cells):
    checkpoint = Checkpoint(tmp_path / "w.checkpoint", {}, every_s=3600)
    trained(cells, checkpoint)
    assert checkpoint.kept == 1
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_something_else_is_not_gone_on_with(tmp_path, cells):
    path = tmp_path / "w.checkpoint"
    interrupted_after(2, cells, Checkpoint(path, {"steps": 8, "cells": "a" * 64, "widths": (1, 2)}))
    assert Checkpoint(path, {"steps": 8, "cells": "a" * 64, "widths": (1, 2)}).kept == 2
    with pytest.raises(UsageError, match="steps 8, now 9"):
        Checkpoint(path, {"steps": 9, "cells": "a" * 64, "widths": (1, 2)})
    with pytest.raises(UsageError, match=r"\(other cells\).*delete it"):
        Checkpoint(path, {"steps": 8, "cells": "b" * 64, "widths": (1, 2)})
    with pytest.raises(UsageError, match="other start"):
        Checkpoint(path, {"steps": 8, "cells": "a" * 64, "widths": (1, 2), "start": "c" * 64})


def test_a_damaged_checkpoint_is_refused(tmp_path, cells):
    path = tmp_path / "w.checkpoint"
    interrupted_after(2, cells, Checkpoint(path, {}))
    good = path.read_bytes()
    for bad in (b"", b"junk", good[: len(good) // 2], good.replace(b"checkpoint 1", b"checkpoint 9")):
        path.write_bytes(bad)
        with pytest.raises(ModelError, match="delete it"):
            Checkpoint(path, {})
    path.write_bytes(good.replace(b"random.cpu", b"random.CPU"))
    with pytest.raises(ModelError, match="delete it"):
        trained(cells, Checkpoint(path, {}))


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, cells, monkeypatch):
    path = tmp_path / "w.checkpoint"
    interrupted_after(3, cells, Checkpoint(path, {}))
    good = path.read_bytes()
    with monkeypatch.context() as patched:

        def full(descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patched.setattr(os, "fsync", full)
        with pytest.raises(OutputFailed, match=r"no space left on device; .*goes on from step 3"):
            trained(cells, Checkpoint(path, {}))
    assert path.read_bytes() == good
    assert list(tmp_path.iterdir()) == [path]
    whole, gone_on = trained(cells), trained(cells, Checkpoint(path, {}))
    assert all(torch.equal(tensor, gone_on[name]) for name, tensor in whole.items())


def test_a_loss_that_is_no_number_is_never_kept(tmp_path, cells):
    checkpoint = Checkpoint(tmp_path / "w.checkpoint", {}, every_s=0)
    with pytest.raises(Exception, match="no longer a number at step"):
        trained(cells, checkpoint, recipe=replace(RECIPE, learning_rate=1e30, warmup_steps=1))
    for tensor in load_file(checkpoint.path).values():
        assert torch.isfinite(tensor.float()).all()


def logged(path):
    return [line.split(",")[0] for line in path.read_text().splitlines()]


def test_a_log_goes_on_without_doubles(tmp_path):
    path = tmp_path / "w.csv"
    log = Log(path, 0, "")
    for step in range(1, 36):
        log.write(step, 47, 1.5, 1e-3, 2.0 * step)
    with path.open("a") as file:
        file.write("4")  # cut off
    log = Log(path, 25, "")
    for step in range(26, 48):
        log.write(step, 47, 1.25, 5e-4, 2.0 * step)
    assert logged(path) == ["step", "10", "20", "30", "40", "47"]
    assert path.read_text().splitlines()[-1] == "47,1.25000,0.0005,94.0"
    log = Log(path, 0, "")
    assert len(logged(path)) == 6
    log.write(10, 47, 1.25, 5e-4, 2.0)
    assert path.read_text() == f"{HEADER}\n10,1.25000,0.0005,2.0\n"


def test_a_log_takes_no_other_files_place(tmp_path):
    (tmp_path / "w.csv").write_text("cell,label\n1,neutrophil\n")
    with pytest.raises(UsageError, match="not a training log"):
        Log(tmp_path / "w.csv", 0, "")
    assert (tmp_path / "w.csv").read_text() == "cell,label\n1,neutrophil\n"


def test_a_log_that_cant_be_written_says_so(tmp_path):
    log = Log(tmp_path / "w.csv", 0, "make room")
    log.write(1, 1, 1.0, 1e-3, 1.0)
    log.path = type(log.path)("/dev/full")
    with pytest.raises(OutputFailed, match="/dev/full: no space left on device; make room"):
        log.write(10, 10, 1.0, 1e-3, 1.0)
