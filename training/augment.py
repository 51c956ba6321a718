"""Changes a crop may undergo in training: what differs between slides, stains, microscopes and cameras.

Everything runs batched on the device of the crops, from one generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

SEEN = 2 / 3
"""Part of a stored crop's side that the network sees; the rest is the room that turning and shifting need."""

# Optical density of haematoxylin, eosin and DAB, rows normalised (Ruifrok and Johnston 2001), columns B, G, R.
_STAINS = ((0.29, 0.70, 0.65), (0.11, 0.99, 0.07), (0.78, 0.57, 0.27))


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Which changes a crop undergoes."""

    turn: bool = True
    """Rotation by any angle, mirroring, scale 0.77–1.3, aspect ±10 %, shift ±8 %."""
    stain: bool = True
    """Each stain's strength and colour, by colour deconvolution."""
    swap: bool = True
    """For half of the crops, the colours of the crop move towards those of another crop of the batch."""
    light: bool = True
    """White balance, brightness, gamma, contrast, saturation."""
    focus: bool = True
    """Blur and sensor noise."""
    jpeg: bool = True
    """Compression of a quarter of the crops."""


EVERYTHING = Augmentation()


def augment(crops: Tensor, generator: torch.Generator, size: int, augmentation: Augmentation = EVERYTHING) -> Tensor:
    """Random view of each stored crop.

    :param crops: uint8 (N, size / SEEN, size / SEEN, 3) BGR.
    :returns: float32 (N, 3, size, size), grey levels 0 to 255.
    """
    x = crops.permute(0, 3, 1, 2).float().mul_(1 / 255)
    x = _turn(x, generator, size, augmentation.turn)
    if augmentation.stain or augmentation.swap or augmentation.light:
        x = _recolour(x, generator, augmentation)
    if augmentation.focus:
        x = _focus(x, generator)
    x = x.clamp(0, 1) * 255
    return _jpeg(x, generator) if augmentation.jpeg else x


def centre(crops: Tensor, size: int) -> Tensor:
    """uint8 (N, size / SEEN, size / SEEN, 3) → float32 (N, 3, size, size): what the network sees without a change."""
    margin = (crops.shape[1] - size) // 2
    return crops[:, margin : margin + size, margin : margin + size].permute(0, 3, 1, 2).float()


def _uniform(generator: torch.Generator, like: Tensor, low: float, high: float, *shape: int) -> Tensor:
    return torch.rand(len(like), *shape, generator=generator, device=like.device) * (high - low) + low


def _some(generator: torch.Generator, like: Tensor, share: float) -> Tensor:
    """Indices of a random part of the crops, at least one."""
    return torch.randperm(len(like), generator=generator, device=like.device)[: max(1, round(share * len(like)))]


def _turn(x: Tensor, generator: torch.Generator, size: int, much: bool) -> Tensor:
    amount = 1.0 if much else 0.0
    angle = amount * _uniform(generator, x, -math.pi, math.pi)
    zoom = torch.exp(amount * _uniform(generator, x, -0.26, 0.26)) * SEEN
    aspect = torch.exp(amount * _uniform(generator, x, -0.1, 0.1))
    flip = torch.where(amount * _uniform(generator, x, 0, 1) > 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    shift = amount * _uniform(generator, x, -0.08, 0.08, 2)
    matrix = torch.stack(
        [
            torch.stack([cos * zoom * aspect * flip, -sin * zoom / aspect, shift[:, 0]], dim=1),
            torch.stack([sin * zoom * aspect * flip, cos * zoom / aspect, shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(matrix, [len(x), 3, size, size], align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _recolour(x: Tensor, generator: torch.Generator, augmentation: Augmentation) -> Tensor:
    """What stain, lamp and camera do to colour: one linear map in optical density, then one in grey levels."""
    density = -torch.log(x.clamp(1 / 255, 1)).flatten(2)
    mix = torch.eye(3, device=x.device).expand(len(x), 3, 3)
    offset = torch.zeros(len(x), 3, 1, device=x.device)
    if augmentation.swap:
        mix, offset = _swap(density, generator)
    if augmentation.stain:
        stains = torch.tensor(_STAINS, device=x.device)
        stains = stains / stains.norm(dim=1, keepdim=True)
        tilted = stains + _uniform(generator, x, -0.07, 0.07, 3, 3)
        strength = torch.exp(_uniform(generator, x, -0.35, 0.35, 3, 1))
        jitter = (torch.linalg.inv(stains) @ (tilted * strength)).transpose(1, 2)
        mix, offset = jitter @ mix, jitter @ offset
    if not augmentation.light:
        return torch.exp(-(mix @ density + offset)).view_as(x)
    gamma = torch.exp(_uniform(generator, x, -0.3, 0.3, 1, 1))
    tint = _uniform(generator, x, -0.14, 0.14, 3, 1) + _uniform(generator, x, -0.25, 0.12, 1, 1)
    grey = torch.exp(-torch.baddbmm(offset * gamma - tint, mix * gamma, density)).clamp_(0, 1.5)
    contrast = _uniform(generator, x, 0.7, 1.15, 1, 1)
    saturation = _uniform(generator, x, 0.6, 1.3, 1, 1)
    saturate = saturation * torch.eye(3, device=x.device) + (1 - saturation) / 3
    mean = saturate @ grey.mean(dim=2, keepdim=True)
    return torch.baddbmm((1 - contrast) * mean, contrast * saturate, grey).view_as(x)


def _swap(density: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The linear map that carries half of the crops' colours some way towards another crop's.

    It carries mean and covariance of one to those of the other with the least movement (Pitié and Kokaram 2007), which
    breaks the link between a slide's colour and the class that it happens to hold.

    :param density: (N, 3, pixels).
    :returns: (N, 3, 3), (N, 3, 1).
    """
    n = len(density)
    mean = density.mean(dim=2, keepdim=True)
    spread = density - mean
    covariance = spread @ spread.transpose(1, 2) / spread.shape[2] + 1e-4 * torch.eye(3, device=density.device)
    other = torch.randperm(n, generator=generator, device=density.device)
    root = _root(covariance)
    inverse = torch.linalg.inv(root)
    carry = inverse @ _root(root @ covariance[other] @ root) @ inverse
    way = _uniform(generator, density, 0, 1, 1, 1) * (_uniform(generator, density, 0, 1, 1, 1) < 0.5)
    mix = way * carry + (1 - way) * torch.eye(3, device=density.device)
    return mix, way * mean[other] + (1 - way) * mean - mix @ mean


def _root(matrices: Tensor) -> Tensor:
    """Symmetric square root of symmetric positive matrices (N, 3, 3)."""
    values, vectors = torch.linalg.eigh(matrices)
    root: Tensor = vectors @ torch.diag_embed(values.clamp(min=1e-8).sqrt()) @ vectors.transpose(1, 2)
    return root


def _focus(x: Tensor, generator: torch.Generator) -> Tensor:
    """Blur in half of the crops, in proportion to their size; sensor noise in half."""
    blurred = _some(generator, x, 0.5)
    part = x[blurred]
    sigma = _uniform(generator, part, 0.3, 1.3) * x.shape[-1] / 96
    offsets = torch.arange(-3.0, 4.0, device=x.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    flat = functional.pad(part, (3, 3, 3, 3), mode="replicate").flatten(0, 1)[None]
    flat = functional.conv2d(flat, kernel[:, None, None, :], groups=flat.shape[1])
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=flat.shape[1])
    x = x.index_copy(0, blurred, flat.view_as(part))
    noisy = _some(generator, x, 0.5)
    part = x[noisy]
    noise = torch.randn(part.shape, generator=generator, device=x.device)
    return x.index_add(0, noisy, noise * _uniform(generator, part, 0, 0.03, 1, 1, 1))


_LUMA = torch.tensor([[0.114, 0.587, 0.299], [0.5, -0.3313, -0.1687], [-0.0813, -0.4187, 0.5]])
"""BGR → Y, Cb, Cr (JFIF 1.02)."""
_GREYS = torch.linalg.inv(_LUMA)
"""And back."""
_FREQUENCY = torch.tensor(
    [
        [math.sqrt((1 if k == 0 else 2) / 8) * math.cos(math.pi * (2 * n + 1) * k / 16) for n in range(8)]
        for k in range(8)
    ]
)
"""Orthonormal cosine transform of 8 samples."""


def _jpeg(x: Tensor, generator: torch.Generator) -> Tensor:
    """A quarter of the crops, quantised in 8×8 blocks as JPEG does; the table grows linearly with frequency."""
    chosen = _some(generator, x, 0.25)
    part = x[chosen]
    n, _, height, width = part.shape
    luma, frequency = _LUMA.to(x.device), _FREQUENCY.to(x.device)
    planes = torch.einsum("ij,njhw->nihw", luma, part - 128).reshape(n, 3, height // 8, 8, width // 8, 8)
    steps = torch.arange(8.0, device=x.device)
    coarse = torch.exp(_uniform(generator, part, math.log(1.0), math.log(8.0)))
    table = coarse[:, None, None, None] * (1 + 0.6 * (steps[:, None] + steps))
    table = table * torch.tensor([1.0, 1.6, 1.6], device=x.device)[:, None, None]
    table = table[:, :, None, :, None, :]
    blocks = torch.einsum("ka,lb,ncyaxb->ncykxl", frequency, frequency, planes)
    blocks = torch.round(blocks / table) * table
    planes = torch.einsum("ka,lb,ncykxl->ncyaxb", frequency, frequency, blocks).reshape(n, 3, height, width)
    back = torch.einsum("ij,njhw->nihw", _GREYS.to(x.device), planes) + 128
    return x.index_copy(0, chosen, back.clamp(0, 255))
