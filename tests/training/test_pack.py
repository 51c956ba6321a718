from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: nothing can be trained")

from edge_wbc.errors import SourceError, UsageError
from edge_wbc.types import Box
from tests.data import drawn_cell
from training.check import cells_sha256
from training.datasets import Sample
from training.pack import read_pack, write_pack

ROOT = Path("/data")
PX = 96


def nothing(done):
    pass


def cells(count):
    """Cells with and without boxes, with crops that differ."""
    samples = [
        Sample(
            ROOT / f"é, {i}.png", ("neutrophil", "monocyte")[i % 2], "a", f"a/{i}", Box(i, 2, 3, 4) if i % 3 else None
        )
        for i in range(count)
    ]
    size = (PX, PX)
    return samples, [i % 5 == 0 for i in range(count)], np.stack([drawn_cell(i, 1 + i % 3, size) for i in range(count)])


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    path = tmp_path_factory.mktemp("pack") / "p.pack"
    content = cells(123)
    return path, content, write_pack(path, *content, ROOT, nothing)


def test_what_was_packed_comes_back(packed):
    path, (samples, locked, crops), written = packed
    pack = read_pack(path)
    assert (pack.quality, written.quality, written.error) == (101, 101, 0.0)
    assert np.array_equal(pack.crops, crops)
    assert pack.locked == locked
    assert [sample.path for sample in pack.samples] == [sample.path.relative_to(ROOT) for sample in samples]
    assert [(s.label, s.source, s.group, s.box) for s in pack.samples] == [
        (s.label, s.source, s.group, s.box) for s in samples
    ]
    assert cells_sha256(pack.samples, Path()) == cells_sha256(samples, ROOT)
    assert path.stat().st_size == written.bytes


def test_the_same_cells_give_the_same_bytes(packed, tmp_path):
    path, content, _ = packed
    write_pack(tmp_path / "again", *content, ROOT, nothing)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_quality_gives_way_to_the_limit(packed, tmp_path):
    _, content, lossless = packed
    limit = lossless.bytes // 3
    written = write_pack(tmp_path / "p", *content, ROOT, nothing, most_bytes=limit)
    assert written.bytes == (tmp_path / "p").stat().st_size <= limit
    assert written.quality < 101
    off = np.abs(read_pack(tmp_path / "p").crops.astype(int) - content[2]).mean()
    assert off == pytest.approx(written.error)
    assert 0 < off < 6
    with pytest.raises(UsageError, match="pack fewer"):
        write_pack(tmp_path / "q", *content, ROOT, nothing, most_bytes=20_000)
    assert not (tmp_path / "q").exists()


def rewritten(path, target, change):
    """A copy of a pack, each member put through ``change(name, data)``; None leaves it out."""
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            data = change(name, before.read(name))
            if data is not None:
                after.writestr(name, data)
    return target


def about(path, **fields):
    """Changes ``pack.json`` alone."""
    return lambda name, data: json.dumps({**json.loads(data), **fields}) if name == "pack.json" else data


DAMAGE = {
    "a sheet is missing": lambda name, data: None if name.endswith("0001.webp") else data,
    "a sheet is another": lambda name, data: data[:-1] + b"!" if name.endswith("0001.webp") else data,
    "a label is another": lambda name, data: data.replace(b"monocyte", b"basophil", 1) if name == "cells.csv" else data,
    "pack.json is no JSON": lambda name, data: b"{" if name == "pack.json" else data,
    "pack.json is a list": lambda name, data: b"[]" if name == "pack.json" else data,
    "more cells than there are": about(None, cells=124),
    "crops of another size": about(None, crop_px=144),
    "crops of no size": about(None, crop_px=10**6),
    "no number of cells": about(None, cells=None),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_pack_is_refused(packed, tmp_path, what):
    with pytest.raises(SourceError, match="damaged"):
        read_pack(rewritten(packed[0], tmp_path / "p", DAMAGE[what]))


def test_a_pack_cut_short_a_flipped_byte_and_what_is_no_pack_are_refused(packed, tmp_path):
    whole = packed[0].read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="neither a folder nor a training pack"):
        read_pack(tmp_path / "cut")
    middle = len(whole) // 2
    (tmp_path / "flipped").write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(SourceError, match="damaged"):
        read_pack(tmp_path / "flipped")


def test_a_pack_of_another_version_says_which(packed, tmp_path):
    with pytest.raises(SourceError, match="version 2, not edge-wbc training pack version 1"):
        read_pack(rewritten(packed[0], tmp_path / "p", about(None, version=2)))


def test_a_hash_that_fits_does_not_make_nonsense_a_list(packed, tmp_path):
    """Whoever writes a list can write its hash: the form is checked as well."""
    samples, locked, crops = cells(4)
    for sample in (
        Sample(ROOT / "a", "blob", "a", "a/1", None),
        Sample(ROOT / "a", "monocyte", "a", "a/1", Box(1, 2, "x", 4)),
    ):
        write_pack(tmp_path / "p", [sample, *samples[1:]], locked, crops, ROOT, nothing)
        with pytest.raises(SourceError, match="damaged"):
            read_pack(tmp_path / "p")
