"""What a benchmark writes is read again whole, and two of them are compared."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from edge_wbc.bench import results
from edge_wbc.bench.compare import compare, differing
from edge_wbc.bench.machine import identify, look
from edge_wbc.bench.results import Accuracy, Row, measured, pack, read, result, unpack, write
from edge_wbc.bench.statistics import summary
from edge_wbc.bench.trust import Doubt
from edge_wbc.cli.bench import bench
from edge_wbc.errors import InputRefused
from tests.edge_wbc.bench.trees import ORIN, SERVER
from tests.edge_wbc.bench.trees import write as tree


@pytest.fixture(scope="module")
def orin(tmp_path_factory):
    return tree(tmp_path_factory.mktemp("orin"), ORIN)


def calls(ms, rounds=8, seed=0, spread=0.02):
    rng = np.random.default_rng(seed)
    return [[int(1e6 * value) for value in rng.normal(ms, spread * ms, 50)] for _ in range(rounds)]


def row(name="openvino batch 1", ms=2.0, **others):
    accuracy = Accuracy(64, 63, 0.02, {"neutrophil": 1.0, "basophil": 0.5})
    return measured(name, {"engine": "openvino"}, calls(ms, **others), 1, accuracy=accuracy)


def made(root, *rows, **others):
    looks = look(root), look(root)
    settings = {"threads": 1, "seconds": 3.0, "garbage": "off"}
    first = {"machine": identify(root), "looks": looks, "settings": settings}
    return result("engine", smoke=False, **{**first, "rows": rows or (row(),), "doubts": (), **others})


def test_what_is_written_is_read_again_whole(orin, tmp_path):
    parts = {"enqueue": summary([0.1, 0.2, 0.3])}
    whole = replace(row(), parts=parts, told={"min": 1.0}, power_mw={"VDD_IN": 5000.0})
    failed = Row("other", {}, "ms", "lower", error="it broke")
    content = made(orin, whole, failed, doubts=(Doubt("load", "other programs took 9 %"),))
    write(tmp_path / "a.json", content)
    assert read(tmp_path / "a.json") == content
    assert content.trustworthy is False
    assert content.machine.jetson.module.startswith("NVIDIA Jetson Orin Nano")
    assert content.before.power_mode == "MAXN_SUPER"
    assert {"python", "numpy"} <= content.software.keys()


def test_every_sample_is_kept():
    samples = np.array([1_000_000, 1_000_007, 999_000, 2**40, 1], np.int64)
    assert unpack(pack(samples)).tolist() == samples.tolist()
    found = row()
    assert sum(found.calls) == len(unpack(found.packed)) == 400
    assert found.summary.percentiles["p99"] is not None
    assert len(found.packed) < 5 * 400
    with pytest.raises(ValueError, match="can't be read"):
        unpack("AAAA")


def test_a_throughput_is_of_all_crops_and_all_time():
    found = measured("x", {}, [[1_000_000, 3_000_000], [4_000_000]], crops_a_call=8)
    assert found.throughput == pytest.approx(3 * 8 / 0.008)
    assert found.rounds == (2.0, 4.0)
    assert found.median.low is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "results of schema 2, this edge-wbc reads 1; use a newer edge-wbc"),
        ({"schema": 0}, "results of schema 0, this edge-wbc reads 1; use the edge-wbc that wrote it"),
        ({"schema": None}, "no benchmark's result"),
        ({"rows": [{"name": "x"}]}, "rows.0.what: field required; measure again"),
        ({"rows": "x"}, "rows: "),
    ],
)
def test_other_files_are_refused_with_one_line(change, said, orin, tmp_path):
    content = {**results.to_json(made(orin)), **change}
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputRefused) as refused:
        read(tmp_path / "a.json")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"), [("{", "not JSON"), ("[1]", "no benchmark's result"), (None, "no such file")]
)
def test_what_is_no_result_is_refused(text, said, tmp_path):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputRefused, match=said):
        read(tmp_path / "a.json")


def test_samples_that_are_not_whole_are_refused(orin, tmp_path):
    content = results.to_json(made(orin))
    content["rows"][0]["calls"][0] += 1
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputRefused, match="the samples of openvino batch 1 are not whole"):
        read(tmp_path / "a.json")


def test_what_a_later_version_adds_is_passed_over(orin, tmp_path):
    content = results.to_json(made(orin))
    (tmp_path / "a.json").write_text(json.dumps({**content, "weather": "fine"}))
    assert read(tmp_path / "a.json").kind == "engine"


def verdicts(a, b):
    return {line.name: (line.verdict, line.past(0.05)) for line in compare(a, b)}


def test_rows_are_held_beside_each_other(orin):
    a = made(orin, row("same"), row("slow"), row("fast"), row("little", spread=0.001), row("gone"), row("fails"))
    b = made(
        orin,
        row("same", seed=5),
        row("slow", 2.4, seed=5),
        row("fast", 1.6, seed=5),
        row("little", 2.06, seed=5, spread=0.001),
        Row("fails", {}, "ms", "lower", error="it broke"),
        row("fresh"),
    )
    assert verdicts(a, b) == {
        "same": ("same", False),
        "slow": ("worse", True),
        "fast": ("better", False),
        "little": ("worse", False),
        "gone": ("missing", True),
        "fails": ("failed", True),
        "fresh": ("new", False),
    }
    (line,) = [line for line in compare(a, b) if line.name == "slow"]
    assert line.ratio.value == pytest.approx(1.2, abs=0.02)
    assert line.ratio.low > 1


def test_where_more_is_better_less_is_worse(orin):
    higher = [replace(row("rate", ms), better="higher", unit="crops/s") for ms in (100.0, 80.0)]
    assert verdicts(made(orin, higher[0]), made(orin, higher[1])) == {"rate": ("worse", True)}
    assert verdicts(made(orin, higher[1]), made(orin, higher[0])) == {"rate": ("better", False)}


def test_equal_runs_are_seldom_told_to_differ(orin):
    """Each run by chance; drift between two runs is in the ratio and can't be told."""
    runs = [made(orin, row("x", seed=10 * seed, rounds=10)) for seed in range(80)]
    told = [compare(a, b)[0].verdict != "same" for a, b in zip(runs[::2], runs[1::2], strict=True)]
    assert sum(told) <= 4


@pytest.fixture
def files(orin, tmp_path):
    def make(name, *rows, **others):
        write(tmp_path / name, made(orin, *rows, **others))
        return str(tmp_path / name)

    return make


def run(*arguments):
    return CliRunner().invoke(bench, ["compare", *arguments], standalone_mode=False)


def test_the_command_fails_past_the_threshold_only(files):
    a, b = files("a.json", row("x", seed=1)), files("b.json", row("x", 2.4))
    done = run(a, b)
    assert (done.return_value, "worse !" in done.stdout) == (1, True), done.output
    assert run(a, b, "--threshold", "30").return_value == 0
    assert run(b, a).return_value == 0
    assert run(a, a).return_value == 0


def test_what_differs_is_listed_and_compared_only_anyway(files, orin):
    machine = identify(orin)
    other = replace(machine, processor=replace(machine.processor, model="Another"), memory_bytes=2**34)
    a = files("a.json")
    b = files("b.json", settings={"threads": 2, "seconds": 3.0, "garbage": "off"})
    refused = run(a, b)
    assert isinstance(refused.exception, InputRefused)
    assert str(refused.exception) == "not to be compared: threads: 1 and 2; add --anyway to compare nevertheless"
    done = run(a, b, "--anyway")
    assert done.return_value == 0
    assert "compared anyway: threads: 1 and 2" in done.stderr
    first, second = made(orin), replace(made(orin), machine=other)
    assert differing(first, second) == [
        "processor: Arm Cortex-A78AE and Another",
        "memory: 7987200000 and 17179869184",
    ]
    alike = replace(machine, memory_bytes=round(1.01 * machine.memory_bytes))
    assert differing(first, replace(second, machine=alike)) == []


def test_runs_of_different_machines_are_refused_with_every_difference(files, orin, tmp_path):
    server = tree(tmp_path / "server", SERVER)
    a = files("a.json")
    b = files("b.json", machine=identify(server), looks=(look(server), look(server)))
    refused = run(a, b)
    assert isinstance(refused.exception, InputRefused)
    said = str(refused.exception)
    for difference in (
        "processor: Arm Cortex-A78AE and AMD EPYC 9354P",
        "usable processors: 6 and 2",
        "quota of processors: none and 1.5",
        "memory: 7987200000 and 16777216",
        "module: NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super and none",
        "power mode: MAXN_SUPER and none",
        "governors: schedutil and none",
    ):
        assert difference in said
    assert "\n" not in said
    done = run(a, b, "--anyway")
    assert done.return_value == 0
    assert "compared anyway: processor: Arm Cortex-A78AE and AMD EPYC 9354P" in done.stderr


def test_as_json_all_is_there(files):
    a = files("a.json", row("x"))
    b = files("b.json", row("x", 2.4), doubts=(Doubt("load", "other programs took 9 %"),))
    done = run(a, b, "--json")
    content = json.loads(done.stdout)
    assert (content["passed"], content["lines"][0]["verdict"], content["lines"][0]["past"]) == (False, "worse", True)
    assert content["doubts"]["b"] == [{"kind": "load", "said": "other programs took 9 %"}]
