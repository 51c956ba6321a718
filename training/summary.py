"""The figures of a study, from what its networks said of each cell."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from training.datasets import Sample
from training.evaluate import MISSED, Scored, by_photograph, report, scored_from
from training.reliability import rejected, reliability, threshold_for
from training.run_studies import outcome_path
from training.studies import FOUR, Run


class Outcome(NamedTuple):
    """What one run's network said."""

    run: str
    recipe: dict[str, Any]
    trained_on: int
    loss: float
    seconds: int
    labels: tuple[str, ...]
    cells: list[Sample]
    located: list[bool]
    probabilities: npt.NDArray[np.float64]
    """(cells, labels)."""


def read_outcome(path: Path) -> Outcome:
    """:raises FileNotFoundError: the run has not been carried out."""
    given = json.loads(path.read_text())
    cells = [Sample(Path(name), label, source, group, None) for name, label, source, group, _ in given["cells"]]
    return Outcome(
        given["run"],
        given["recipe"],
        given["trained_on"],
        given["loss"],
        given["seconds"],
        tuple(given["labels"]),
        cells,
        [located for *_, located in given["cells"]],
        np.array(given["probabilities"]),
    )


def answers(outcome: Outcome, labels: Sequence[str] | None = None) -> list[Scored]:
    """What the network said of each cell: the most probable label, of those given if any are."""
    kept = [i for i, name in enumerate(outcome.labels) if labels is None or name in labels]
    among = outcome.probabilities[:, kept]
    among = among / np.maximum(among.sum(axis=1, keepdims=True), 1e-9)
    return scored_from(outcome.cells, among, [outcome.labels[i] for i in kept])


def summarise(study: str, runs: Sequence[Run], out: Path) -> dict[str, Any]:
    """Figures of a study: every run in a line, and what they say together."""
    outcomes = [read_outcome(outcome_path(out, run.name)) for run in runs]
    found: dict[str, Any] = {"study": study, "runs": [_line(outcome) for outcome in outcomes]}
    together: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        together[_part(study, outcome.run)].append(outcome)
    found["figures"] = {name: _figures(study, part) for name, part in together.items()}
    return found


def _part(study: str, run: str) -> str:
    """What a run is counted with: its model, or the source it leaves out; the other studies' runs stand alone."""
    name = run.split("/", 1)[1]
    return name.split(" fold ")[0].split(" seed ")[0] if study in ("folds", "sources") else name


def _line(outcome: Outcome) -> dict[str, Any]:
    four = [item for item in answers(outcome, FOUR) if item.sample.label in FOUR]
    return {
        "run": outcome.run,
        "trained_on": outcome.trained_on,
        "tried_on": len(outcome.cells),
        "steps": outcome.recipe["steps"],
        "loss": outcome.loss,
        "seconds": outcome.seconds,
        "accuracy": round(report(answers(outcome)).accuracy, 4),
        "accuracy_of_four": round(report(four).accuracy, 4) if four else None,
    }


def _figures(study: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    if study == "classes":
        return _rejection(outcomes[0])
    scored = [item for outcome in outcomes for item in answers(outcome)]
    four = [
        (item, located)
        for outcome in outcomes
        for item, located in zip(answers(outcome, FOUR), outcome.located, strict=True)
        if item.sample.label in FOUR
    ]
    figures: dict[str, Any] = {"all_labels": _short(scored)}
    if four:
        figures["four_classes"] = _short([item for item, _ in four])
        in_field = [item if located else item._replace(said=MISSED, prediction=None) for item, located in four]
        figures["field_mode_of_four"] = _short(in_field)
    calibrated = reliability(scored)
    figures["expected_calibration_error"] = calibrated and round(calibrated.ece, 4)
    return figures


def _short(scored: Sequence[Scored]) -> dict[str, Any]:
    """A report with few photographs named; the slides of Chula are its photographs."""
    found = asdict(report(scored))
    del found["unreadable"]
    found["worst"] = found["worst"][:12]
    if len({item.sample.group for item in scored}) <= 12:
        found["slides"] = [asdict(photograph) for photograph in by_photograph(scored)]
    return found


def _rejection(outcome: Outcome) -> dict[str, Any]:
    """How much of a class the network never saw it declines to name, at a threshold that rejects 5 % of known cells."""
    scored = answers(outcome)
    known = [item for item in scored if item.sample.label in outcome.labels]
    unknown = [item for item in scored if item.sample.label not in outcome.labels]
    point = threshold_for(known)
    declined = sum(item.prediction is not None and rejected(item.prediction, point.threshold) for item in unknown)
    return {
        "threshold": round(point.threshold, 4),
        "known": len(known),
        "known_rejected": round(point.rejected, 4),
        "unknown": len(unknown),
        "unknown_rejected": round(declined / len(unknown), 4) if unknown else None,
    }


def show_summary(study: str, summary: dict[str, Any]) -> None:
    """The figures as a table on standard error."""
    from rich.console import Console
    from rich.table import Table

    if study == "classes":
        table = Table("left out", "cells of it", "declined", "threshold", "known rejected", title="study classes")
        for name, found in summary["figures"].items():
            row = (found["unknown"], _percent(found["unknown_rejected"]), found["threshold"])
            table.add_row(name, *map(str, row), _percent(found["known_rejected"]))
    else:
        table = Table("run", "cells", "any label", "95 %", "four classes", "95 %", "balanced", title=f"study {study}")
        for name, found in summary["figures"].items():
            every, four = found["all_labels"], found.get("four_classes")
            table.add_row(
                name,
                str(every["images"]),
                _percent(every["accuracy"]),
                _interval(every["accuracy_interval"]),
                *(
                    [
                        _percent(four["accuracy"]),
                        _interval(four["accuracy_interval"]),
                        _percent(four["balanced_accuracy"]),
                    ]
                    if four
                    else []
                ),
            )
    Console(stderr=True).print(table)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _interval(interval: Sequence[float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.1%} to {interval[1]:.1%}"
