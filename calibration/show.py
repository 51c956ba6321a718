"""What calibration found, as tables on standard output."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from calibration.calibrate import Judged, Tried
    from calibration.lint import Finding
    from calibration.peers import Peer
    from calibration.sensitivity import Layer


def methods_table(tried: Sequence[Tried]) -> None:
    """Every method in a column, the best first: answers beside fp32, then the cells of each class named rightly."""
    table = Table("", "fp32", *(item.method for item in tried), title="INT8 beside fp32, best first")
    gates = [item.gate for item in tried]
    table.add_row("gate", "", *("passed" if gate.passed else "failed" for gate in gates))
    table.add_row("same class", "", *(f"{gate.agreement:.2%}" for gate in gates))
    table.add_row("  95 %", "", *("–".join(f"{end:.1%}" for end in gate.agreement_interval) for gate in gates))
    table.add_row("worst difference", "", *(f"{gate.worst_difference:.3f}" for gate in gates))
    for engine in tried[0].same_label:
        table.add_row(f"{engine} alike", "", *(f"{item.same_label[engine]:.2%}" for item in tried), end_section=True)
    for name, before in gates[0].classes.items():
        after = (str(gate.classes[name].right_after) for gate in gates)
        table.add_row(name, f"{before.right_before} of {before.crops}", *after)
    _console().print(table)


def layers_table(layers: Sequence[Layer], noise: Mapping[str, Mapping[str, float]]) -> None:
    """A layer a line, the one that gains most in floating point first.

    :param noise: by method, then layer: signal to noise in dB; of the method that ``layers`` is of, first.
    """
    table = Table(title="Each layer: left alone in floating point, and its error in INT8")
    columns = ("layer", "gain, nats", "same class", "worst difference", *(f"dB, {method}" for method in noise))
    for column in columns:
        table.add_column(column, justify="right" if column != "layer" else "left", no_wrap=True)
    for layer in layers:
        gate = layer.alone.gate
        figures = (f"{layer.gain:+.1e}", f"{gate.agreement:.2%}", f"{gate.worst_difference:.3f}")
        table.add_row(layer.name, *figures, *(f"{of[layer.name]:.1f}" for of in noise.values()))
    _console().print(table)


def peers_table(peers: Sequence[Peer]) -> None:
    """Our graph and other tools' at their defaults, a column each: answers beside fp32, then what the linter found."""
    gates = [peer.gate for peer in peers]
    table = Table("", *(peer.tool for peer in peers), title="Other tools, same crops")
    table.add_row("same class as fp32", *(f"{gate.agreement:.2%}" for gate in gates))
    table.add_row("  95 %", *("–".join(f"{end:.1%}" for end in gate.agreement_interval) for gate in gates))
    table.add_row("worst difference", *(f"{gate.worst_difference:.3f}" for gate in gates))
    table.add_row("named rightly", *(f"{sum(item.right_after for item in gate.classes.values())}" for gate in gates))
    table.add_row("TensorRT refuses", *(f"{peer.refused}" for peer in peers))
    table.add_row("costs speed there", *(f"{len(peer.findings) - peer.refused}" for peer in peers))
    _console().print(table)


def half_table(judged: Judged, how: Mapping[str, Any]) -> None:
    """An FP16 graph beside fp32: its answers, and how far its values are from the ends of FP16."""
    gate = judged.gate
    table = Table("FP16 beside fp32", "")
    table.add_row("gate", "passed" if gate.passed else "failed")
    table.add_row("same class", f"{gate.agreement:.2%}, 95 % " + "–".join(f"{e:.1%}" for e in gate.agreement_interval))
    table.add_row("worst difference", f"{gate.worst_difference:.4f}")
    for engine, share in judged.same_label.items():
        table.add_row(f"{engine} alike", f"{share:.2%}")
    table.add_row(
        "largest activation", f"{how['largest_activation']:.4g} at {how['at']}, headroom {how['headroom']:.0f}"
    )
    table.add_row("too small for all digits", f"{how['most_subnormal']:.2%} of a tensor's values at most")
    table.add_row("weights", f"{how['weights_zeroed']} become 0, {how['weights_subnormal']} lose digits")
    _console().print(table)


def findings_table(found: Sequence[Finding]) -> None:
    """What the linter found."""
    table = Table()
    for column in ("rule", "", "node", "what is wrong, what to do", "source"):
        table.add_column(column, overflow="fold")
    for finding in found:
        severity = "refused" if finding.refused else "slower"
        table.add_row(finding.rule, severity, finding.node, finding.text, finding.source)
    _console().print(table)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 140)
