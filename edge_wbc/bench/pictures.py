"""The pictures of a benchmark's report: distributions, batches, parts, accuracy beside time, the roofline."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_wbc.bench import svg
from edge_wbc.bench.results import Result, Row, unpack

BINS = 60
MARKED = ("p50", "p90", "p99", "p99.9")
WAITS = "wait"
"""Parts that begin so are drawn pale."""


class Picture(NamedTuple):
    """SVG, and what it shows."""

    svg: str
    caption: str


def pictures(found: Result) -> list[Picture]:
    """What can be drawn of it."""
    if found.kind == "roofline":
        return _roofline(found)
    return [*_batches(found), *_front(found), *_waterfalls(found), *_histograms(found)]


def _histograms(found: Result) -> list[Picture]:
    return [_histogram(row) for row in found.rows if row.packed and row.summary is not None]


def _histogram(row: Row) -> Picture:
    """Of every sample; a bin that holds one is still seen."""
    assert row.summary is not None
    samples = np.maximum(unpack(row.packed) / 1e6, 1e-6)
    least, greatest = float(samples.min()), max(float(samples.max()), float(samples.min()) * 1.01)
    edges = np.geomspace(least, greatest, BINS + 1)
    counts, _ = np.histogram(samples, edges)
    x, y = svg.across(least, greatest, log=True), svg.upwards(0, float(counts.max()))
    base = y(0)
    bars = "".join(
        svg.bar(x(low), min(y(count), base - 2), x(high) - x(low), base - min(y(count), base - 2))
        for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
        if count
    )
    marks = ""
    for height, name in enumerate(MARKED):
        value = row.summary.percentiles.get(name)
        if value is not None:
            marks += svg.line([(x(value), svg.TOP), (x(value), base)], "--accent", dashed=True)
            right = x(value) > svg.WIDTH - 90
            marks += svg.text(
                x(value) + (-3 if right else 3), svg.TOP + 9 + 11 * height, name, anchor="end" if right else "start"
            )
    drawn = svg.axes(x, y, "ms, logarithmic", "samples") + bars + marks
    caption = f"{row.name}: {row.summary.count} samples, {row.summary.outliers} far out"
    return Picture(svg.picture(f"Distribution of {caption}", drawn), caption)


def _batches(found: Result) -> list[Picture]:
    """Throughput by batch size, where there are several."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in found.rows:
        if not row.peer and row.throughput and row.what.get("batch", "").isdigit():
            name = ", ".join(value for key, value in row.what.items() if key != "batch" and value)
            series.setdefault(name, []).append((int(row.what["batch"]), row.throughput))
    series = {name: sorted(points) for name, points in series.items() if len(points) > 1}
    if not series:
        return []
    batches = [batch for points in series.values() for batch, _ in points]
    most = max(rate for points in series.values() for _, rate in points)
    x, y = svg.across(min(batches), max(batches), log=True), svg.upwards(0, 1.45 * most)
    drawn = svg.axes(x, y, "crops a call", "crops a second") + svg.key(list(series))
    for at, points in enumerate(series.values()):
        colour = svg.COLOURS[at % len(svg.COLOURS)]
        places = [(x(batch), y(rate)) for batch, rate in points]
        drawn += svg.line(places, colour)
        drawn += "".join(
            svg.dot(*place, colour, f"{rate:.0f}") for place, (_, rate) in zip(places, points, strict=True)
        )
    return [Picture(svg.picture("Throughput against batch size", drawn), "Throughput against batch size")]


def _front(found: Result) -> list[Picture]:
    """Agreement with the reference against time, of one crop a call."""
    rows = [
        row for row in found.rows if row.accuracy and row.median and row.unit == "ms" and row.what.get("batch") == "1"
    ]
    if not rows:
        return []
    shares = [100 * row.accuracy.agreeing / row.accuracy.crops for row in rows if row.accuracy]
    times = [row.median.value for row in rows if row.median]
    x, y = svg.across(0, 1.15 * max(times)), svg.upwards(min(90.0, min(shares) - 1), 101)
    drawn = svg.axes(x, y, "ms a crop, median", "% of golden crops agreeing")
    for at, (row, time, share) in enumerate(zip(rows, times, shares, strict=True)):
        colour = svg.COLOURS[at % len(svg.COLOURS)]
        drawn += svg.dot(x(time), y(share), colour, row.name)
    names = [f"{row.what.get('model', row.name)}, {row.what.get('engine', '')}" for row in rows]
    drawn += svg.key(names, y=svg.HEIGHT - svg.BOTTOM - 14 * len(rows) + 4)
    return [
        Picture(
            svg.picture("Agreement against time", drawn), "Agreement with the reference against time, one crop a call"
        )
    ]


def _waterfalls(found: Result) -> list[Picture]:
    """Stages one after the other, by their means, which add up; waits are pale."""
    return [_waterfall(row) for row in found.rows if row.parts and found.kind == "pipeline"]


def _waterfall(row: Row) -> Picture:
    parts = [(name, part.mean) for name, part in row.parts.items() if part.mean > 0]
    height = svg.TOP + 18 * len(parts) + svg.BOTTOM
    x = svg.across(0, max(sum(mean for _, mean in parts), 1e-6))
    drawn, at = svg.axes(x, None, "ms, mean", "", height), 0.0
    for number, (name, mean) in enumerate(parts):
        y = svg.TOP + 18 * number
        pale = name.startswith(WAITS)
        drawn += svg.bar(x(at), y + 2, x(at + mean) - x(at), 13, "--faint" if pale else "--mark", pale=pale)
        end = x(at + mean)
        said = f"{name} {mean:.2f}"
        right = end > svg.WIDTH - 150
        drawn += svg.text(x(at) - 4 if right else end + 4, y + 12, said, anchor="end" if right else "start")
        at += mean
    return Picture(svg.picture(f"Parts of {row.name}", drawn, height), f"{row.name}: where the time goes")


def _roofline(found: Result) -> list[Picture]:
    """Layers by multiply-accumulates a byte and a second, under what the machine can do (Williams et al. 2009)."""
    bandwidth = _setting(found, "bytes a second")
    peaks = {
        name.removeprefix("peak "): value
        for name in found.settings
        if name.startswith("peak ") and (value := _setting(found, name))
    }
    layers = [
        (row, row.told["macs"] / row.told["bytes"], row.told["macs"] / (row.median.value / 1e3) / 1e9)
        for row in found.rows
        if row.median and row.median.value and row.told.get("macs") and row.told.get("bytes")
    ]
    if not (bandwidth and peaks and layers):
        return []
    densities = [density for _, density, _ in layers]
    highest = max(peaks.values()) / 1e9
    bends = [peak / bandwidth for peak in peaks.values()]
    x = svg.across(min(*densities, *bends) / 2, max(*densities, *bends) * 2, log=True)
    y = svg.upwards(min(rate for *_, rate in layers) / 2, highest * 2, log=True)
    drawn = svg.axes(x, y, "multiply-accumulates a byte", "10⁹ multiply-accumulates a second")
    for at, (name, peak) in enumerate(sorted(peaks.items(), key=lambda one: -one[1])):
        bend = peak / bandwidth
        colour = svg.COLOURS[at % len(svg.COLOURS)]
        drawn += svg.line(
            [
                (x(x.least), y(max(x.least * bandwidth / 1e9, y.least))),
                (x(bend), y(peak / 1e9)),
                (x(x.greatest), y(peak / 1e9)),
            ],
            colour,
        )
        drawn += svg.text(svg.WIDTH - svg.RIGHT, y(peak / 1e9) - 4, f"{name}, measured peak", anchor="end")
    drawn += "".join(svg.dot(x(density), y(rate), "--accent", row.name) for row, density, rate in layers)
    return [Picture(svg.picture("Roofline", drawn), "Each layer (a dot) under the machine's measured peaks")]


def _setting(found: Result, name: str) -> float:
    value = found.settings.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0
