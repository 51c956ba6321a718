"""What a person may ask of ``train``, and what of it goes together."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from edge_wbc.errors import OutputFailed, UsageError
from training.leukonet import ARCHITECTURES, Architecture

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


def check(order: Order) -> None:
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
