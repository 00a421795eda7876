"""Two commands at the same time in the same folders: each success must be there, each refusal must name the other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.attacks.children import Child, Outcome
from scripts.attacks.verdict import Case, Verdict, crashed_or_hung
from scripts.attacks.world import ENSEMBLE, TRAIN, World, chance, snapshot

KIND = "rivals"
PATIENCE = 120.0


@dataclass(frozen=True)
class Pair:
    """Two command lines, and what to look at when both have ended."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    check: Callable[[World, Path, tuple[Outcome, Outcome]], str]
    """Returns what is wrong, empty for nothing."""
    fresh: tuple[str, ...] = ()


def equal(name: str) -> Callable[[World, Path, tuple[Outcome, Outcome]], str]:
    """Return a check that the files are those of one undisturbed command."""

    def check(world: World, state: Path, outcomes: tuple[Outcome, Outcome]) -> str:
        expected, found = world.answers[name].files, snapshot(state, world.commands[name].outputs)
        apart = sorted(one for one in expected.keys() | found.keys() if expected.get(one) != found.get(one))
        return f"silent: {', '.join(apart[:3])} differ from an undisturbed {name}" if apart else ""

    return check


def one_seed(world: World, state: Path, outcomes: tuple[Outcome, Outcome]) -> str:
    """Check that of two trainings with other seeds in one folder the one that succeeded is there."""
    if all(one.code == 0 for one in outcomes):
        return "lost: both trainings exit 0, but one folder holds one of them"
    done = [seed for seed, one in enumerate(outcomes) if one.code == 0]
    seed = json.loads((state / "runs" / "new" / "card.json").read_text())["seed"]
    return "" if not done or seed == done[0] else f"lost: training {done[0]} exits 0, but that of seed {seed} is there"


def one_ensemble(world: World, state: Path, outcomes: tuple[Outcome, Outcome]) -> str:
    """Check that an ensemble that two commands wrote is one of theirs, whole."""
    state_of = world.run("evaluate-ensemble", state)
    if state_of.code != 0:
        return f"lost: evaluate then ends with {state_of.code}: {state_of.last}"
    whole = (world.answers["evaluate-replaced"].out, world.answers["evaluate-other"].out)
    return "" if state_of.out.strip() in whole else "silent: evaluate then answers of neither ensemble"


def old_or_new(world: World, state: Path, outcomes: tuple[Outcome, Outcome]) -> str:
    """Check that evaluating an ensemble while it is replaced answers of the old one or of the new one."""
    if outcomes[1].code != 0:
        return ""
    whole = (world.answers["evaluate-ensemble"].out, world.answers["evaluate-replaced"].out)
    return "" if outcomes[1].out.strip() in whole else "silent: evaluate answers of neither ensemble"


def training(world: World, state: Path, outcomes: tuple[Outcome, Outcome]) -> str:
    """Check a training beside which something was rendered or written: its result is the undisturbed one."""
    return equal("finetune")(world, state, outcomes) if outcomes[0].code == 0 else ""


def pairs(world: World) -> dict[str, Pair]:
    """Return all pairs, by what they are."""
    known = world.commands
    render, train = known["render"].arguments, known["finetune"].arguments
    other = (*render[:4], *("--n-fft", "1024", "--n-mels", "24", "--seconds", "1", "--workers", "1"))
    second = (*TRAIN, "--out", "runs/second")
    weights = (*ENSEMBLE, "--weights", "0.9", "0.1", "--out", "runs/ensemble")
    cache = ("data/mel-*/packed.*", "runs/new")
    return {
        "two renders": Pair(render, render, equal("render"), ("data",)),
        "render other settings while training": Pair((*train, "--config-id", mel_id(world)), other, training, cache),
        "render the same while training": Pair(train, render, training, cache),
        "two trainings, same seed, one folder": Pair(train, train, training, cache),
        "two trainings, other seeds, one folder": Pair(train, (*train, "--seed", "1"), one_seed, cache),
        "two trainings, two folders, one cache": Pair(train, second, training, cache),
        "two ensembles, one folder": Pair(known["replace"].arguments, weights, one_ensemble),
        "evaluate while an ensemble is replaced": Pair(
            known["replace"].arguments, known["evaluate-ensemble"].arguments, old_or_new
        ),
        "two extractions": Pair(
            known["features"].arguments, known["features"].arguments, equal("features"), ("data/features",)
        ),
        "two splits": Pair(known["split"].arguments, known["split"].arguments, equal("split"), ("data/splits",)),
    }


def mel_id(world: World) -> str:
    """Return the id of the settings of the world's spectrograms."""
    return next(world.base.glob("data/mel-*")).name.removeprefix("mel-")


def attack(world: World, worker: int, number: int, known: dict[str, Pair]) -> Verdict:
    """Start two commands within a short time, and look at both and at what they left."""
    name = list(known)[number % len(known)]
    pair, rng = known[name], chance(world.seed, KIND, number)
    state = world.fresh(worker, *pair.fresh)
    delay = rng.choice((0.0, rng.uniform(0, 0.05), rng.uniform(0, 0.3)))
    case = Case(KIND, number, " | ".join(" ".join(one[:2]) for one in (pair.first, pair.second)), name)
    first = Child(state, pair.first)
    time.sleep(delay)
    second = Child(state, pair.second)
    outcomes = (first.wait(PATIENCE), second.wait(PATIENCE))
    for outcome in outcomes:
        if verdict := crashed_or_hung(case, outcome):
            return verdict
    for outcome in outcomes:
        lines = outcome.complaints
        if outcome.code == 2 and not (len(lines) == 1 and is_refusal(lines[0])):
            return case.verdict("unclear", f"refused without naming the other: {outcome.last}")
    if all(outcome.code == 2 for outcome in outcomes):
        return case.verdict("lost", f"both are refused: {outcomes[0].last}")
    result, _, note = pair.check(world, state, outcomes).partition(": ")
    return case.verdict(result, note) if result else case.verdict("right", " | ".join(one.last for one in outcomes))


def is_refusal(line: str) -> bool:
    """Tell whether a line names the process that writes, or the finished work of the other command."""
    return "is written by" in line or "process" in line or "choose another --out" in line
