"""Carry out the runs of a study, several at a time, and keep what each network said of each cell."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from edge_wbc.files import write_whole
from training import weights
from training.crops import both_crops
from training.datasets import Sample
from training.leukonet import logits_of
from training.studies import Run
from training.train import Recipe, Step, fit


def outcome_path(out: Path, run: str) -> Path:
    """Where the outcome of a run lies."""
    return out / f"{run}.json"


def prepare(out: Path, samples: Sequence[Sample], size: int, progress: Callable[[int], None]) -> None:
    """Cut the crops of every cell once for networks that see ``size`` pixels: ``stored-SIZE.npy`` to train on,
    ``seen-SIZE.npy`` to be tried on.

    ``located-SIZE.npy`` says which cells are found without being told that there is one.
    """
    if not (out / f"located-{size}.npy").is_file():
        stored, seen, located = both_crops(samples, progress, size)
        for name, values in (("stored", stored), ("seen", seen), ("located", located)):
            _save(out / f"{name}-{size}.npy", values)


def carry_out(
    runs: Sequence[Run],
    samples: Sequence[Sample],
    out: Path,
    jobs: int,
    steps: int | None,
    progress: Callable[[str], None],
) -> None:
    """Train and try every run whose outcome is not there yet, ``jobs`` at a time, each on its share of the cores.

    :param steps: in place of each recipe's own, to see that everything works.
    """
    left = [run for run in runs if not outcome_path(out, run.name).is_file()]
    threads = max(1, torch.get_num_threads() // jobs)
    with ProcessPoolExecutor(jobs, get_context("spawn"), torch.set_num_threads, (threads,)) as pool:
        work = {pool.submit(_one, run, list(samples), out, steps): run for run in left}
        for done in as_completed(work):
            progress(f"{work[done].name}  {done.result()}")


def _one(run: Run, samples: list[Sample], out: Path, steps: int | None) -> str:
    recipe: Recipe = replace(run.recipe, steps=steps, batch=8) if steps else run.recipe
    start = weights.load(_weights(out, run.start))[:2] if run.start else None
    size = start[0].architecture.size if start else run.architecture.size
    stored, seen, located = (
        np.load(out / f"{name}-{size}.npy", mmap_mode="r") for name in ("stored", "seen", "located")
    )
    last: list[Step] = []
    network, labels = fit(
        stored[np.asarray(run.trained_on)],
        [samples[i] for i in run.trained_on],
        recipe,
        lambda step: last.__setitem__(slice(None), [step]),
        run.architecture,
        start,
    )
    path = outcome_path(out, run.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    weights.save(_weights(out, run.name), network, labels, {"recipe": asdict(recipe)})
    said = torch.from_numpy(logits_of(network, seen[np.asarray(run.tried_on)])).softmax(dim=1).numpy()
    outcome = {
        "run": run.name,
        "recipe": asdict(recipe),
        "architecture": asdict(network.architecture),
        "start": run.start,
        "trained_on": len(run.trained_on),
        "loss": round(last[-1].loss, 4),
        "seconds": round(last[-1].seconds),
        "labels": labels,
        "cells": [
            [samples[i].path.name, samples[i].label, samples[i].source, samples[i].group, bool(located[i])]
            for i in run.tried_on
        ],
        "probabilities": [[round(float(value), 4) for value in row] for row in said],
    }
    write_whole(path, json.dumps(outcome).encode(), "make room and start the study again: it goes on where it was")
    right = np.mean([labels[int(row.argmax())] == samples[i].label for row, i in zip(said, run.tried_on, strict=True)])
    return f"{right:.1%} of {len(run.tried_on)}, {last[-1].seconds:.0f} s"


def _weights(out: Path, run: str) -> Path:
    return out / f"{run}.safetensors"


def _save(path: Path, crops: npt.NDArray[Any]) -> None:
    """Whole or not at all, without a second copy in memory."""
    half_written = path.with_suffix(".part.npy")
    np.save(half_written, crops)
    os.replace(half_written, path)
