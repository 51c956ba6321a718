"""leukonet: a compact residual CNN for crops of one white blood cell.

0.04 G multiply-accumulates and 0.9 M parameters at 64×64, normalisation included. Plain 3×3 convolutions with channels
in multiples of 32, so that INT8 tensor cores and CPU vector units alike run it well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from edge_wbc.types import Pixels

CROP_PX = 64
"""Side of the crop that the default network sees."""
MEAN = (190.0, 175.0, 190.0)
"""BGR grey levels subtracted from a crop by the fixed normalisation: about the mean of the training crops."""
SCALE = 55.0
"""Grey levels to one unit in the fixed normalisation: about the standard deviation of the training crops."""
BLACK = 12.0
"""A pixel with no channel above this grey level shows nothing: the empty corners of a turned image."""
BACKGROUND_PARTS = 12
"""The brightest of so many by so many parts of a crop is taken for its background."""
DARKEST_BACKGROUND = 20.0
"""Grey level that a background is taken to have at least."""
LEAST_VARIANCE = 1e-4
"""Added to the variance of a crop divided by its background, so that an even crop stays even."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the shape of the network depends on; stored with the weights."""

    classes: int
    size: int = CROP_PX
    """Side of the crop in pixels."""
    stem: int = 32
    widths: tuple[int, ...] = (64, 96, 128)
    blocks: tuple[int, ...] = (1, 2, 2)
    normalisation: Literal["crop", "fixed"] = "crop"


ARCHITECTURES = {"leukonet": Architecture(0), "leukonet-4": Architecture(0, size=96)}
"""By model. Larger crops teach more of a stain that is known, and hold less well on one that is not."""


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Leukonet(nn.Module):
    """float32 (N, 3, S, S) BGR crops, grey levels 0 to 255 → float32 (N, classes) logits."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.style_mixing = 0.0
        """How often a training step mixes styles; nothing when not training."""
        self.stem = nn.Sequential(
            nn.Conv2d(3, architecture.stem, 3, 2, 1, bias=False), nn.BatchNorm2d(architecture.stem), nn.ReLU()
        )
        inputs = architecture.stem
        stages: list[nn.Module] = []
        for width, blocks in zip(architecture.widths, architecture.blocks, strict=True):
            stages.append(nn.Sequential(*(Block(width if i else inputs, width, 1 if i else 2) for i in range(blocks))))
            inputs = width
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(inputs, architecture.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = normalise_crop(x) if self.architecture.normalisation == "crop" else normalise_fixed(x)
        x = self._restyled(self.stem(x))
        x = self._restyled(self.stages[0](x))
        features = self.stages[1:](x).mean(dim=(2, 3))
        logits: Tensor = self.head(self.dropout(features))
        return logits

    def _restyled(self, x: Tensor) -> Tensor:
        if self.training and self.style_mixing and float(torch.rand(())) < self.style_mixing:
            return mix_styles(x)
        return x


def mix_styles(x: Tensor) -> Tensor:
    """Mean and spread of each feature map move some way towards those of another crop (MixStyle, Zhou et al. 2021).

    :param x: (N, C, H, W).
    """
    x = x.float()
    mean = x.mean(dim=(2, 3), keepdim=True).detach()
    spread = torch.sqrt(x.var(dim=(2, 3), keepdim=True) + 1e-6).detach()
    other = torch.randperm(len(x), device=x.device)
    way = torch.distributions.Beta(0.3, 0.3).sample((len(x), 1, 1, 1)).to(x.device)
    return (x - mean) / spread * (way * spread + (1 - way) * spread[other]) + way * mean + (1 - way) * mean[other]


def normalise_fixed(x: Tensor) -> Tensor:
    """The same affine map for every crop."""
    mean = torch.tensor(MEAN, device=x.device).reshape(1, 3, 1, 1)
    return (x - mean) / SCALE


def normalise_crop(x: Tensor) -> Tensor:
    """Each channel divided by its background, then moved to mean 0; then all channels together to spread 1.

    Lamp and white balance vanish, exposure and strength of the stain mostly, hue stays. Black pixels take no part and
    come out as 0.
    """
    parts = functional.avg_pool2d(x, x.shape[-1] // BACKGROUND_PARTS)
    background = parts.amax(dim=(2, 3), keepdim=True).clamp(min=DARKEST_BACKGROUND)
    relative = x / background - 1  # small numbers: their sum keeps more digits
    shown = (x.amax(dim=1, keepdim=True) > BLACK).to(x.dtype)
    count = shown.sum(dim=(2, 3), keepdim=True) + 1
    apart = (relative - (relative * shown).sum(dim=(2, 3), keepdim=True) / count) * shown
    variance = (apart * apart).sum(dim=(1, 2, 3), keepdim=True) / (3 * count)
    return apart / torch.sqrt(variance + LEAST_VARIANCE)


def as_input(crops: Tensor) -> Tensor:
    """uint8 (N, S, S, 3) BGR → float32 (N, 3, S, S), the form that the network takes."""
    return crops.permute(0, 3, 1, 2).float()


def logits_of(network: Leukonet, crops: Pixels) -> npt.NDArray[np.float32]:
    """(N, C) logits of a network in evaluation mode.

    :param crops: uint8 (N, S, S, 3) BGR.
    """
    with torch.no_grad():
        parts = [network(as_input(torch.from_numpy(crops[i : i + 64]))) for i in range(0, len(crops), 64)]
    return torch.cat(parts).numpy()
