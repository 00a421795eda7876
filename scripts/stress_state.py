"""Attack data folders and runs from a seed: damage, forged cards, kills, rivals and full disks; nothing may be lost."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.attacks import cards, damages, disks, kills, rivals
from scripts.attacks.children import cores, run, spread
from scripts.attacks.verdict import Verdict, table
from scripts.attacks.world import ENSEMBLE, World, build

ATTACKS: dict[str, tuple[Callable[[World], Any], Callable[[World, int, int, Any], Verdict]]] = {
    damages.KIND: (damages.plan, damages.attack),
    cards.KIND: (cards.plan, cards.attack),
    kills.KIND: (kills.plan, kills.attack),
    rivals.KIND: (rivals.pairs, rivals.attack),
    disks.KIND: (disks.plan, disks.attack),
}
"""Each attack with what plans it and what carries out one case."""


def main() -> None:
    """Attack as the options ask, print the table, and exit with 1 unless everything was right."""
    parser = argparse.ArgumentParser(prog="scripts/stress state", description=__doc__)
    parser.add_argument("--damages", type=int, default=1000, help="damaged files (default: 1000)")
    parser.add_argument("--mutations", type=int, default=1000, help="changed fields of cards (default: 1000)")
    parser.add_argument("--kills", type=int, default=200, help="commands to kill (default: 200)")
    parser.add_argument("--rivals", type=int, default=40, help="pairs of commands at the same time (default: 40)")
    parser.add_argument("--disks", type=int, default=75, help="commands on full or limited disks (default: 75)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is random (default: 0)")
    parser.add_argument("--quick", action="store_true", help="a twentieth of each")
    parser.add_argument("--workers", type=int, default=cores(), help="cases at the same time (default: one per core)")
    parser.add_argument("--case", metavar="KIND:NUMBER", nargs="+", help="only these cases")
    parser.add_argument("--failures", type=Path, metavar="FILE", help="write one line per failure into a file")
    options = parser.parse_args()
    counts = dict(
        zip(ATTACKS, (options.damages, options.mutations, options.kills, options.rivals, options.disks), strict=True)
    )
    with tempfile.TemporaryDirectory(prefix="stress-") as folder:
        begin = time.perf_counter()
        world = build(Path(folder), options.seed)
        prepare_ensembles(world)
        print(f"the undamaged state took {time.perf_counter() - begin:.0f} s", file=sys.stderr)
        for case in options.case or ():
            kind, _, number = case.partition(":")
            plan, attack = ATTACKS[kind]
            print(attack(world, 0, int(number), plan(world)).line, flush=True)
        if options.case:
            return
        verdicts = [
            verdict
            for kind, count in counts.items()
            for verdict in tried(world, kind, -(-count // 20) if options.quick else count, options.workers)
        ]
    report(verdicts, options.seed, options.failures)


def prepare_ensembles(world: World) -> None:
    """Note what `evaluate` answers of the ensembles that replace the older one."""
    other = (*ENSEMBLE, "--weights", "0.9", "0.1", "--out", "runs/ensemble")
    for name, arguments in {"replaced": world.commands["replace"].arguments, "other": other}.items():
        state = world.fresh(0)
        run(state, arguments)
        world.answers[f"evaluate-{name}"] = world.answer(
            "evaluate-ensemble", state, world.run("evaluate-ensemble", state)
        )


def tried(world: World, kind: str, count: int, workers: int) -> list[Verdict]:
    """Carry out the cases 0 to `count` of one kind."""
    if kind == disks.KIND:
        for limit, reason in disks.possible(world).items():
            if reason:
                print(f"NOT TRIED: {limit} disks, for {reason}", file=sys.stderr)
    plan, attack = ATTACKS[kind]
    cases = plan(world)
    begin = time.perf_counter()

    def one(worker: int, number: int) -> Verdict:
        verdict = attack(world, worker, number, cases)
        if verdict.result != "right":  # at once, for all of them may take long
            print(verdict.line, file=sys.stderr, flush=True)
        return verdict

    verdicts = spread(one, range(count), workers)
    print(f"{kind}: {count} in {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    return verdicts


def report(verdicts: list[Verdict], seed: int, file: Path | None) -> None:
    """Print the table, and write the failures into a file; exit with 1 unless all is right."""
    wrong = [verdict for verdict in verdicts if verdict.result != "right"]
    if file:
        file.write_text("".join(f"{verdict.line}\n" for verdict in wrong), encoding="utf-8")
    print(f"seed {seed}\n{table(verdicts)}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
