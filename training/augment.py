"""Changes a crop may undergo in training: what differs between slides, stains, microscopes and cameras.

Everything runs batched on the device of the crops, from one generator.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional
from torch import Tensor

from training.leukonet import CROP_PX

STORED_PX = 144
"""Side of a stored crop: ``CROP_PX`` and the room that turning and shifting need, at the same scale."""

# Optical density of haematoxylin, eosin and DAB, rows normalised (Ruifrok and Johnston 2001), columns B, G, R.
_STAINS = ((0.29, 0.70, 0.65), (0.11, 0.99, 0.07), (0.78, 0.57, 0.27))


def augment(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Random view of each stored crop.

    :param crops: uint8 (N, STORED_PX, STORED_PX, 3) BGR.
    :returns: float32 (N, CROP_PX, CROP_PX, 3), grey levels 0 to 255.
    """
    x = crops.permute(0, 3, 1, 2).float() / 255
    x = _turn(x, generator)
    x = _stain(x, generator)
    x = _light(x, generator)
    x = _focus(x, generator)
    return (x.clamp(0, 1) * 255).permute(0, 2, 3, 1)


def centre(crops: Tensor) -> Tensor:
    """The part of stored crops that the network sees without augmentation."""
    margin = (STORED_PX - CROP_PX) // 2
    return crops[:, margin : margin + CROP_PX, margin : margin + CROP_PX]


def _uniform(generator: torch.Generator, like: Tensor, low: float, high: float, *shape: int) -> Tensor:
    return torch.rand(len(like), *shape, generator=generator, device=like.device) * (high - low) + low


def _turn(x: Tensor, generator: torch.Generator) -> Tensor:
    """Rotation by any angle, mirroring, scale 0.77–1.3, aspect ±10 %, shift ±6 %."""
    angle = _uniform(generator, x, -math.pi, math.pi)
    zoom = torch.exp(_uniform(generator, x, -0.26, 0.26)) * CROP_PX / STORED_PX
    aspect = torch.exp(_uniform(generator, x, -0.1, 0.1))
    flip = torch.where(_uniform(generator, x, 0, 1) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    shift = _uniform(generator, x, -0.08, 0.08, 2)
    matrix = torch.stack(
        [
            torch.stack([cos * zoom * aspect * flip, -sin * zoom / aspect, shift[:, 0]], dim=1),
            torch.stack([sin * zoom * aspect * flip, cos * zoom / aspect, shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(matrix, [len(x), 3, CROP_PX, CROP_PX], align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _stain(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each stain's strength ×0.7–1.4 and its colour turned a little, in optical density."""
    stains = torch.tensor(_STAINS, device=x.device)
    stains = stains / stains.norm(dim=1, keepdim=True)
    tilted = stains + _uniform(generator, x, -0.07, 0.07, 3, 3)
    strength = torch.exp(_uniform(generator, x, -0.35, 0.35, 3, 1))
    mix = torch.linalg.inv(stains) @ (tilted * strength)
    density = -torch.log(x.clamp(1 / 255, 1)).flatten(2)
    return torch.exp(-(mix.transpose(1, 2) @ density)).view_as(x)


def _light(x: Tensor, generator: torch.Generator) -> Tensor:
    """White balance ±14 %, brightness, gamma, contrast, saturation."""
    tint = torch.exp(_uniform(generator, x, -0.14, 0.14, 3, 1, 1) + _uniform(generator, x, -0.25, 0.12, 1, 1, 1))
    gamma = torch.exp(_uniform(generator, x, -0.3, 0.3, 1, 1, 1))
    contrast = _uniform(generator, x, 0.7, 1.15, 1, 1, 1)
    x = x.clamp(1e-3, 1) ** gamma * tint
    mean = x.mean(dim=(2, 3), keepdim=True)
    x = mean + (x - mean) * contrast
    grey = x.mean(dim=1, keepdim=True)
    saturation = _uniform(generator, x, 0.6, 1.3, 1, 1, 1)
    return grey + (x - grey) * saturation


def _focus(x: Tensor, generator: torch.Generator) -> Tensor:
    """Blur in half of the crops, sensor noise in all."""
    sigma = _uniform(generator, x, 0.3, 1.3)
    offsets = torch.arange(-3.0, 4.0, device=x.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma[:, None] ** 2))
    kernel = torch.where(_uniform(generator, x, 0, 1, 1) < 0.5, kernel, (offsets == 0).float())
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    flat = functional.pad(x, (3, 3, 3, 3), mode="replicate").flatten(0, 1)[None]
    flat = functional.conv2d(flat, kernel[:, None, None, :], groups=flat.shape[1])
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=flat.shape[1])
    noise = torch.randn(x.shape, generator=generator, device=x.device) * _uniform(generator, x, 0, 0.02, 1, 1, 1)
    return flat.view_as(x) + noise
