"""Weights on disk: safetensors with the architecture, the labels and the training record in the metadata."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from edge_wbc.errors import ModelError
from edge_wbc.files import write_whole
from training.leukonet import Architecture, Leukonet

_PREFIXES = ("module.", "_orig_mod.")


def save(path: Path, network: Leukonet, labels: tuple[str, ...], record: dict[str, Any]) -> None:
    """Write atomically: a file under the final name is always whole.

    :raises OutputFailed: it can't be written.
    """
    metadata = {
        "architecture": json.dumps(asdict(network.architecture)),
        "labels": json.dumps(labels),
        "record": json.dumps(record),
    }
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_whole(path, to_bytes(state, metadata), "make room, then start the same command again")


def load(path: Path) -> tuple[Leukonet, tuple[str, ...], dict[str, Any]]:
    """Network in evaluation mode, its labels and its training record.

    ``.pt`` and ``.pth`` files are read as plain tensors only and must hold ``state_dict`` and ``labels``.

    :raises ModelError: not readable without running code from the file, or not leukonet's weights.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give the weights that `edge-wbc train` wrote")
    state, labels, architecture, record = _load_safetensors(path) if path.suffix == ".safetensors" else _load_pt(path)
    network = Leukonet(architecture)
    try:
        network.load_state_dict({_bare(name): tensor for name, tensor in state.items()})
    except RuntimeError as error:
        raise ModelError(
            f"{path}: not leukonet's weights ({_first_line(error)}); train with `edge-wbc train`"
        ) from None
    if any(not torch.isfinite(tensor).all() for tensor in state.values()):
        raise ModelError(f"{path}: weights that are not finite numbers; train again with a lower learning rate")
    return network.eval(), labels, record


def _load_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], tuple[str, ...], Architecture, dict[str, Any]]:
    try:
        with safe_open(path, "pt") as opened:
            metadata = opened.metadata() or {}
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a safetensors file ({_first_line(error)}); write it again") from None
    if not {"architecture", "labels"} <= metadata.keys():
        raise ModelError(f"{path}: says neither architecture nor labels; write it with `edge-wbc train`")
    labels = tuple(json.loads(metadata["labels"]))
    return state, labels, _architecture(json.loads(metadata["architecture"])), json.loads(metadata.get("record", "{}"))


def _load_pt(path: Path) -> tuple[dict[str, torch.Tensor], tuple[str, ...], Architecture, dict[str, Any]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file it won't read
        raise ModelError(
            f"{path}: can't be read without running code from it ({_first_line(error)}); "
            "save {'state_dict': ..., 'labels': [...]} with torch.save, or convert to safetensors"
        ) from None
    if not isinstance(content, dict) or not {"state_dict", "labels"} <= content.keys():
        raise ModelError(f"{path}: must hold 'state_dict' and 'labels'; save both with torch.save")
    labels = tuple(content["labels"])
    given = content.get("architecture")
    return content["state_dict"], labels, _architecture(given) if given else Architecture(len(labels)), {}


def _architecture(fields: dict[str, Any]) -> Architecture:
    known: dict[str, Any] = {
        field: tuple(value) if isinstance(value, list) else value for field, value in fields.items()
    }
    return Architecture(**{"size": 96, "normalisation": "fixed", **known})


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
