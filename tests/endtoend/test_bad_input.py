"""What can go wrong, through the real command line: a documented exit code, one line that helps, and the rest done."""

from __future__ import annotations

import csv
import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import serial

from edge_wbc.bench.instrument import simulated_instrument
from edge_wbc.types import LABELS, Box
from tests.data import edit_manifest

DEADLINE_S = 60
GOOD = ("a_good.png", "n_good.jpg", "z_good.png")
BAD = {
    "b_truncated.jpg": "the image breaks off before its end; copy it again",
    "c_text.jpg": "not an image; give JPEG, PNG, BMP or TIFF",
    "d_16bit.png": "16-bit image; save it with 8 bits a channel",
    "e_grey.jpg": "grey image; stain can't be told without colour, give a colour image",
    "f_dot.png": "1×1 pixels; a frame needs at least 32×32",
    "g_gigantic.png": "more than 64 million pixels; cut it into fields of at most 8000×8000",
    "h_empty.jpg": "the file is empty; copy it again",
}


def gigantic_png(side: int = 10_000) -> bytes:
    """A PNG of one colour: 12 KB that become 300 MB when decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 3, 0, 0, 0)
    rows = zlib.compress(bytes((1 + side // 8) * side), 1)
    parts = ((b"IHDR", header), (b"PLTE", bytes((200, 180, 220) * 2)), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def records(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file, each of them whole."""
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, draw_field: Any) -> Path:
    """A folder with good images among bad ones."""
    folder = tmp_path_factory.mktemp("mixed")
    field = draw_field([Box(300, 200, 60, 60)])
    for name in GOOD:
        cv2.imwrite(str(folder / name), field)
    whole = (folder / "n_good.jpg").read_bytes()
    (folder / "b_truncated.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "c_text.jpg").write_text("Dear reader,\n")
    cv2.imwrite(str(folder / "d_16bit.png"), field.astype(np.uint16) * 256)
    cv2.imwrite(str(folder / "e_grey.jpg"), field[..., 1])
    cv2.imwrite(str(folder / "f_dot.png"), field[:1, :1])
    (folder / "g_gigantic.png").write_bytes(gigantic_png())
    (folder / "h_empty.jpg").touch()
    return folder


@pytest.fixture(scope="module")
def classified(mixed: Path, tmp_path_factory: pytest.TempPathFactory, edge_wbc_command: Any) -> tuple[Any, Path]:
    """That folder classified, and the JSONL file that was written."""
    out = tmp_path_factory.mktemp("out") / "out.jsonl"
    return edge_wbc_command("classify", mixed, "--jsonl", out, "--json"), out


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_image_gets_one_line(name: str, classified: Any, mixed: Path) -> None:
    done, out = classified
    about = [line for line in done.err.splitlines() if name in line]
    assert about == [f"edge-wbc: {mixed / name}: {about[0].partition(f'{name}: ')[2]}"]
    assert BAD[name] in about[0]
    assert [line["refused"] for line in records(out) if line.get("path") == str(mixed / name)] == [
        about[0].removeprefix("edge-wbc: ")
    ]


def test_the_good_images_among_them_are_processed(classified: Any, mixed: Path) -> None:
    done, out = classified
    assert done.code == 3
    assert done.err.splitlines()[-1] == f"{len(BAD)} of {len(BAD) + len(GOOD)} frames were refused"
    assert len(done.err.splitlines()) == len(BAD) + 1, "and nothing else was said"
    assert (done.json["frames"], done.json["refused"], done.json["cells"]) == (len(GOOD), len(BAD), len(GOOD))
    assert [cell["path"] for cell in done.json["results"]] == [str(mixed / name) for name in GOOD]
    lines = records(out)
    assert [line["frame"] for line in lines if line["type"] == "frame"] == list(range(len(BAD) + len(GOOD)))
    assert lines[-1]["event"] == "end"


def test_a_gigantic_image_takes_no_memory(mixed: Path) -> None:
    code = (
        "import re, sys\nfrom edge_wbc.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )

    def peak_mb(path: Path) -> float:
        command = [sys.executable, "-c", code, "classify", str(path), "--engine", "onnxruntime", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        return int(done.stdout.splitlines()[-1]) / 1024

    assert peak_mb(mixed / "g_gigantic.png") < peak_mb(mixed / "a_good.png") + 100, "decoded it takes 300 MB"


def one_line(done: Any, code: int, *says: str) -> None:
    """The command ended with this code after a single line that says all of this."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert len(done.err.splitlines()) == 1, done.err
    assert done.err.startswith("edge-wbc: ")
    for words in says:
        assert words in done.err


@pytest.mark.parametrize("verb", ["run", "classify"])
def test_a_missing_path(verb: str, tmp_path: Path, edge_wbc_command: Any) -> None:
    one_line(edge_wbc_command(verb, tmp_path / "slide.png"), 3, f"{tmp_path}/slide.png: no such file", "check the path")


def test_an_empty_folder(tmp_path: Path, edge_wbc_command: Any) -> None:
    one_line(edge_wbc_command("classify", tmp_path), 3, f"{tmp_path}: no image in this folder; give one with JPEG, PNG")


def test_an_empty_video(tmp_path: Path, edge_wbc_command: Any) -> None:
    (tmp_path / "slide.mp4").touch()
    one_line(edge_wbc_command("run", tmp_path / "slide.mp4"), 3, f"{tmp_path}/slide.mp4: the file is empty; record")


def test_a_video_that_breaks_off(tmp_path: Path, edge_wbc_command: Any, draw_field: Any) -> None:
    path = tmp_path / "slide.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (640, 480))
    for _ in range(8):
        writer.write(draw_field([Box(300, 200, 60, 60)]))
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    done = edge_wbc_command("run", path, "--json")
    assert done.code == 3
    (line,) = done.said()
    assert f"{path}: the video breaks off after frame" in line
    assert 2 <= done.json["frames"] <= 6
    assert done.json["refused"] == 1


def test_an_unknown_source(edge_wbc_command: Any) -> None:
    one_line(edge_wbc_command("run", "smaer://?seed=1"), 2, "'smaer://?seed=1': unknown scheme", "did you mean smear:")


def test_an_unknown_sink(edge_wbc_command: Any) -> None:
    done = edge_wbc_command("run", "smear://", "--to", "jsnol:out")
    one_line(done, 2, "'jsnol:out': unknown scheme", "did you mean jsonl:")


def test_no_camera(edge_wbc_command: Any) -> None:
    one_line(
        edge_wbc_command("run", "v4l2:///dev/video99"), 4, "v4l2:///dev/video99: no such camera; `edge-wbc sources`"
    )


def test_no_serial_port(tmp_path: Path, edge_wbc_command: Any) -> None:
    port = tmp_path / "ttyACM0"
    done = edge_wbc_command("run", "smear://?seed=1", "--to", f"serial://{port}")
    one_line(done, 4, f"there is no port {port}; plug the instrument in")


def test_a_busy_serial_port(edge_wbc_command: Any) -> None:
    with simulated_instrument() as instrument, serial.Serial(instrument.port, exclusive=True):
        done = edge_wbc_command("run", "smear://?seed=1", "--to", f"serial://{instrument.port}")
    one_line(done, 4, f"{instrument.port} is in use by another program; close it or choose another port")


def test_an_output_that_cannot_be_made(tmp_path: Path, edge_wbc_command: Any) -> None:
    path = tmp_path / "no" / "out.jsonl"
    done = edge_wbc_command("run", "smear://?seed=1", "--to", f"jsonl:{path}")
    one_line(done, 5, f"{path}: can't be written (no such file or directory); choose another place")


def test_a_hash_that_does_not_fit(copied: Path, edge_wbc_command: Any) -> None:
    edit_manifest(copied, lambda content: content["graph"].update(sha256="0" * 64))
    done = edge_wbc_command("run", "smear://", "--model", copied)
    one_line(done, 3, f"{copied}: its hash is ", "the manifest says 000000000000…", "export the graph again")


def test_a_graph_with_other_inputs(copied: Path, edge_wbc_command: Any) -> None:
    edit_manifest(copied, lambda content: content["input"].update(size_px=96))
    done = edge_wbc_command("run", "smear://", "--model", copied)
    one_line(done, 3, f"{copied}: takes crops uint8[N, 64, 64, 3], not crops uint8[N, 96, 96, 3]", "edge-wbc export")


def test_a_labels_list_of_another_length(copied: Path, edge_wbc_command: Any) -> None:
    edit_manifest(copied, lambda content: content["labels"]["names"].pop())
    done = edge_wbc_command("run", "smear://", "--model", copied)
    one_line(
        done,
        3,
        f"{copied}: returns {len(LABELS)} probabilities, its manifest has {len(LABELS) - 1} labels; export",
    )


def test_a_full_disk(tmp_path: Path, edge_wbc_command: Any) -> None:
    out = tmp_path / "out.csv"
    done = edge_wbc_command(
        *("run", "smear://?seed=1&cells=500", "--limit", "12", "--json"),
        *("--to", "jsonl:/dev/full", "--to", f"csv:{out}"),
    )
    assert done.code == 5
    assert "Traceback" not in done.err
    (line,) = done.err.splitlines()
    assert line.startswith("edge-wbc: /dev/full: writing stopped after ")
    assert "(no space left on device); make room and run again, other outputs are complete" in line
    assert done.json["frames"] == 12
    assert "no space left" in done.json["sinks"]["jsonl:/dev/full"]["error"]
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["cell"]) for row in rows] == list(range(1, done.json["cells"] + 1))
    assert len(rows) > 5


@contextmanager
def running(start: Callable[..., subprocess.Popen[str]], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``edge-wbc run`` with the console among its sinks, until some cells were shown."""
    with start("run", *arguments, "--to", "console:", "--json") as process:
        try:
            assert process.stdout is not None
            shown = [process.stdout.readline() for _ in range(6)]
            assert shown[0].startswith("# leukonet"), shown
            assert all(shown), "it ended early"
            yield process
        finally:
            process.kill()


def test_an_instrument_that_vanishes(tmp_path: Path, start_edge_wbc: Any) -> None:
    out = tmp_path / "out.jsonl"
    with simulated_instrument() as instrument:
        sinks = ("--to", f"jsonl:{out}", "--to", f"serial://{instrument.port}")
        source = ("smear://?seed=1&cells=5000", "--limit", "80")
        with running(start_edge_wbc, *source, *sinks) as process:
            applied = instrument.stop()["applied"]
            printed, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 5, err
    assert "Traceback" not in err
    (line,) = err.splitlines()
    assert f"{instrument.port} vanished while in use" in line
    assert "other outputs are complete" in line
    summary = json.loads(printed.splitlines()[-1])
    assert applied < summary["cells"]
    assert summary["sinks"][f"serial://{instrument.port}"]["error"] in line
    lines = records(out)
    assert [record["frame"] for record in lines if record["type"] == "frame"] == list(range(80))
    assert [record["cell"] for record in lines if record["type"] == "cell"] == list(range(1, summary["cells"] + 1))
    assert (lines[-1]["event"], lines[-1]["cells"]) == ("end", summary["cells"])


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_session(sent: signal.Signals, tmp_path: Path, start_edge_wbc: Any) -> None:
    out = tmp_path / "out.jsonl"
    with running(start_edge_wbc, "smear://?seed=1&cells=100000&fps=30", "--to", f"jsonl:{out}") as process:
        begun = time.monotonic()
        os.kill(process.pid, sent)
        printed, err = process.communicate(timeout=DEADLINE_S)
        took_s = time.monotonic() - begun
    assert process.returncode == 130, err
    assert took_s < 5
    assert "Traceback" not in err
    summary = json.loads(printed.splitlines()[-1])
    lines = records(out)
    assert len([record for record in lines if record["type"] == "frame"]) == summary["frames"]
    assert len([record for record in lines if record["type"] == "cell"]) == summary["cells"] >= 5
    assert lines[-1]["event"] == "end"


@pytest.mark.parametrize("options", [("--json",), ()])
def test_standard_output_on_a_full_disk(options: tuple[str, ...], tmp_path: Path) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        command = [sys.executable, "-m", "edge_wbc", "run", "smear://?seed=1&cells=3", *options]
        command += ["--to", "console:"] * (not options) + ["--to", f"csv:{tmp_path / 'cells.csv'}"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 5
    assert "standard output: no space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert len((tmp_path / "cells.csv").read_text().splitlines()) > 3
