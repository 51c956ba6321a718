"""TensorRT is not here: the calibrator is held against a double with the signatures of the real bindings."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import struct
import sys
from types import ModuleType

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no graph can be read")
pytest.importorskip("torch", reason="torch is not installed: training's files can't be used")
hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")

from hypothesis import given, strategies  # noqa: E402

from calibration.body import body  # noqa: E402
from calibration.cache import Cache, cache_text, cached_tensors, calibrator, read_cache  # noqa: E402
from calibration.observe import observe, range_of  # noqa: E402
from calibration.quantize import quantised_tensors  # noqa: E402
from calibration.view import View  # noqa: E402
from edge_wbc.errors import EnvironmentMissing, ModelError, UsageError  # noqa: E402
from tests.data import REAL  # noqa: E402

BINDINGS = REAL.parent / "reference" / "tensorrt_api"
TENS = ("10.3.0", "10.13.3", "10.16.1")
TEXT = "TRT-100300-EntropyCalibration2\nstem.out: 3c010204\nlogits: 3f800000\n"


def ignore(done):
    pass


def test_the_text_is_tensorrts():
    """Scale 1 is 3f800000, 2⁻¹⁴⁰ has leading zeros."""
    text = cache_text({"a": 127.0, "b/c:0": 127 * 2.0**-140}, "10.3.0")
    assert text == "TRT-100300-EntropyCalibration2\na: 3f800000\nb/c:0: 00000200\n"


@pytest.mark.parametrize(("version", "number"), [("10.13.3", "101303"), ("10.16.2.10", "101602"), ("10.3.0", "100300")])
def test_the_version_stands_in_the_first_line(version, number):
    assert cache_text({"a": 1.0}, version).startswith(f"TRT-{number}-EntropyCalibration2\n")
    assert version.startswith(read_cache(cache_text({"a": 1.0}, version)).version)


NAMES = strategies.text(
    strategies.characters(exclude_categories=("Cs",), exclude_characters="\r\n") | strategies.sampled_from(": /"),
    min_size=1,
)
RANGES = strategies.dictionaries(NAMES, strategies.floats(2.0**-120, 2.0**120, allow_subnormal=False), min_size=1)


@given(RANGES, strategies.tuples(strategies.integers(0, 99), strategies.integers(0, 99)))
def test_what_is_written_is_read(ranges, minor):
    version = f"10.{minor[0]}.{minor[1]}"
    text = cache_text(ranges, version)
    read = read_cache(text)
    assert read.version == version
    assert list(read.ranges) == list(ranges)
    assert all(read.ranges[name] == pytest.approx(ranges[name], rel=1e-7) for name in ranges)
    assert cache_text(read.ranges, version) == text


def refusal(content):
    """Why a text is refused; empty if it is read, and written again as it was."""
    try:
        read = read_cache(content)
    except ModelError as error:
        return str(error)
    assert cache_text(read.ranges, read.version) == content.removesuffix("\n") + "\n"
    return ""


@given(strategies.text() | strategies.from_regex(r"(\w: [0-9a-f]{8}\n)+", fullmatch=True))
def test_any_text_is_read_to_the_letter_or_refused_in_a_line(text):
    for content in (text, f"TRT-100300-EntropyCalibration2\n{text}", TEXT + text):
        assert len(refusal(content).splitlines()) <= 1


@given(strategies.integers(0, len(TEXT) - 2))
def test_a_cache_cut_short_anywhere_but_behind_a_line_is_refused(length):
    whole_lines = [len(TEXT) - 18, len(TEXT) - 17]
    if length in whole_lines:
        assert list(read_cache(TEXT[:length]).ranges) == ["stem.out"]
    else:
        with pytest.raises(ModelError):
            read_cache(TEXT[:length])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no calibration cache"),
        (TEXT.replace("EntropyCalibration2", "MinMaxCalibration"), "no calibration cache of EntropyCalibration2"),
        (TEXT.replace("100300", "110400"), "another TensorRT than 10"),
        (TEXT.replace("100300", "8502"), "another TensorRT than 10"),
        (TEXT.replace("3c010204", "3c0102"), "line 2 is 'stem.out: 3c0102'"),
        (TEXT.replace("3f800000", "7fc00000"), "line 3"),
        (TEXT.replace("3f800000", "7f800000"), "line 3"),
        (TEXT.replace("3f800000", "bf800000"), "line 3"),
        (TEXT.replace("3f800000", "00000000"), "line 3"),
        (TEXT.replace("logits", "stem.out"), "line 3"),
        (TEXT + "\n", "line 4 is ''"),
        ("TRT-100300-EntropyCalibration2\n", "without a tensor"),
    ],
)
def test_a_damaged_cache_is_refused_with_the_line(text, said):
    read_cache(TEXT)
    with pytest.raises(ModelError, match=re.escape(said)):
        read_cache(text)


@pytest.mark.parametrize("largest", [0.0, -1.0, float("nan"), float("inf"), 1e300, 1e-60])
def test_a_range_that_gives_no_scale_is_refused(largest):
    with pytest.raises(ModelError, match="a has the range"):
        cache_text({"a": largest}, "10.3.0")


@pytest.mark.parametrize("name", ["", "a\nb", "a\r"])
def test_a_name_that_breaks_the_lines_is_refused(name):
    with pytest.raises(ModelError, match="rename it"):
        cache_text({name: 1.0}, "10.3.0")


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("11.4.1", "reads no calibration cache; make an INT8 graph with `edge-wbc calibrate`"),
        ("8.5.2", "not known"),
        ("10.100.0", "not known"),
        ("10.3", "no version of TensorRT"),
        ("ten", "no version of TensorRT"),
    ],
)
def test_another_tensorrt_is_refused(version, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        cache_text({"a": 1.0}, version)


def test_every_layer_of_the_body_finds_both_its_sides_and_no_other_layer_does(model):
    floats = onnx.load(model.graph)
    tensors = cached_tensors(floats)
    view = View(floats)
    inside = {node.name for node in body(view)}
    assert {"stem", "stage3.block2.add", "pool"} <= inside
    for node in view.nodes:
        sides = {name for name in (*node.input, *node.output) if name not in view.constants}
        assert (sides <= set(tensors)) == (node.name in inside), node.name
    assert set(quantised_tensors(floats)) <= set(tensors)
    assert view.constants.keys().isdisjoint(tensors)
    assert (tensors[0], len(tensors)) == ("input.normalised.out", len(set(tensors)))


def test_the_ranges_of_the_shipped_graph_make_a_cache(model, crops):
    floats = onnx.load(model.graph)
    held = observe(floats, cached_tensors(floats), crops, ignore)
    ranges = {name: range_of(item, "mse") for name, item in held.items()}
    lines = cache_text(ranges, "10.3.0").splitlines()
    assert len(lines) == 1 + len(ranges)
    digits = next(line for line in lines if line.startswith("stem.out: ")).removeprefix("stem.out: ")
    assert struct.unpack(">f", bytes.fromhex(digits))[0] == pytest.approx(ranges["stem.out"] / 127, rel=1e-6)


def test_a_graph_without_layers_to_speed_up_is_refused(model):
    floats = onnx.load(model.graph)
    nodes = [node for node in floats.graph.node if node.name == "input.cast"]
    del floats.graph.node[:], floats.graph.output[:]
    floats.graph.node.extend(nodes)
    floats.graph.output.append(
        onnx.helper.make_tensor_value_info("input.cast.out", onnx.TensorProto.FLOAT, ["N", 64, 64, 3])
    )
    with pytest.raises(ModelError, match="no layer of this graph"):
        cached_tensors(floats)


def arity(signature):
    """How many arguments a signature of the bindings takes, self among them."""
    inside = signature[signature.index("(") + 1 : signature.rindex(") ->")]
    return len(re.sub(r"\[[^]]*\]", "", inside).split(","))


def double(version):
    """A module ``tensorrt`` with the version's calibrator, whose subclasses must fit its signatures."""
    path = BINDINGS / f"{version}.json"
    if not path.is_file():
        pytest.skip("the dumps of the bindings (../shared/reference) are not here")
    dumped = json.loads(path.read_text())
    found = ModuleType("tensorrt")
    found.__version__ = dumped["version"]
    described = dumped["classes"].get("IInt8EntropyCalibrator2")
    if described is not None:
        wanted = {name: arity(item["signatures"][0]) for name, item in described["members"].items()}

        class Base:
            made = False

            def __init_subclass__(cls):
                for name, arguments in wanted.items():
                    own = vars(cls).get(name)
                    assert own or name == "get_algorithm", f"{name} is not there"
                    assert own is None or len(inspect.signature(own).parameters) == arguments, name

            def __init__(self):
                self.made = True

        found.IInt8EntropyCalibrator2 = Base
    return found


@pytest.fixture
def tensorrt(monkeypatch):
    def install(version):
        module = double(version)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        return module

    return install


@pytest.mark.parametrize("version", TENS)
def test_the_calibrator_serves_whole_batches_and_writes_what_tensorrt_found(tensorrt, crops, tmp_path, version):
    module = tensorrt(version)
    sent = []

    def upload(batch):
        sent.append(batch)
        return 4096 + len(sent)

    path = tmp_path / "x.cache"
    found = calibrator(crops[:40], path, upload)
    assert isinstance(found, module.IInt8EntropyCalibrator2)
    assert found.made  # the bindings want their own __init__ called
    assert found.get_batch_size() == 16
    assert found.read_calibration_cache() is None
    assert [found.get_batch(["crops"]) for _ in range(4)] == [[4097], [4098], [], []]
    assert {batch.dtype for batch in sent} == {np.dtype("f4")}
    assert all(batch.flags.c_contiguous for batch in sent)
    assert np.array_equal(np.concatenate(sent), crops[:32])
    content = cache_text({"a": 1.0}, version).encode()
    found.write_calibration_cache(memoryview(content))
    assert path.read_bytes() == content
    assert calibrator(crops, path, upload).read_calibration_cache() == content


def test_few_crops_are_one_batch(tensorrt, crops, tmp_path):
    tensorrt("10.3.0")
    found = calibrator(crops[:5], tmp_path / "x.cache", len)
    assert (found.get_batch_size(), found.get_batch(["crops"]), found.get_batch(["crops"])) == (5, [5], [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode(), "made for TensorRT 10.3.0, here is 10.13.3.9; delete it"),
        (TEXT.replace("3c010204", "").encode(), "a damaged calibration cache: line 2"),
        (b"\xff\xfe", "no calibration cache"),
    ],
)
def test_a_cache_that_does_not_fit_is_refused_before_tensorrt_asks(tensorrt, crops, tmp_path, content, said):
    tensorrt("10.13.3")
    path = tmp_path / "x.cache"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=re.escape(f"{path}: {said}")):
        calibrator(crops, path, len)


def test_a_folder_is_no_cache(tensorrt, crops, tmp_path):
    tensorrt("10.3.0")
    with pytest.raises(ModelError, match="can't be read"):
        calibrator(crops, tmp_path, len)


def test_tensorrt_11_and_no_tensorrt_are_told_what_to_do(tensorrt, crops, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EnvironmentMissing, match="comes with JetPack"):
        calibrator(crops, tmp_path / "x.cache", len)
    tensorrt("11.4.0")
    with pytest.raises(EnvironmentMissing, match=r"TensorRT 11\.4\.0\.106 has no calibrators; make an INT8 graph with"):
        calibrator(crops, tmp_path / "x.cache", len)


def test_importing_does_not_touch_tensorrt(monkeypatch):
    class Trap(ModuleType):
        def __getattr__(self, name):
            raise AssertionError(f"tensorrt.{name} was asked for")

    monkeypatch.setitem(sys.modules, "tensorrt", Trap("tensorrt"))
    monkeypatch.delitem(sys.modules, "calibration.cache")
    assert importlib.import_module("calibration.cache").Cache is not Cache
