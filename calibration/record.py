"""A graph of lower precision and its manifest: what it came from, how it was made, what it lost."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from calibration.calibrate import Cells, Judged, Tried
from calibration.frames import SOURCE as UNLABELLED
from calibration.gate import LARGEST_LOSS, LEAST_AGREEMENT
from calibration.sampling import listed
from calibration.view import View
from edge_wbc.files import write_whole
from edge_wbc.manifest import Manifest, Model, manifest_path, sha256, write_manifest
from training.evaluate import by_part, scored_from, stored


def how_int8(best: Tried, cells: Cells, root: Path, seed: int) -> dict[str, Any]:
    """What an INT8 manifest says of its ranges."""
    rows = listed(cells.calibrating, root)
    return {
        "method": best.method,
        "floating": best.floating,
        "seed": seed,
        "images": len(rows),
        "per_class": dict(sorted(Counter(sample.label for sample in cells.calibrating).items())),
        "list_sha256": hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
        "list": rows,
    }


def write_lowered(
    out: Path,
    model: Model,
    precision: Literal["fp16", "int8"],
    judged: Judged,
    cells: Cells,
    how: dict[str, Any],
) -> Model:
    """Write a graph of lower precision and its manifest; its accuracy is its own, and stands there where locked groups
    judged.

    :param how: becomes the manifest's ``calibration``.
    :raises OutputFailed: can't be written.
    """
    content = judged.graph.SerializeToString(deterministic=True)
    write_whole(out, content, "make room, then start the same command again")
    given = model.manifest
    parity = {
        "against": {"graph": given.graph.file, "sha256": given.graph.sha256, "precision": given.graph.precision},
        "crops_from": "locked groups" if cells.locked else "cells that did not calibrate",
        "labels_from": "the fp32 graph" if cells.judging[0].source == UNLABELLED else "the data",
        "gate": {"least_agreement": LEAST_AGREEMENT, "largest_loss_of_recall": LARGEST_LOSS},
        **asdict(judged.gate),
        "same_label_in": judged.same_label,
    }
    manifest = given.model_copy(
        update={
            "model": given.model.model_copy(update={"name": out.stem}),
            "graph": given.graph.model_copy(
                update={
                    "file": out.name,
                    "sha256": sha256(out),
                    "precision": precision,
                    "opset": View(judged.graph).opset,
                }
            ),
            "parity": parity,
            "metrics": _metrics(given, judged, cells) if cells.locked else {},
            "calibration": how,
        }
    )
    write_manifest(manifest_path(out), manifest)
    return Model(manifest, out)


def _metrics(given: Manifest, judged: Judged, cells: Cells) -> dict[str, Any]:
    """By source, as ``export --data`` gives them for fp32 graphs, calibration errors and thresholds aside."""
    labels = given.labels
    scored = scored_from(cells.judging, judged.probabilities, labels.names, labels.unidentified_below)
    on = "locked groups, cell mode; pbc is split by image, so its figures are optimistic"
    return {"on": on, **{name: stored(part) for name, part in by_part(scored).items()}}
