"""The verb ``train``, from its options to weights, log and checkpoint, or to a pack."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edge_wbc.cli.common import print_json, progress, say
from edge_wbc.cli.session import notice, stopping
from edge_wbc.differential import exact_interval
from edge_wbc.errors import OutputFailed, UsageError
from edge_wbc.types import Pixels
from training import weights
from training.check import folders
from training.checkpoint import Checkpoint
from training.leukonet import ARCHITECTURES, Architecture, Leukonet
from training.log import Log
from training.pack import write_pack
from training.prepare import Cells, join_same_images, read_folder, read_packed
from training.train import RECIPES, TUNE, Recipe, Step, arithmetic, fit, labels_in, record, training_device
from training.tune import Start, absent, hold_out, open_start, refuse_unknown, right

WIDTH_STEP = 32


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for on the command line; None: not said."""

    data: Path
    out: Path | None = None
    model: str | None = None
    start: str | None = None
    size: int | None = None
    widths: str | None = None
    blocks: str | None = None
    steps: int | None = None
    seed: int = 1
    pack: Path | None = None
    smoke: bool = False
    as_json: bool = False

    @property
    def weights(self) -> Path:
        """Where the weights go."""
        name = f"{Path(self.start).stem}-tuned" if self.start else self.model or "leukonet"
        return self.out or Path(f"{name}.safetensors")

    def command(self) -> str:
        """What repeats the run, given the same data as DATA."""
        said = {
            "--model": self.model,
            "--from": self.start and Path(self.start).name,
            "--size": self.size,
            "--widths": self.widths,
            "--blocks": self.blocks,
            "--steps": self.steps,
            "--seed": self.seed,
        }
        words = [word for name, value in said.items() if value is not None for word in (name, str(value))]
        smoke = ["--smoke"] if self.smoke else []
        return shlex.join(["edge-wbc", "train", "--data", "DATA", *words, *smoke, "--out", self.weights.name])


def run(order: Order) -> int:
    """Do it.

    :returns: the exit code.
    :raises EdgeWbcError: as documented of each part.
    :raises KeyboardInterrupt: interrupted before the first step; nothing was written.
    """
    _check(order)
    return _pack(order, order.pack) if order.pack else _train(order)


def architecture_of(
    model: str | None = None, size: int | None = None, widths: str | None = None, blocks: str | None = None
) -> Architecture:
    """The model's own but for what is said.

    :param widths: channels of the stages, as ``64,96,128``.
    :param blocks: residual blocks of the stages, as ``1,2,2``.
    :raises UsageError: widths that no tensor core runs well, or not one number for each stage.
    """
    architecture = ARCHITECTURES[model or "leukonet"]
    if size is not None:
        architecture = replace(architecture, size=size)
    if widths is not None:
        architecture = replace(architecture, widths=_numbers("--widths", widths, architecture.widths))
        if any(width % WIDTH_STEP for width in architecture.widths):
            raise UsageError(
                f"--widths {widths}: INT8 tensor cores take channels by {WIDTH_STEP}; use multiples of {WIDTH_STEP}"
            )
    if blocks is not None:
        architecture = replace(architecture, blocks=_numbers("--blocks", blocks, architecture.blocks))
    return architecture


def _numbers(option: str, said: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """:raises UsageError: not a number from 1 on for each stage."""
    parts = [part.strip() for part in said.split(",")]
    if len(parts) != len(default) or not all(part.isdecimal() and int(part) for part in parts):
        example = ",".join(map(str, default))
        raise UsageError(f"{option} {said}: not {len(default)} numbers, one for each stage; write them as {example}")
    return tuple(int(part) for part in parts)


def _check(order: Order) -> None:
    """:raises UsageError: what was asked for does not go together."""
    if order.start and (order.model or order.size or order.widths or order.blocks):
        raise UsageError("--from goes on with the network as it is; leave --model, --size, --widths and --blocks out")
    if order.pack and (order.start or order.out or order.widths or order.blocks or order.steps):
        raise UsageError("--pack writes the data alone; it goes with --data, --model, --size and --smoke")
    if order.pack and order.data.is_file():
        raise UsageError(f"--pack {order.pack}: {order.data} is a pack already; give the folder it was written from")
    target = order.pack or order.weights
    if not order.pack and target.suffix != ".safetensors":
        raise UsageError(f"--out {target}: weights are written as safetensors; name the file {target.stem}.safetensors")
    option = "--pack" if order.pack else "--out"
    if not target.parent.is_dir():
        raise UsageError(f"{option} {target}: the folder {target.parent} does not exist; create it first")
    if not os.access(target.parent, os.W_OK):
        raise OutputFailed(f"{option} {target}: {target.parent} can't be written to; name another folder")


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
    if checkpoint.kept:
        say(f"going on from step {checkpoint.kept} of {plan.recipe.steps}, as {checkpoint.path} has it")
    try:
        network, labels = _fit(plan, checkpoint, log)
    except KeyboardInterrupt:
        notice(f"interrupted; {checkpoint.advice()}" + (f" of {plan.recipe.steps}" if checkpoint.kept else ""))
        return 130
    weights.save(order.weights, network, labels, plan.notes)
    checkpoint.remove()
    if order.as_json:
        print_json({"weights": str(order.weights), "labels": labels, **plan.notes})
    say(f"wrote {order.weights}, and its log {log.path}; next: edge-wbc export {order.weights}")
    return 0


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be trained, on what, how."""

    cells: Cells
    trains: list[bool]
    """Which cells train; the others are held out to see whether it helped."""
    recipe: Recipe
    architecture: Architecture
    start: Start | None
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
    trains = [True] * len(cells.samples)
    if start:
        refuse_unknown(cells.samples, folders(order.data), start)
        cells = join_same_images(cells)
        trains = [not held for held in hold_out(cells.samples)]
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
    return _Plan(cells, trains, recipe, architecture, start, notes)


def _fit(plan: _Plan, checkpoint: Checkpoint, log: Log) -> tuple[Leukonet, tuple[str, ...]]:
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
    if plan.start:
        plan.notes["held_out"] = _compare(plan.start, network, crops[held], plan.cells.some(held))
    return network, labels


def _recipe(order: Order) -> Recipe:
    recipe = replace(TUNE if order.start else RECIPES[order.model or "leukonet"], seed=order.seed)
    if order.smoke:
        recipe = replace(recipe, steps=4, batch=8, warmup_steps=2)
    return replace(recipe, steps=order.steps or recipe.steps)


def _compare(start: Start, network: Leukonet, crops: Pixels, held: Cells) -> dict[str, Any]:
    """What the network names rightly of the held-out cells, before and after; told, and returned for the record."""
    n = len(held.samples)
    if not n:
        say("too few cells to hold some out, so whether it helped is not known: five a class are the least")
        return {"cells": 0}
    before = right(start.network, start.labels, crops, held.samples)
    after = right(network, start.labels, crops, held.samples)
    low, high = exact_interval(sum(after.values()), n)
    say(
        f"{n} cells held out: {sum(before.values())} right before ({sum(before.values()) / n:.1%}), "
        f"{sum(after.values())} after ({sum(after.values()) / n:.1%}, 95 % interval {low:.1%}–{high:.1%})"
    )
    if sum(after.values()) < sum(before.values()):
        notice(f"fewer right than before: keep {start.name}, or give more cells")
    return {"cells": n, "right_before": before, "right_after": after}
