"""Damage to one file of a data folder or a run, and then a command that reads it."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from scripts.attacks.children import Outcome, run
from scripts.attacks.verdict import Case, Verdict, crashed_or_hung, refused
from scripts.attacks.world import ENSEMBLE, FIT, IGNORED, TRAIN, World, chance, remove

KIND = "damage"
EDITED = ("clips.csv",)
"""Tables that people edit: another answer is right where a line tells what was taken over."""
OPTIONAL = ("audit.json", "audit.csv", "leakage_gap.json")
"""Files that are there only where a command was run that need not be; without them an answer has less in it."""
HOPS = 3
"""How many errors in a row may each name the next thing to do."""
REMEDY = re.compile(
    r"[;:] .*\b(choose|remove|move|run|make|repeat|restore|correct|save|add|bring|give|evaluate|explain|quote|write"
    r"|train|did you mean)\b"
)
"""What a message that ends a command says after what is wrong."""
REMAKE = {
    "torch": (*TRAIN, "--out", "runs/torch"),
    "classical": (*FIT, "--out", "runs/classical"),
    "ensemble": (*ENSEMBLE, "--out", "runs/ensemble"),
    "unfinished": (*TRAIN, "--out", "runs/unfinished"),
}
"""The commands that made the runs."""
Damage = Callable[[Path, random.Random], None]


def cut(path: Path, rng: random.Random) -> None:
    """Keep only a beginning."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) or 1)])


def flip(path: Path, rng: random.Random) -> None:
    """Flip one bit."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def empty(path: Path, rng: random.Random) -> None:
    """Leave nothing."""
    path.write_bytes(b"")


def block(path: Path, rng: random.Random) -> tuple[bytes, int, int]:
    """Return the content of a file, and where a block of it begins and ends."""
    content = path.read_bytes()
    begin = rng.randrange(len(content))
    return content, begin, min(len(content), begin + rng.choice((1, 16, 512, 4096)))


def zero(path: Path, rng: random.Random) -> None:
    """Fill a block with zeros."""
    content, begin, end = block(path, rng)
    path.write_bytes(content[:begin] + bytes(end - begin) + content[end:])


def double(path: Path, rng: random.Random) -> None:
    """Repeat a block."""
    content, begin, end = block(path, rng)
    path.write_bytes(content[:end] + content[begin:])


def folder(path: Path, rng: random.Random) -> None:
    """Put a folder in its place."""
    path.unlink()
    path.mkdir()


def absent(path: Path, rng: random.Random) -> None:
    """Remove it."""
    path.unlink()


DAMAGES: dict[str, Damage] = {
    "cut": cut, "flip": flip, "empty": empty, "zero": zero, "double": double, "folder": folder, "absent": absent
}  # fmt: skip


def foreign(world: World, path: Path, name: str, rng: random.Random) -> None:
    """Replace it by another file of the same kind: of the same name elsewhere, else of the same ending."""
    files = [one for top in (world.base, world.spare) for one in sorted(top.rglob("*" + path.suffix)) if one.is_file()]
    others = [one for one in files if one.read_bytes() != path.read_bytes()]
    namesakes = [one for one in others if one.name == path.name]
    shutil.copyfile(rng.choice(namesakes or others), path)


def plan(world: World) -> list[tuple[str, str]]:
    """Return every file of the state that a command reads, with every damage, in the order of this seed.

    Of the many spectrograms, and of what one feature holds, as many as of other files are taken.
    """
    rng = random.Random(world.seed)
    files = sorted({name for names in world.reads.values() for name in names if not IGNORED.search(name)})
    images = [name for name in files if name.endswith(".png")]
    files = [name for name in files if not name.endswith(".png")] + rng.sample(images, min(2, len(images)))
    pairs = [(name, damage) for name in files for damage in (*DAMAGES, "foreign")]
    rng.shuffle(pairs)
    return pairs


def attack(world: World, worker: int, number: int, pairs: list[tuple[str, str]]) -> Verdict:
    """Damage one file and run a command that reads it; follow the remedy that an error names."""
    rng = chance(world.seed, KIND, number)
    name, damage = pairs[number % len(pairs)]
    readers = [command for command, names in world.reads.items() if name in names]
    readers = [one for one in readers if not one.startswith("predict")] * 2 + readers
    command = rng.choice(readers)
    state = world.fresh(worker)
    unpacked = name.endswith(".png") and rng.random() < 0.5
    if unpacked:
        remove(state, ("data/mel-*/packed.*",))
        command = rng.choice(("finetune", "preview"))
    before = (state / name).stat()
    if damage == "foreign":
        foreign(world, state / name, name, rng)
    elif damage in ("flip", "zero", "double") and not (state / name).stat().st_size:
        absent(state / name, rng)
    else:
        DAMAGES[damage](state / name, rng)
    what = f"{damage} {short(name)}" + (" unpacked" if unpacked else "")
    if (state / name).is_file() and rng.random() < 0.5:  # as a copy with its times would look
        os.utime(state / name, ns=(before.st_atime_ns, before.st_mtime_ns))
        what += ", same time"
    case = Case(KIND, number, command, what)
    outcome = world.run(command, state)
    return crashed_or_hung(case, outcome) or compared(world, case, state, name, outcome)


def compared(world: World, case: Case, state: Path, name: str, outcome: Outcome) -> Verdict:
    """Return the verdict on a command that ended by itself."""
    path, damage = Path(name), case.what.split()[0]
    if outcome.code != world.answers[case.command].code:
        folders = path.parents if damage == "absent" else path.parents[:1]
        verdict = refused(case, outcome, (path.name, *(one.as_posix() for one in folders if one != Path())))
        if verdict.result != "right":
            return verdict
        if damage == "folder":  # whoever reads that there is a folder moves it away
            remove_any(state / name)
        return followed(world, case, state, name, outcome) or verdict
    apart = world.right(case.command, state, outcome)
    if not apart or (damage == "absent" and path.name in OPTIONAL):
        return case.verdict("right", outcome.last)
    if (path.name in EDITED or case.command == "report") and path.name in outcome.err:  # a page names what it lacks
        return case.verdict("right", outcome.err)
    if case.command == "report" and damage == "absent" and "missing from the report" in outcome.err:
        return case.verdict("right", outcome.err)
    return case.verdict("silent", f"{', '.join(apart[:3])} differ; stderr: {outcome.last or 'nothing'}")


def followed(world: World, case: Case, state: Path, name: str, outcome: Outcome) -> Verdict | None:
    """Do what errors say should be done, where a program can; return a verdict when that does not help."""
    text = outcome.last_complaint
    for _ in range(HOPS):
        steps = remedies(world, state, name, outcome.last_complaint)
        if steps is None:
            named = REMEDY.search(outcome.last_complaint.removeprefix("spectro: "))
            return None if named else case.verdict("unclear", f"no remedy: {outcome.last_complaint}")
        for step in steps:
            outcome = run(state, step)
            if outcome.code not in (0, 3):
                break
        else:
            outcome = world.run(case.command, state)
            if outcome.code == world.answers[case.command].code:
                taken_over = Path(name).name in EDITED and Path(name).name in outcome.err
                other_run = name.startswith("runs/") or taken_over
                apart = [] if other_run else world.right(case.command, state, outcome)
                return case.verdict("lost", f"'{text}': after that {', '.join(apart[:3])} differ") if apart else None
        if outcome.code != 2 or not outcome.complaints:
            break
    return case.verdict("lost", f"'{text}': does not help, still: {outcome.last}")


def remedies(world: World, state: Path, name: str, text: str) -> list[tuple[str, ...]] | None:
    """Remove what a message says should be removed; return the commands that it says should be run, None if none."""
    target = named_for_removal(state, text)
    if not target and re.search(r"remove (it|its|that)\b", text):
        target = (state / name).parent if "remove its folder" in text else state / name
    if target:
        remove_any(target)
    run_name = name.split("/")[1] if name.startswith("runs/") else ""
    steps: list[tuple[str, ...]] = []
    if match := re.search(r"spectro evaluate (runs/\w+)", text):
        steps.append(("evaluate", match[1], "--json"))
    elif run_name and re.search(r"again|repeat", text):
        steps.append(REMAKE[run_name])
    elif "render" in text:
        steps.append(world.commands["render"].arguments)
    elif "splits/" in name and "split" in text:
        steps.append(world.commands["split"].arguments)
    elif re.search(r"audit|leakage", name) and "audit" in text:
        steps.append(world.commands["audit"].arguments)
    return steps if steps or target else None


def named_for_removal(state: Path, text: str) -> Path | None:
    """Return the file or folder that a message says should be removed."""
    match = re.search(r"remove ([^ ,;]+)", text)
    path = state / match[1].rstrip(".)") if match else state
    return path if path != state and path.exists() else None


def remove_any(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def short(name: str) -> str:
    """Return a name without hashes, so that like failures look alike."""
    return "/".join(part.partition("-")[0] if part.startswith(("mel-", "stats-")) else part for part in name.split("/"))
