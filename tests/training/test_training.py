from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: nothing can be trained")

from edge_wbc.errors import ModelError, SourceError  # noqa: E402
from edge_wbc.vision.crop import crop  # noqa: E402
from tests.data import class_folders  # noqa: E402
from training import weights  # noqa: E402
from training.augment import Augmentation, _swap, augment, centre  # noqa: E402
from training.crops import box_of, run_time_crops, stored_crops  # noqa: E402
from training.datasets import Sample, read_class_folders  # noqa: E402
from training.leukonet import CROP_PX, Architecture, Leukonet, as_input, normalise_crop  # noqa: E402
from training.train import Recipe, arithmetic, fit, labels_in, sampling_weights  # noqa: E402


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
    stored = centre(torch.from_numpy(stored_crops(samples, lambda done: None)), CROP_PX)
    live = as_input(torch.from_numpy(run_time_crops(samples, lambda done: None)))
    assert stored.shape == live.shape
    assert float((stored - live).abs().mean()) < 6


def test_crops_are_those_of_the_one_crop_function(folders):
    from edge_wbc.sources.files import read_image

    samples = read_class_folders(folders)[:2]
    pixels = read_image(samples[1].path)
    assert np.array_equal(
        run_time_crops(samples, lambda done: None)[1], crop(pixels, box_of(pixels, samples[1]), CROP_PX)
    )


def test_augmentation_keeps_shape_and_range_and_follows_its_generator():
    crops = torch.randint(0, 256, (4, 96, 96, 3), dtype=torch.uint8)
    one = augment(crops, torch.Generator().manual_seed(1), 64)
    same = augment(crops, torch.Generator().manual_seed(1), 64)
    other = augment(crops, torch.Generator().manual_seed(2), 64)
    assert one.shape == (4, 3, 64, 64)
    assert float(one.min()) >= 0
    assert float(one.max()) <= 255
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_lamp_camera_and_strength_of_the_stain_vanish_in_the_normalisation():
    torch.manual_seed(0)
    x = torch.rand(2, 3, 32, 32) * 120 + 60
    other = x * torch.tensor([0.7, 0.9, 1.3]).reshape(1, 3, 1, 1)
    assert float((normalise_crop(x) - normalise_crop(other)).abs().max()) < 0.01
    faint = 180 + (x - 180) * 0.6
    assert float((normalise_crop(faint).std() - normalise_crop(x).std()).abs()) < 0.01
    grey = x.mean(dim=1, keepdim=True).expand_as(x)
    assert float((normalise_crop(x) - normalise_crop(grey)).abs().max()) > 0.2


def test_black_corners_take_no_part_in_the_normalisation():
    torch.manual_seed(0)
    x = torch.rand(1, 3, 32, 32) * 120 + 60
    cornered = x.clone()
    cornered[:, :, :8, :8] = 3
    normalised = normalise_crop(cornered)
    assert float(normalised[:, :, :8, :8].abs().max()) == 0
    assert float((normalised - normalise_crop(x))[:, :, 8:, 8:].abs().max()) < 0.2
    assert torch.isfinite(normalise_crop(torch.zeros(1, 3, 24, 24))).all()


def test_swapped_colours_are_those_of_another_crop():
    """Half of the crops move towards the colours of others; the rest stay as they are."""
    torch.manual_seed(0)
    density = torch.rand(64, 3, 100) * torch.linspace(0.2, 1, 64)[:, None, None]
    mix, offset = _swap(density, torch.Generator().manual_seed(3))
    moved = mix @ density + offset
    changed = (moved - density).abs().amax(dim=(1, 2)) > 1e-4
    assert 16 < int(changed.sum()) < 48
    spread = density.std(dim=2).mean(dim=1)
    assert float(moved.std(dim=2).mean(dim=1).min()) > 0.9 * float(spread.min())
    assert float(moved.std(dim=2).mean(dim=1).max()) < 1.1 * float(spread.max())


@pytest.mark.parametrize("name", [field.name for field in fields(Augmentation)])
def test_each_change_can_be_left_out_and_does_something(name):
    torch.manual_seed(0)
    crops = torch.randint(60, 200, (8, 144, 144, 3), dtype=torch.uint8)
    nothing = Augmentation(*[False] * len(fields(Augmentation)))
    plain = augment(crops, torch.Generator().manual_seed(1), 96, nothing)
    assert float((plain - centre(crops, 96)).abs().mean()) < 0.5
    one = augment(crops, torch.Generator().manual_seed(1), 96, replace(nothing, **{name: True}))
    assert float((one - plain).abs().mean()) > 0.1


def test_sampling_shares_weight_by_source_and_class_then_group_then_image():
    samples = (
        [sample("neutrophil", "a/1")] * 9 + [sample("neutrophil", "a/2")] * 1 + [sample("monocyte", "b/1", "b")] * 10
    )
    weighed = sampling_weights(samples).tolist()
    assert sum(weighed) == pytest.approx(1)
    assert sum(weighed[:9]) == pytest.approx(weighed[9])
    assert sum(weighed[:10]) == pytest.approx(sum(weighed[10:]))


def test_turned_copies_of_few_photographs_weigh_less_than_as_many_others():
    copies = [sample("neutrophil", f"a/{i % 5}", "kaggle") for i in range(500)]
    others = [sample("neutrophil", f"b/{i}", "pbc") for i in range(500)]
    weighed = sampling_weights(copies + others).tolist()
    assert sum(weighed[:500]) == pytest.approx(1 / 3)


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
        said = network(centre(torch.from_numpy(crops), CROP_PX)).argmax(1)
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
    crops = as_input(torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8))
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


@pytest.mark.parametrize(
    ("able", "expected"), [({"avx2": True}, "float32"), ({"avx512_f": True, "avx512_bf16": True}, "bfloat16")]
)
def test_half_precision_only_where_the_processor_computes_in_it(monkeypatch, able, expected):
    """Emulated, a step takes eleven times as long."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert arithmetic(torch.device("cpu")) == expected
