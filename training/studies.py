"""What is trained to measure how far the network can be trusted: every run, what it leaves out and what it is tried on.

A run is a plain description; ``training/run_studies.py`` carries it out and keeps what the network said of each cell.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from edge_wbc.errors import UsageError
from edge_wbc.types import CLASSES, NOT_A_CELL
from training.augment import Augmentation
from training.datasets import Sample
from training.leukonet import ARCHITECTURES, Architecture
from training.train import SHORT, TUNE, Recipe

SEEDS = (1, 2, 3)
FOUR = ("neutrophil", "eosinophil", "lymphocyte", "monocyte")
PAPER = ("kaggle", "bccd")
"""The two sources that show the paper's photographs."""
LEFT_OUT = {"pbc": ("pbc",), "kaggle": PAPER, "chula": ("chula",)}
SHOTS = (5, 20, 100)
STUDY = SHORT
"""An eighth of the crops that the shipped default network saw: more than eighty networks are trained."""
NETWORK, NETWORK_4 = ARCHITECTURES["leukonet"], ARCHITECTURES["leukonet-4"]


@dataclass(frozen=True, slots=True)
class Run:
    """One training and the cells it is tried on."""

    name: str
    """``STUDY/what``; names the file with its outcome."""
    trained_on: tuple[int, ...]
    """Positions in the list of samples."""
    tried_on: tuple[int, ...]
    recipe: Recipe
    architecture: Architecture = NETWORK
    """Gives way to that of ``start``."""
    start: str | None = None
    """Name of the run whose network this one goes on from."""


def folds_study(samples: Sequence[Sample], fold_of: dict[str, int], locked: frozenset[str]) -> Iterator[Run]:
    """Five folds of the paper's photographs, three seeds, with and without the other sources beside them."""
    for seed in SEEDS:
        recipe = replace(STUDY, seed=seed)
        for fold in range(5):
            tried = _positions(s.source == "kaggle" and fold_of[s.group] == fold for s in samples)
            alone = _positions(s.source == "kaggle" and fold_of[s.group] != fold for s in samples)
            beside = _positions(fold_of.get(s.group) != fold for s in samples)
            yield Run(f"folds/leukonet-4 fold {fold} seed {seed}", alone, tried, recipe, NETWORK_4)
            yield Run(f"folds/leukonet fold {fold} seed {seed}", beside, tried, recipe)


def random_study(samples: Sequence[Sample], fold_of: dict[str, int], locked: frozenset[str]) -> Iterator[Run]:
    """A fifth of the paper's images drawn at random, turned copies of the same photographs on both sides."""
    held = [_hash(f"random/{s.path.name}") % 5 == 0 for s in samples]
    alone = _positions(s.source == "kaggle" and not out for s, out in zip(samples, held, strict=True))
    tried = _positions(s.source == "kaggle" and out for s, out in zip(samples, held, strict=True))
    yield Run("random/leukonet-4", alone, tried, replace(STUDY, steps=10 * STUDY.steps), NETWORK_4)


def sources_study(samples: Sequence[Sample], fold_of: dict[str, int], locked: frozenset[str]) -> Iterator[Run]:
    """Each source left out of training in turn."""
    for name, sources in LEFT_OUT.items():
        rest = _positions(s.source not in sources and s.group not in locked for s in samples)
        tried = _positions(s.source == name and s.label != NOT_A_CELL for s in samples)
        for seed in SEEDS[:2]:
            yield Run(f"sources/without {name} seed {seed}", rest, tried, replace(STUDY, seed=seed))


def shots_study(samples: Sequence[Sample], fold_of: dict[str, int], locked: frozenset[str]) -> Iterator[Run]:
    """Each left-out source again, after a few of its cells a class were given.

    Chula's classes come from one slide each: there the cells given and tried on are kept apart by field only.
    """
    for name, sources in LEFT_OUT.items():
        known = {s.label for s in samples if s.source not in sources and s.group not in locked} & set(CLASSES)
        cells = [i for i, s in enumerate(samples) if s.source == name and s.label in known]
        groups = [samples[i].path.name if name == "chula" else samples[i].group for i in cells]
        for shots in SHOTS:
            given = _few([samples[i].label for i in cells], groups, shots)
            used = {groups[i] for i in given}
            rest = tuple(cells[i] for i in range(len(cells)) if groups[i] not in used)
            start = f"sources/without {name} seed 1"
            yield Run(f"shots/{shots} of {name}", tuple(cells[i] for i in given), rest, TUNE, start=start)


def slides_study(samples: Sequence[Sample], fold_of: dict[str, int], locked: frozenset[str]) -> Iterator[Run]:
    """Each Chula slide left out in turn, the others in training."""
    for slide in sorted({s.group for s in samples if s.source == "chula"}):
        rest = _positions(s.group != slide and (s.source == "chula" or s.group not in locked) for s in samples)
        tried = _positions(s.group == slide and s.label != NOT_A_CELL for s in samples)
        yield Run(f"slides/without {slide.split('/')[1]}", rest, tried, STUDY)


def classes_study(samples: Sequence[Sample], fold_of: dict[str, int], locked: frozenset[str]) -> Iterator[Run]:
    """Each class left out of training in turn, with all that its photographs show; tried on its cells and on locked
    cells of the others. A photograph counts as of the class that it shows most."""
    shown: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        if sample.label != NOT_A_CELL:
            shown[sample.group][sample.label] += 1
    of = {group: counted.most_common(1)[0][0] for group, counted in shown.items()}
    for label in CLASSES:
        rest = _positions(s.label != label and of.get(s.group) != label and s.group not in locked for s in samples)
        unknown = _positions(s.label == label and of[s.group] == label for s in samples)
        known = _positions(s.label not in (label, NOT_A_CELL) and s.group in locked for s in samples)
        yield Run(f"classes/without {label}", rest, tuple(sorted(unknown + known)), STUDY)


def levers_study(samples: Sequence[Sample], fold_of: dict[str, int], locked: frozenset[str]) -> Iterator[Run]:
    """One lever moved at a time, on Barcelona and Chula left out; half of Barcelona chose the levers."""
    without = {
        "as in the other studies": (STUDY, NETWORK),
        "fixed normalisation": (STUDY, replace(NETWORK, normalisation="fixed")),
        "no mixing of styles": (replace(STUDY, style_mixing=0.0), NETWORK),
        "no average": (replace(STUDY, average=0.0), NETWORK),
        "images drawn alike": (replace(STUDY, balanced=False), NETWORK),
        **{
            f"no {name}": (replace(STUDY, augmentation=replace(Augmentation(), **{name: False})), NETWORK)
            for name in ("swap", "stain", "light", "turn", "focus", "jpeg")
        },
    }
    for source in ("pbc", "chula"):
        rest = _positions(s.source != source and s.group not in locked for s in samples)
        tried = _positions(s.source == source and s.label in FOUR for s in samples)
        for name, (recipe, architecture) in without.items():
            yield Run(f"levers/{name}, without {source}", rest, tried, recipe, architecture)


STUDIES: dict[str, Callable[[Sequence[Sample], dict[str, int], frozenset[str]], Iterator[Run]]] = {
    "folds": folds_study,
    "random": random_study,
    "sources": sources_study,
    "shots": shots_study,
    "slides": slides_study,
    "classes": classes_study,
    "levers": levers_study,
}


def runs_of(study: str, samples: Sequence[Sample], fold_of: dict[str, int], locked: frozenset[str]) -> list[Run]:
    """:raises UsageError: there is no such study, or a run would be tried on a photograph it was trained on."""
    if study not in STUDIES:
        raise UsageError(f"no study {study!r}; use one of {', '.join(STUDIES)}")
    runs = list(STUDIES[study](samples, fold_of, locked))
    for run in runs:
        shared = {samples[i].group for i in run.trained_on} & {samples[i].group for i in run.tried_on}
        if shared and study != "random" and not run.name.endswith("of chula"):
            raise UsageError(
                f"{run.name}: {len(shared)} photographs on both sides, {min(shared)} first; that is a leak"
            )
    return runs


def _positions(chosen: Iterable[bool]) -> tuple[int, ...]:
    return tuple(i for i, so in enumerate(chosen) if so)


def _few(labels: Sequence[str], groups: Sequence[str], shots: int) -> list[int]:
    """Positions of so many cells a class, from at most half of its groups, spread over them."""
    given: list[int] = []
    for label in sorted(set(labels)):
        members: dict[str, list[int]] = defaultdict(list)
        for i, group in enumerate(groups):
            if labels[i] == label:
                members[group].append(i)
        chosen = sorted(members, key=lambda group: _hash(f"few/{group}"))[: max(1, len(members) // 2)]
        spread = sorted((turn, chosen.index(group), i) for group in chosen for turn, i in enumerate(members[group]))
        given += [i for _, _, i in spread[:shots]]
    return sorted(given)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
