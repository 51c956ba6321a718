"""The verb ``train``, from its options to weights, log and checkpoint, or to a pack."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edge_wbc.cli.common import print_json, progress, say
from edge_wbc.cli.session import notice, stopping
from edge_wbc.errors import UsageError
from training import weights
from training.check import folders
from training.checkpoint import Checkpoint
from training.compare import Comparison, compare, record_of, table, verdict_of
from training.leukonet import Architecture, Leukonet
from training.log import Log
from training.order import Order, architecture_of, check
from training.pack import write_pack
from training.prepare import Cells, join_same_images, read_folder, read_packed
from training.train import RECIPES, TUNE, Recipe, Step, arithmetic, fit, labels_in, record, training_device
from training.tune import Start, absent, hold_out, hold_out_slides, open_start, refuse_unknown, right


def run(order: Order) -> int:
    """Do it.

    :returns: the exit code.
    :raises EdgeWbcError: as documented of each part.
    :raises KeyboardInterrupt: interrupted before the first step; nothing was written.
    """
    check(order)
    return _pack(order, order.pack) if order.pack else _train(order)


def _cells(order: Order) -> Cells:
    model = order.model or "leukonet"
    if order.data.is_file():
        with progress("reading the pack", 1):
            cells = read_packed(order.data, model)
    else:
        with progress("looking for what is no cell", 1):
            cells = read_folder(order.data, model, (lambda line: None) if order.start else notice)
    return cells.few() if order.smoke else cells


def _pack(order: Order, path: Path) -> int:
    cells = _cells(order)
    if any(sample.is_crop for sample in cells.samples):
        raise UsageError(f"--pack {path}: taught cells are not packed; train on the folder {order.data} itself")
    with progress("cutting crops", len(cells.samples)) as advance:
        crops = cells.cut(architecture_of(order.model, order.size).size, advance)
    with progress("packing", len(cells.samples)) as advance:
        written = write_pack(path, cells.samples, cells.locked, crops, cells.root, advance)
    if order.as_json:
        print_json({"pack": str(path), "cells": len(cells.samples), "locked": sum(cells.locked), **asdict(written)})
    same = f" --model {order.model}" if order.model else ""
    same += f" --size {order.size}" if order.size else ""
    say(
        f"wrote {path}: {len(cells.samples)} cells, {sum(cells.locked)} of them in locked groups, "
        f"{written.bytes / 1e6:.1f} MB, WebP quality {written.quality}, "
        f"off by {written.error:.2f} grey levels on average; next: edge-wbc train --data {path}{same}"
    )
    return 0


def _train(order: Order) -> int:
    plan = _plan(order)
    checkpoint = Checkpoint(order.weights.with_suffix(".checkpoint"), plan.identity())
    log = Log(order.weights.with_suffix(".csv"), checkpoint.kept or 0, checkpoint.advice())
    say(f"{sum(plan.trains)} cells to train on, {plan.notes['locked_images']} in locked groups left out")
    if plan.start:
        say(plan.held_out)
    if checkpoint.kept:
        say(f"going on from step {checkpoint.kept} of {plan.recipe.steps}, as {checkpoint.path} has it")
    try:
        network, labels, found = _fit(plan, checkpoint, log)
    except KeyboardInterrupt:
        notice(f"interrupted; {checkpoint.advice()}" + (f" of {plan.recipe.steps}" if checkpoint.kept else ""))
        return 130
    weights.save(order.weights, network, labels, plan.notes)
    checkpoint.remove()
    if order.as_json:
        print_json({"weights": str(order.weights), "labels": labels, **plan.notes})
    say(f"wrote {order.weights}, and its log {log.path}; {_next(order, plan, found)}")
    return 1 if found is not None and found.overall.verdict == "worse" else 0


def _next(order: Order, plan: _Plan, found: Comparison | None) -> str:
    """What a person types to take the network, or why not to."""
    export = f"edge-wbc export {shlex.quote(str(order.weights))}"
    if plan.start is None or (found is not None and found.overall.verdict == "better"):
        return f"next: {export}"
    if found is not None and found.overall.verdict == "worse":
        return f"next: keep {plan.start.name}, and look at what the cells that were taught have in common"
    return f"next: keep {plan.start.name} and teach more cells; to take the new one all the same: {export}"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be trained, on what, how."""

    cells: Cells
    trains: list[bool]
    """Which cells train; the others are held out to see whether it helped."""
    recipe: Recipe
    architecture: Architecture
    start: Start | None
    held_out: str
    """What is held out, in words."""
    notes: dict[str, Any]
    """What is stored with the weights: enough to repeat the run."""

    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to be gone on with."""
        names = {"cells_sha256": "cells", "images_sha256": "images", "start": "weights to start from"}
        same = {shown: self.notes[name] for name, shown in names.items() if name in self.notes}
        return {**self.notes["recipe"], **self.notes["architecture"], **same, "arithmetic": self.notes["arithmetic"]}


def _plan(order: Order) -> _Plan:
    start = open_start(order.start) if order.start else None
    asked = architecture_of(order.model, order.size, order.widths, order.blocks)
    architecture = start.network.architecture if start else asked
    everything = _cells(order)
    everything.check_size(architecture.size)
    cells = everything.training()
    trains, held_out = [True] * len(cells.samples), ""
    if start:
        refuse_unknown(cells.samples, folders(order.data), start)
        cells = join_same_images(cells)
        held, held_out = _held_out(cells)
        trains = [not out for out in held]
        if missing := absent(cells.samples, start.labels):
            notice(f"no cells of {', '.join(missing)} to go on with: {start.name} may forget them; add some to keep it")
    training = cells.some([i for i, train in enumerate(trains) if train])
    labels_in(training.samples)
    recipe = _recipe(order)
    locked = [sample for sample, out in zip(everything.samples, everything.locked, strict=True) if out]
    notes: dict[str, Any] = record(training.samples, locked, recipe) | {
        "architecture": {name: value for name, value in asdict(architecture).items() if name != "classes"},
        "cells_sha256": training.cells_sha256(),
        "images_sha256": everything.images_sha256,
        "command": order.command(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "arithmetic": arithmetic(training_device()),
    }
    if everything.quality is not None:
        notes["pack_quality"] = everything.quality
    if start:
        notes["start"] = {"name": start.name, "sha256": start.sha256}
        notes["held_out_cells"] = held_out
    return _Plan(cells, trains, recipe, architecture, start, held_out, notes)


def _held_out(cells: Cells) -> tuple[list[bool], str]:
    """Which cells are held out to see whether training on the others helped, and that in words."""
    samples = cells.samples
    slides, taught = len({sample.slide for sample in samples}), all(sample.is_crop for sample in samples)
    if (held := hold_out_slides(samples)) is not None:
        whole = len({sample.slide for sample, out in zip(samples, held, strict=True) if out})
        return held, f"held out: {whole} of {slides} slides, with all of their {sum(held)} cells"
    held = hold_out(samples)
    if not any(held):
        least = "in fields of their own" if taught else "in images of their own"
        return (
            held,
            f"held out: nothing, so whether it helps will not be known; five cells of a class {least} are the least",
        )
    if not taught:
        return held, f"held out: {sum(held)} cells, a fifth of the images of each class"
    return held, (
        f"held out: {sum(held)} cells, a fifth of the fields of each class; no slide of {slides} can be spared "
        "whole, so training sees their slides, which flatters it"
    )


def _fit(plan: _Plan, checkpoint: Checkpoint, log: Log) -> tuple[Leukonet, tuple[str, ...], Comparison | None]:
    with progress("cutting crops", len(plan.cells.samples)) as advance:
        crops = plan.cells.cut(plan.architecture.size, advance)
    training = [i for i, train in enumerate(plan.trains) if train]
    held = [i for i, train in enumerate(plan.trains) if not train]
    with stopping(lambda: None) as interrupted, progress("training", plan.recipe.steps) as advance:
        checkpoint.interrupted = interrupted

        def show(step: Step) -> None:
            plan.notes["seconds"] = round(step.seconds)
            advance(step.step, f"loss {step.loss:.3f}")
            log.write(step.step, step.steps, step.loss, step.learning_rate, step.seconds)
            if step.step % 500 == 0:
                say(f"step {step.step}/{step.steps}  loss {step.loss:.3f}  {step.seconds:.0f} s")

        network, labels = fit(
            crops[training] if held else crops,
            [plan.cells.samples[i] for i in training],
            plan.recipe,
            show,
            plan.architecture,
            (plan.start.network, plan.start.labels) if plan.start else None,
            checkpoint=checkpoint,
        )
    found = None
    if plan.start and held:
        samples = plan.cells.some(held).samples
        before = right(plan.start.network, plan.start.labels, crops[held], samples)
        found = compare(samples, before, right(network, labels, crops[held], samples))
        table(found, plan.start.name, "new")
        for line in verdict_of(found, plan.start.name):
            say(line)
    if plan.start:
        plan.notes["held_out"] = record_of(found)
    return network, labels, found


def _recipe(order: Order) -> Recipe:
    recipe = replace(TUNE if order.start else RECIPES[order.model or "leukonet"], seed=order.seed)
    if order.smoke:
        recipe = replace(recipe, steps=4, batch=8, warmup_steps=2)
    return replace(recipe, steps=order.steps or recipe.steps)
