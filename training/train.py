"""Fit leukonet to labelled crops with a fixed schedule: nothing is selected on the way, so nothing leaks."""

from __future__ import annotations

import copy
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from edge_wbc.errors import SourceError
from edge_wbc.types import LABELS, NOT_A_CELL, Pixels
from training.augment import EVERYTHING, Augmentation, augment
from training.checkpoint import Checkpoint, Running
from training.datasets import Sample
from training.leukonet import Architecture, Leukonet

BALANCE_CAP = 400
"""Beyond this many images a class of a source gains no more weight."""
COPIES_CAP = {"kaggle": 100, "chula": 10}
"""The same for cells of few photographs or slides: drawn as often as others, they are learnt by heart."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a training run, stored with the weights."""

    steps: int = 5000
    batch: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    average: float = 0.998
    """Decay of the running average of the weights; the average is what is kept."""
    style_mixing: float = 0.5
    """Share of steps in which the first feature maps take on the style of another crop's."""
    balanced: bool = True
    """Draw by class of a source, then group, then image; otherwise every image alike."""
    augmentation: Augmentation = EVERYTHING
    seed: int = 1


SHORT = Recipe(steps=1200, batch=32, learning_rate=1.5e-3)
"""Small batches: of as few crops, more and smaller steps learn more."""
RECIPES = {"leukonet": Recipe(), "leukonet-4": SHORT}
"""By model. The paper's images show few cells: more steps learn their photographs by heart. The second is what the
cross-validation runs."""
TUNE = Recipe(steps=300, learning_rate=5e-4, warmup_steps=20, average=0.98)
"""For going on from a trained network with a few cells of one's own."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where a training run stands."""

    step: int
    steps: int
    loss: float
    """Running average."""
    seconds: float
    learning_rate: float


def training_device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def arithmetic(device: torch.device) -> str:
    """``bfloat16`` where the device computes in it, ``float32`` elsewhere: there bfloat16 is emulated.

    On an AVX2 processor a step in emulated bfloat16 took 2.9 s, in float32 0.26 s.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able = torch.cpu.get_capabilities()
    return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16") else "float32"


def labels_in(samples: Sequence[Sample]) -> tuple[str, ...]:
    """The labels that occur, in the project's order.

    :raises SourceError: fewer than two.
    """
    present = {sample.label for sample in samples}
    if len(present) < 2:
        raise SourceError(f"only {', '.join(present) or 'no'} cells to train on; give at least two classes")
    return tuple(label for label in LABELS if label in present)


def sampling_weights(samples: Sequence[Sample]) -> Tensor:
    """Probability of each sample: √(images, capped) per class of a source, shared evenly by its
    groups, then by a group's images."""
    cells = Counter((sample.source, sample.label) for sample in samples)
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    for sample in samples:
        groups[sample.source, sample.label].add(sample.group)
    members = Counter((sample.source, sample.label, sample.group) for sample in samples)
    weights = [
        math.sqrt(min(cells[sample.source, sample.label], _cap(sample)))
        / len(groups[sample.source, sample.label])
        / members[sample.source, sample.label, sample.group]
        for sample in samples
    ]
    total = sum(weights)
    return torch.tensor([weight / total for weight in weights], dtype=torch.float64)


def _cap(sample: Sample) -> int:
    return BALANCE_CAP if sample.label == NOT_A_CELL else COPIES_CAP.get(sample.source, BALANCE_CAP)


def fit(
    crops: Pixels,
    samples: Sequence[Sample],
    recipe: Recipe,
    progress: Callable[[Step], None],
    architecture: Architecture | None = None,
    start: tuple[Leukonet, tuple[str, ...]] | None = None,
    *,
    checkpoint: Checkpoint | None = None,
) -> tuple[Leukonet, tuple[str, ...]]:
    """Train on stored crops, on a GPU if there is one.

    :param crops: uint8 (len(samples), size / SEEN, size / SEEN, 3) BGR.
    :param architecture: its number of classes gives way to that of the labels that occur.
    :param start: network to go on from, and its labels; otherwise from scratch.
    :param checkpoint: where the run stands is kept there, and what an interrupted run left there is gone on from; on a
        CPU, with as many threads, the weights end the same bit by bit.
    :returns: the averaged network in evaluation mode on the CPU, and its labels in order.
    :raises SourceError: fewer than two classes, or the loss is no longer a number.
    :raises OutputFailed: a checkpoint can't be written.
    :raises KeyboardInterrupt: interrupted; the step is in the checkpoint.
    """
    labels = start[1] if start else labels_in(samples)
    device = training_device()
    halved = arithmetic(device) == "bfloat16"
    torch.manual_seed(recipe.seed)
    generator = torch.Generator(device).manual_seed(recipe.seed)
    order = np.random.default_rng(recipe.seed)
    if start:
        network = copy.deepcopy(start[0])
    else:
        network = Leukonet(replace(architecture or Architecture(0), classes=len(labels)))
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average), use_buffers=True
    )
    optimiser = torch.optim.AdamW(_decayed(network, recipe.weight_decay), lr=recipe.learning_rate)
    weights = sampling_weights(samples).numpy() if recipe.balanced else None
    targets = torch.tensor([labels.index(sample.label) for sample in samples])
    size = network.architecture.size
    network.style_mixing = recipe.style_mixing
    run = Running(network, averaged, optimiser, generator, order)
    if checkpoint:
        checkpoint.restore(run)
    started = time.monotonic() - run.seconds
    network.train()
    for step in range(run.step + 1, recipe.steps + 1):
        rate = recipe.learning_rate * _rate(step - 1, recipe)
        for group in optimiser.param_groups:
            group["lr"] = rate
        chosen = np.sort(order.choice(len(samples), recipe.batch, p=weights))
        x = augment(torch.from_numpy(crops[chosen]).to(device), generator, size, recipe.augmentation)
        with torch.autocast(device.type, torch.bfloat16, enabled=halved):
            logits = network(x.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(
            logits.float(), targets[chosen].to(device), label_smoothing=recipe.label_smoothing
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        averaged.update_parameters(network)
        value = float(loss.detach())
        run.loss = value if step == 1 else 0.98 * run.loss + 0.02 * value
        run.step, run.seconds = step, time.monotonic() - started
        if not math.isfinite(run.loss):
            raise SourceError(f"the loss is no longer a number at step {step}; lower the learning rate")
        progress(Step(step, recipe.steps, run.loss, run.seconds, rate))
        if checkpoint and step < recipe.steps:
            checkpoint.keep(run)
    kept = averaged.module.cpu().eval()
    assert isinstance(kept, Leukonet)
    return kept, labels


def record(samples: Sequence[Sample], locked: Sequence[Sample], recipe: Recipe) -> dict[str, object]:
    """What is stored with weights: enough to repeat the run on the same data."""
    images = Counter(f"{sample.source}/{sample.label}" for sample in samples)
    return {
        "recipe": asdict(recipe),
        "images": dict(sorted(images.items())),
        "groups": len({sample.group for sample in samples}),
        "locked_images": len(locked),
        "split": "by group; groups locked in training/splits.json left out",
    }


def _rate(step: int, recipe: Recipe) -> float:
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


def _decayed(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay for matrices and kernels, none for biases and norms."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
