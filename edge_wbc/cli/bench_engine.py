"""``bench engine``."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import Advance, progress

if TYPE_CHECKING:
    from edge_wbc.bench.results import Row


@click.command()
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("leukonet", "leukonet-int8"),
    show_default=True,
    help="A shipped model, or a .onnx file; may be given again.",
)
@click.option("--engine", default="auto", show_default=True)
@click.option("--batch", "batches", type=click.IntRange(1, 64), multiple=True, default=(1, 8), show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of a processor's engine.")
@click.option("--rounds", type=click.IntRange(1), default=10, show_default=True)
@click.option("--seconds", type=click.FloatRange(0), default=3.0, show_default=True, help="Of each, in all rounds.")
@click.option("--peers/--no-peers", default=True, show_default=True, help="The same graph elsewhere.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the result, for `bench compare`.")
@click.option("--smoke", is_flag=True, help="One short round of the last model at the first batch size.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def engine(
    models: tuple[str, ...],
    engine: str,
    batches: tuple[int, ...],
    threads: int,
    rounds: int,
    seconds: float,
    peers: bool,
    out: Path | None,
    smoke: bool,
    as_json: bool,
) -> int:
    """The engine alone, by model, precision and batch size: crops in memory to probabilities in memory.

    In the same rounds, where they are installed: OpenVINO's benchmark_app, or trtexec beside TensorRT; a bare loop in
    OpenVINO and in ONNX Runtime; our weights in PyTorch; MobileNetV3-Small and ResNet-18 in the same engine. Exit code
    1: something failed; its row says what.
    """
    from edge_wbc.bench import networks, torch_peer
    from edge_wbc.bench.contenders import judge_of, of_model
    from edge_wbc.bench.engine_alone import LEAST_CALLS, WARM_UP_S, measure
    from edge_wbc.bench.machine import identify
    from edge_wbc.bench.results import result
    from edge_wbc.bench.trust import Watch, too_few
    from edge_wbc.cli.bench_out import hand_out
    from edge_wbc.cli.engine_tables import show
    from edge_wbc.engines.base import engine_name
    from edge_wbc.engines.openvino import computes_bf16
    from edge_wbc.manifest import load_model

    engine = engine_name(engine)
    loaded = [load_model(model) for model in models]
    if smoke:
        loaded, batches, rounds, seconds = loaded[-1:], batches[:1], 1, 0.0
    turn_s = seconds / rounds
    hints = ("f32", "bf16") if engine == "openvino" and computes_bf16() else ("f32",)
    watch = Watch()
    rows: list[Row] = []
    judges = [judge_of(model) for model in loaded]
    kinds = [kind for kind in torch_peer.KINDS if kind != "compiled" or not smoke] if peers else []
    with TemporaryDirectory(prefix="edge-wbc-bench-") as name, progress("rounds", rounds * len(batches)) as advance:
        scratch = Path(name)
        absent = networks.write_published(scratch, loaded[0].manifest.labels.names) if peers else ""
        for number, batch in enumerate(batches):
            with ExitStack() as stack:
                contenders = [
                    contender
                    for model, judge in zip(loaded, judges, strict=True)
                    for contender in (
                        *of_model(model, engine, batch, threads, hints, peers, judge),
                        *networks.in_pytorch(model, batch, threads, judge, kinds),
                    )
                ]
                if peers:
                    contenders += networks.published(scratch, absent, engine, batch, threads, hints)
                for contender in contenders:
                    stack.callback(contender.close)
                step = partial(_shifted, advance, number * rounds)
                rows += measure(contenders, rounds, turn_s, progress=step, done=watch.round)
    doubts = watch.end()
    machine = identify()
    usable = machine.processor.usable
    settings: dict[str, str | int | float | None] = {
        "engine": engine,
        "threads": threads,
        "rounds": rounds,
        "seconds": seconds,
        "warm-up s": WARM_UP_S,
        "least calls": LEAST_CALLS,
        "affinity": f"processors {' '.join(map(str, usable))}" if usable else "any processor",
        "garbage": "collected before each turn, not during it",
    }
    doubts += too_few(rounds, {row.name: row.summary.count for row in rows if row.summary})
    found = result(
        "engine",
        smoke=smoke,
        machine=machine,
        looks=(watch.before, watch.after),
        settings=settings,
        rows=rows,
        doubts=doubts,
    )
    hand_out(found, out, as_json, show)
    return 1 if any(row.error for row in rows) else 0


def _shifted(advance: Advance, by: int, done: int) -> None:
    advance(by + done)
