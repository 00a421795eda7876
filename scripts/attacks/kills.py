"""SIGKILL before the n-th change of a file, or at a random moment; then the same command again."""

from __future__ import annotations

import random
from pathlib import Path

from scripts.attacks.children import Child, kill_at
from scripts.attacks.verdict import Case, Verdict, crashed_or_hung
from scripts.attacks.world import TEMPORARY, World, chance

KIND = "kill"
COMMANDS = (
    "render", "features", "split", "finetune", "resume", "fit", "ensemble", "replace", "audit", "report",
    "evaluate-torch", "evaluate-ensemble",
)  # fmt: skip


def plan(world: World) -> list[tuple[str, int]]:
    """Return each command with each change of a file before which it may be killed, alternating between commands."""
    rng = random.Random(world.seed)
    left = {name: list(range(1, world.changes[name] + 1)) for name in COMMANDS}
    for numbers in left.values():
        rng.shuffle(numbers)
    cases = []
    while any(left.values()):
        cases += [(name, numbers.pop()) for name, numbers in left.items() if numbers]
    return cases


def attack(world: World, worker: int, number: int, cases: list[tuple[str, int]]) -> Verdict:
    """Kill a command, look at what it left, run it again and compare with an undisturbed one."""
    name, change = cases[number % len(cases)]
    rng = chance(world.seed, KIND, number)
    command = world.commands[name]
    state = world.fresh(worker, *command.fresh)
    if rng.random() < 0.8:
        case = Case(KIND, number, name, f"SIGKILL before change {change} of {world.changes[name]}")
        world.run(name, state, kill_at(state, change))
    else:
        moment = rng.uniform(0, 0.5)
        case = Case(KIND, number, name, f"SIGKILL after {moment:.3f} s")
        Child(state, command.arguments).wait(moment)
    if name == "replace" and (verdict := torn(world, case, state)):
        return verdict
    outcome = world.run(name, state)
    if verdict := crashed_or_hung(case, outcome):
        return verdict
    if outcome.code != world.answers[name].code:
        return case.verdict("lost", f"run again, it ends with {outcome.code}: {outcome.last}")
    if apart := world.right(name, state, outcome):
        return case.verdict("lost", f"run again, {', '.join(apart[:4])} differ")
    if litter := leftovers(state):
        return case.verdict("lost", f"run again, it leaves {', '.join(litter[:3])}")
    return case.verdict("right")


def torn(world: World, case: Case, state: Path) -> Verdict | None:
    """Return a verdict where an ensemble that was being replaced is neither the old one nor the new one."""
    name = "evaluate-ensemble"
    outcome = world.run(name, state)
    if verdict := crashed_or_hung(case, outcome):
        return verdict
    if outcome.code != 0:
        return case.verdict("lost", f"then {name} ends with {outcome.code}: {outcome.last}")
    if outcome.out.strip() not in (world.answers[name].out, new_ensemble(world)):
        return case.verdict("silent", f"then {name} answers neither as before nor as after")
    return None


def new_ensemble(world: World) -> str:
    """Return what evaluate answers of the ensemble that replaces the older one."""
    return world.answers["evaluate-replaced"].out


def leftovers(state: Path) -> list[str]:
    """Return the half-written files below a folder."""
    names = (path.relative_to(state).as_posix() for path in state.rglob(".*"))
    return [name for name in names if TEMPORARY.search(name)]
