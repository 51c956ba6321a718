"""What ``doctor --prove`` prints and writes."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_wbc.cli.common import print_json, progress, say

if TYPE_CHECKING:
    from edge_wbc.bench.prove import Beside, Proof

SECONDS = 1.0
SMOKE_SECONDS = 0.02


def prove_all(checks: list[dict[str, Any]], cells: Path | None, report: Path, smoke: bool, as_json: bool) -> int:
    """Prove, print and write.

    :param checks: what ``doctor`` found.
    :returns: the exit code: 1 where an engine gives other answers than the reference, or does not run.
    :raises SourceError: no images in ``cells``.
    :raises OutputFailed: the report can't be written.
    """
    from edge_wbc.bench import prove as proving
    from edge_wbc.bench.machine import identify
    from edge_wbc.files import write_whole

    images = proving.images_of(cells) if cells else []
    machine = identify()
    proofs: list[Proof] = []
    with progress("proving", proving.count()) as advance:
        for proof in proving.prove(SMOKE_SECONDS if smoke else SECONDS, images, advance):
            proofs.append(proof)
            if not as_json:
                say(_line(proof))
    content = {
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "smoke": smoke,
        "machine": asdict(machine),
        "checks": checks,
        "golden": "64 simulated cells: they say whether engines agree, nothing of accuracy",
        "proofs": [{**asdict(proof), "passed": proof.passed} for proof in proofs],
        "passed": all(proof.passed for proof in proofs),
        "notice": "Research use only. Not for diagnosis.",
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_whole(report, f"{text}\n".encode(), "name a file that can be written")
    if as_json:
        print_json(content)
    else:
        _table(proofs)
    for doubt in sorted({proof.doubt for proof in proofs if proof.doubt}):
        say(f"times may be off: {doubt}")
    failed = [proof for proof in proofs if not proof.passed]
    say(f"{len(proofs) - len(failed)} of {len(proofs)} passed; wrote {report}: send it with an issue")
    return 1 if failed else 0


def _line(proof: Proof) -> str:
    name = f"{proof.model} on {proof.engine}"
    if proof.error:
        return f"NO  {name}: {proof.error}"
    kinds = (("drawn", proof.golden), ("real", proof.real))
    same = ", ".join(f"{found.same} of {found.crops} {kind}{_near(found)}" for kind, found in kinds if found)
    return f"{'ok ' if proof.passed else 'NO '} {name}: named as the reference does: {same}"


def _near(found: Beside) -> str:
    return f" ({found.near} where it is itself undecided)" if found.near else ""


def _table(proofs: list[Proof]) -> None:
    from rich.console import Console
    from rich.table import Table

    from edge_wbc.bench.power import total_mw

    table = Table(title="Beside ONNX Runtime on the same graph; ms a call, p50 and p99")
    for column in ("model", "engine", "graph", "alike", "worst difference", "1 crop", "p99", "8 crops", "p99", "mW"):
        table.add_column(column, justify="left" if column in ("model", "engine", "graph") else "right")
    for proof in proofs:
        if proof.golden is None:
            table.add_row(proof.model, proof.engine, proof.precision, "did not run")
            continue
        times = (f"{timing.ms[percent]:.2f}" for timing in proof.timings for percent in ("p50", "p99"))
        power = total_mw(proof.timings[0].power_mw)
        table.add_row(
            proof.model,
            proof.engine,
            proof.precision,
            f"{proof.golden.same} of {proof.golden.crops}",
            f"{proof.golden.worst_difference:.1e}",
            *times,
            "–" if power is None else f"{power:.0f}",
        )
    Console(width=None if sys.stdout.isatty() else 110).print(table)
