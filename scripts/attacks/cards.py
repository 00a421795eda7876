"""One field of a card is absent or holds something else, with the old checksum or a new one; then the run is used."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from scripts.attacks.children import Outcome
from scripts.attacks.verdict import Case, Verdict, crashed_or_hung, refused
from scripts.attacks.world import RUNS, World, chance
from spectro.core.files import write_document

KIND = "mutation"
ABSENT = object()
VALUES: dict[str, Any] = {
    "absent": ABSENT, "null": None, "a string": "text", "a list": [1, "a", None], "10^9": 10**9, "-1": -1,
    "1e308": 1e308, "../../etc/passwd": "../../etc/passwd",
}  # fmt: skip
DESCRIPTIVE = (
    "name", "command", "environment", "seed", "history", "weights", "training", "fitting", "data", "split", "selection",
    "rules", "double_fault", "model.name", "model.parameters", "model.settings", "members.*.name", "members.*.weight",
)  # fmt: skip
"""Fields that tell about the run; another value may be shown, but must not change a number."""
NAMES = ("run", "split", "name", "title")
"""Keys of an answer that show such fields."""
Path = tuple[str | int, ...]


def fields(value: Any, path: Path = ()) -> list[Path]:
    """Return the path of every field of a JSON value; of a list, that of its first entry."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list) and value:
        children = [(0, value[0])]
    return [one for key, child in children for one in ((*path, key), *fields(child, (*path, key)))]


def plan(world: World) -> list[tuple[str, Path, str, bool]]:
    """Return every field of every card with every value, with a new checksum and some with the old one, shuffled."""
    rng = random.Random(world.seed)
    cases = []
    for run in RUNS:
        card = json.loads((world.base / "runs" / run / "card.json").read_text())
        for path in fields(card):
            for value in VALUES:
                cases.append((run, path, value, rng.random() < 0.85))
    rng.shuffle(cases)
    return cases


def mutate(card: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Return a card with another value in one field, or without it."""
    changed = copy.deepcopy(card)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    if value is ABSENT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed


def attack(world: World, worker: int, number: int, cases: list[tuple[str, Path, str, bool]]) -> Verdict:
    """Change one field of a card, and predict or evaluate with the run, or with the ensemble that it is a member of."""
    run, path, value, renewed = cases[number % len(cases)]
    rng = chance(world.seed, KIND, number)
    command = rng.choice(("predict", "evaluate")) + "-" + rng.choice((run, run, "ensemble"))
    if command == "evaluate-ensemble":
        command = f"evaluate-{run}"  # the ensemble's own predictions need no member
    state = world.fresh(worker)
    file = state / "runs" / run / "card.json"
    card = mutate(json.loads(file.read_text()), path, VALUES[value])
    if renewed and path[0] not in ("format", "version", "checksum"):
        version = card["version"]
        values = {key: one for key, one in card.items() if key not in ("format", "version", "checksum")}
        write_document(file, "card", version, values)
    else:
        file.write_text(json.dumps(card, indent=2))
    shown = ".".join(map(str, path))
    case = Case(KIND, number, command, f"{run} card, {shown} = {value}, checksum {'new' if renewed else 'old'}")
    outcome = world.run(command, state)
    if verdict := crashed_or_hung(case, outcome):
        return verdict
    if outcome.code != 0:
        return refused(case, outcome, ("card.json", f"runs/{run}", f"member ../{run}"))
    answer = world.answers[command].out
    if path[0] == "labels" and len(path) > 1 and isinstance(card["labels"][0], str):  # another name of the same class
        answer = answer.replace(f'"{world_label(world, run)}"', json.dumps(card["labels"][0]))
    return compared(case, answer, outcome, path)


def world_label(world: World, run: str) -> str:
    """Return the first label of a run."""
    return str(json.loads((world.base / "runs" / run / "card.json").read_text())["labels"][0])


def compared(case: Case, answer: str, outcome: Outcome, path: Path) -> Verdict:
    """Return the verdict on a command that answered, as JSON, where it once had another answer."""
    before, after = json.loads(answer), json.loads(outcome.out)
    if before == after:
        return case.verdict("right", "same answer")
    if is_descriptive(path) and without(before) == without(after):
        return case.verdict("right", "the answer differs in its description only")
    return case.verdict("silent", f"another answer; stderr: {outcome.last or 'nothing'}")


def is_descriptive(path: Path) -> bool:
    """Tell whether a field only tells about the run."""
    name = ".".join("*" if isinstance(key, int) else key for key in path)
    return any(name == one or name.startswith(one + ".") for one in DESCRIPTIVE)


def without(value: Any) -> Any:
    """Return an answer without what shows descriptive fields."""
    if isinstance(value, dict):
        return {key: without(one) for key, one in value.items() if key not in NAMES}
    return [without(one) for one in value] if isinstance(value, list) else value
