"""A training run that can stop at any step and go on: all that it depends on, in one file beside the weights."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from edge_wbc.errors import ModelError, UsageError
from edge_wbc.files import write_whole

FORM = "edge-wbc checkpoint 1"
EVERY_S = 60.0
"""Least time from one writing to the next."""


@dataclass(slots=True)
class Running:
    """A training run between two steps."""

    network: nn.Module
    averaged: AveragedModel
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    """What augmentation draws from."""
    order: np.random.Generator
    """What the choice of crops draws from."""
    step: int = 0
    """Steps done."""
    loss: float = 0.0
    """As shown: a running average."""
    seconds: float = 0.0

    def tensors(self) -> dict[str, Tensor]:
        """Everything in it that is a tensor, by name; torch's own generators included."""
        held = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        held |= {f"averaged.{name}": tensor for name, tensor in self.averaged.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            held |= {f"optimiser.{index}.{name}": tensor for name, tensor in state.items()}
        held |= {"random.augment": self.generator.get_state(), "random.cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            held["random.cuda"] = torch.cuda.get_rng_state()
        return held

    def go_back_to(self, tensors: Mapping[str, Tensor], order: dict[str, Any]) -> None:
        """Take on what ``tensors`` and the state of ``order`` gave in another process."""
        self.network.load_state_dict(_below("network.", tensors))
        self.averaged.load_state_dict(_below("averaged.", tensors))
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below("optimiser.", tensors).items():
            index, _, field = name.partition(".")
            parameter = parameters[int(index)]
            if tensor.shape == parameter.shape:  # laid out in memory as the run itself lays it out
                tensor = torch.empty_like(parameter, memory_format=torch.preserve_format).detach().copy_(tensor)
            state.setdefault(int(index), {})[field] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.generator.set_state(tensors["random.augment"])
        torch.set_rng_state(tensors["random.cpu"])
        if torch.cuda.is_available() and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
        self.order.bit_generator.state = order


class Checkpoint:
    """The file that a run goes on from, if it is interrupted."""

    def __init__(self, path: Path, identity: Mapping[str, Any], every_s: float = EVERY_S) -> None:
        """Look at what an earlier run left.

        :param identity: what the run is of, by name; only a run of the same goes on.
        :raises UsageError: what is there is of another run.
        :raises ModelError: what is there can't be read.
        """
        self.path = path
        self.interrupted: Callable[[], bool] = lambda: False
        """Asked after each step; if so, the step is kept and the run ends."""
        self.kept: int | None = None
        """The step that the file holds; None: there is none."""
        self._identity: dict[str, Any] = json.loads(json.dumps(identity))
        self._every_s, self._last = every_s, -math.inf
        if path.exists():
            found = _metadata(path)
            _check_identity(path, json.loads(found["identity"]), self._identity)
            self.kept = int(found["step"])

    def restore(self, run: Running) -> None:
        """Take a run to where the file left it; without a file, leave it as it is.

        :raises ModelError: the file is damaged.
        """
        if self.kept is None:
            return
        found = _metadata(self.path)
        try:
            with safe_open(self.path, "pt") as opened:
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            run.go_back_to(tensors, json.loads(found["order"]))
            run.step, run.loss, run.seconds = int(found["step"]), float(found["loss"]), float(found["seconds"])
        except (SafetensorError, OSError, KeyError, ValueError, IndexError, TypeError, RuntimeError):
            raise _damaged(self.path) from None

    def keep(self, run: Running) -> None:
        """Write the run down, if it is time to or the run is interrupted.

        :raises OutputFailed: it can't be written; the last good one stays.
        :raises KeyboardInterrupt: interrupted; the run is written down.
        """
        interrupted = self.interrupted()
        if interrupted or time.monotonic() - self._last >= self._every_s:
            self._write(run)
            self._last = time.monotonic()
        if interrupted:
            raise KeyboardInterrupt

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.kept = None

    def advice(self) -> str:
        """How to go on after something failed."""
        return "start the same command again" + (f": it goes on from step {self.kept}" if self.kept else "")

    def _write(self, run: Running) -> None:
        metadata = {
            "form": FORM,
            "identity": json.dumps(self._identity),
            "step": str(run.step),
            "loss": repr(run.loss),
            "seconds": repr(run.seconds),
            "order": json.dumps(run.order.bit_generator.state),
        }
        tensors = {name: tensor.contiguous() for name, tensor in run.tensors().items()}
        write_whole(self.path, save(tensors, metadata), f"make room, then {self.advice()}")
        self.kept = run.step


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as opened:
            found: dict[str, str] = opened.metadata() or {}
    except (SafetensorError, OSError):
        raise _damaged(path) from None
    if found.get("form") != FORM:
        raise _damaged(path)
    return found


def _damaged(path: Path) -> ModelError:
    return ModelError(f"{path}: not a checkpoint that this version can go on from; delete it to start afresh")


def _check_identity(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """:raises UsageError: they differ."""
    differ = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if differ:
        named = ", ".join(
            f"{name} {there.get(name)}, now {here.get(name)}"
            if all(len(str(side.get(name))) < 24 for side in (there, here))
            else f"other {name}"
            for name in differ
        )
        raise UsageError(
            f"{path}: an unfinished run of something else ({named}); "
            "give what it was started with to go on, or delete it to start afresh"
        )
