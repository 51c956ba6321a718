from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: nothing can be trained")

from edge_wbc.errors import ModelError, SourceError  # noqa: E402
from edge_wbc.vision.crop import crop  # noqa: E402
from tests.data import class_folders  # noqa: E402
from training import weights  # noqa: E402
from training.augment import STORED_PX, augment, centre  # noqa: E402
from training.crops import box_of, run_time_crops, stored_crops  # noqa: E402
from training.datasets import Sample, read_class_folders  # noqa: E402
from training.leukonet import CROP_PX, Architecture, Leukonet, normalise  # noqa: E402
from training.train import Recipe, fit, labels_in, sampling_weights  # noqa: E402


@pytest.fixture
def folders(tmp_path):
    return class_folders(tmp_path / "cells", ("neutrophil", "lymphocyte"), 8)


@pytest.fixture
def small():
    torch.manual_seed(0)
    return Leukonet(Architecture(2, stem=32, widths=(32, 32), blocks=(1, 1))).eval()


def sample(label, group, source="a"):
    return Sample(None, label, source, group, None)  # type: ignore[arg-type]


def test_the_centre_of_a_stored_crop_is_the_run_time_crop(folders):
    """At the same scale but for rounding: the difference stays within what one pixel of shift makes."""
    samples = read_class_folders(folders)
    stored = centre(stored_crops(samples, lambda done: None))
    live = run_time_crops(samples, lambda done: None)
    assert stored.shape == live.shape
    assert np.abs(stored.astype(int) - live).mean() < 6


def test_crops_are_those_of_the_one_crop_function(folders):
    from edge_wbc.sources.files import read_image

    samples = read_class_folders(folders)[:2]
    pixels = read_image(samples[1].path)
    assert np.array_equal(
        run_time_crops(samples, lambda done: None)[1], crop(pixels, box_of(pixels, samples[1]), CROP_PX)
    )


def test_augmentation_keeps_shape_and_range_and_follows_its_generator():
    crops = torch.randint(0, 256, (4, STORED_PX, STORED_PX, 3), dtype=torch.uint8)
    one = augment(crops, torch.Generator().manual_seed(1))
    same = augment(crops, torch.Generator().manual_seed(1))
    other = augment(crops, torch.Generator().manual_seed(2))
    assert one.shape == (4, CROP_PX, CROP_PX, 3)
    assert float(one.min()) >= 0
    assert float(one.max()) <= 255
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_sampling_shares_weight_by_source_and_class_then_group_then_image():
    samples = (
        [sample("neutrophil", "a/1")] * 9 + [sample("neutrophil", "a/2")] * 1 + [sample("monocyte", "b/1", "b")] * 10
    )
    weighed = sampling_weights(samples).tolist()
    assert sum(weighed) == pytest.approx(1)
    assert sum(weighed[:9]) == pytest.approx(weighed[9])
    assert sum(weighed[:10]) == pytest.approx(sum(weighed[10:]))


def test_labels_keep_the_projects_order_and_one_class_is_refused():
    assert labels_in([sample("monocyte", "a/1"), sample("neutrophil", "a/2")]) == ("neutrophil", "monocyte")
    with pytest.raises(SourceError, match="two classes"):
        labels_in([sample("monocyte", "a/1")])


def test_training_learns_to_tell_two_drawn_classes_apart(folders):
    samples = read_class_folders(folders)
    crops = stored_crops(samples, lambda done: None)
    steps = []
    network, labels = fit(crops, samples, Recipe(steps=40, batch=16, warmup_steps=5, average=0.8), steps.append)
    with torch.no_grad():
        said = network(normalise(torch.from_numpy(centre(crops).copy()))).argmax(1)
    right = sum(labels[int(i)] == s.label for i, s in zip(said, samples, strict=True))
    assert right >= 15
    assert steps[-1].step == 40
    assert steps[-1].loss < steps[0].loss


def test_training_is_repeatable(folders):
    samples = read_class_folders(folders)
    crops = stored_crops(samples, lambda done: None)
    recipe = Recipe(steps=2, batch=4, warmup_steps=1)
    (one, _), (two, _) = (fit(crops, samples, recipe, lambda step: None) for _ in range(2))
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_loss_that_is_no_number_is_refused(folders):
    samples = read_class_folders(folders)
    crops = stored_crops(samples, lambda done: None)
    with pytest.raises(SourceError, match="no longer a number"):
        fit(crops, samples, Recipe(steps=5, batch=4, warmup_steps=1, learning_rate=1e30), lambda step: None)


def test_weights_come_back_as_they_were_written(tmp_path, small):
    path = tmp_path / "w.safetensors"
    weights.save(path, small, ("neutrophil", "monocyte"), {"seed": 3})
    loaded, labels, record = weights.load(path)
    crops = normalise(torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8))
    assert torch.equal(loaded(crops), small(crops))
    assert labels == ("neutrophil", "monocyte")
    assert record == {"seed": 3}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_plain_tensors_of_a_pt_file_are_read_with_any_usual_prefix(tmp_path, prefix):
    network = Leukonet(Architecture(2)).eval()
    state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state, "labels": ["neutrophil", "monocyte"]}, tmp_path / "w.pt")
    loaded, labels, _ = weights.load(tmp_path / "w.pt")
    assert labels == ("neutrophil", "monocyte")
    assert torch.equal(loaded.head.weight, network.head.weight)


class _Unsafe:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"state_dict": _Unsafe(), "labels": []}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="without running code"):
        weights.load(tmp_path / "w.pt")
    assert capsys.readouterr().out == ""


def test_bad_weights_are_refused_in_one_line(tmp_path, small):
    with pytest.raises(ModelError, match="no such file"):
        weights.load(tmp_path / "none.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(ModelError, match="not a safetensors file"):
        weights.load(tmp_path / "junk.safetensors")
    with torch.no_grad():
        small.head.weight[0, 0] = float("nan")
    weights.save(tmp_path / "nan.safetensors", small, ("neutrophil", "monocyte"), {})
    with pytest.raises(ModelError, match="not finite"):
        weights.load(tmp_path / "nan.safetensors")
