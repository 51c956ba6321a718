"""leukonet: a compact residual CNN for crops of one white blood cell.

0.1 G multiply-accumulates and 0.9 M parameters at 96×96. Plain 3×3 convolutions with channels in multiples of 32,
so that INT8 tensor cores and CPU vector units alike run it well.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

CROP_PX = 96
MEAN = (190.0, 175.0, 190.0)
"""BGR grey levels subtracted from a crop: about the mean of the training crops."""
SCALE = 55.0
"""Grey levels to one unit: about the standard deviation of the training crops."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the shape of the network depends on; stored with the weights."""

    classes: int
    stem: int = 32
    widths: tuple[int, ...] = (64, 96, 128)
    blocks: tuple[int, ...] = (1, 2, 2)


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
    """float32 (N, 3, S, S) normalised BGR crops → float32 (N, classes) logits."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
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
        features = self.stages(self.stem(x)).mean(dim=(2, 3))
        logits: Tensor = self.head(self.dropout(features))
        return logits


def normalise(crops: Tensor) -> Tensor:
    """uint8 or float (N, S, S, 3) BGR → float32 (N, 3, S, S), the form the network is trained on."""
    mean = torch.tensor(MEAN, device=crops.device)
    return ((crops.float() - mean) / SCALE).permute(0, 3, 1, 2)
