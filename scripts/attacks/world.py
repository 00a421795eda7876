"""The world that is attacked: synthetic sound, a data folder, runs, the commands that read them, their answers."""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
import json
import os
import random
import re
import shutil
import sys
import warnings
import zipfile
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from scripts.attacks.children import PATIENCE, Outcome, Prepare, at_end, kill_at, record, run
from spectro.core.files import digest_text

RATE = 22050
SETTINGS = ("--n-fft", "1024", "--n-mels", "32", "--seconds", "1", "--workers", "1")
TRAIN = ("finetune", "data", "--model", "cnn5", "--epochs", "3", "--batch-size", "8")
FIT = ("finetune", "data", "--model", "svm", "--no-search")
ENSEMBLE = ("ensemble", "runs/torch", "runs/classical")
RUNS = ("torch", "classical", "ensemble")
IGNORED = re.compile(r"(^|/)(\.lock|\.owner\.json)$")
"""Files of locks: they may stay, and hold no answer."""
CACHES = re.compile(r"/mel-[^/]*/(packed\.[a-z]+|pictures\.json|features/.*)$")
"""Files that are made again where they are missing, and hold no answer."""
TEMPORARY = re.compile(r"(^|/)\.[^/]*\.tmp$")


@dataclass(frozen=True)
class Command:
    """A command line and what of the state is its answer, beside its standard output."""

    arguments: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    """Files and folders."""
    fresh: tuple[str, ...] = ()
    """What is removed for a start from nothing."""


@dataclass(frozen=True)
class Answer:
    """What a command answers."""

    code: int | None
    out: str
    files: dict[str, str]
    """Digest of each file, without what differs from time to time."""

    def differences(self, other: Answer) -> list[str]:
        """Return the names of what differs."""
        names = sorted(self.files.keys() | other.files.keys())
        apart = [name for name in names if self.files.get(name) != other.files.get(name)]
        return [
            *(["exit code"] if self.code != other.code else []),
            *(["output"] if self.out != other.out else []),
            *apart,
        ]


def commands(corpus: Path) -> dict[str, Command]:
    """Return every command that is tried, by a short name."""
    sounds = tuple(str(corpus / name) for name in ("hum/hum-0-0.wav", "hiss/hiss-3-1.wav"))
    rendered = ("data/clips.csv", "data/failed.csv", "data/source.json", "data/mel-*")
    known = {
        "render": Command(("render", str(corpus / "clips.csv"), "--out", "data", *SETTINGS), rendered, ("data",)),
        "split": Command(("split", "data", "--test", "0.25", "--val", "0.25"), ("data/splits",), ("data/splits",)),
        "features": Command(
            ("data", "features", "data", "--out", "features.csv", "--workers", "1"),
            ("data/features", "features.csv"),
            ("data/features", "features.csv"),
        ),
        "finetune": Command((*TRAIN, "--out", "runs/new"), ("runs/new",), ("runs/new", "data/mel-*/packed.*")),
        "resume": Command((*TRAIN, "--out", "runs/unfinished"), ("runs/unfinished",)),
        "fit": Command((*FIT, "--out", "runs/fit"), ("runs/fit",), ("runs/fit", "data/features")),
        "ensemble": Command((*ENSEMBLE, "--out", "runs/both"), ("runs/both",), ("runs/both",)),
        "replace": Command((*ENSEMBLE, "--weights", "0.3", "0.7", "--out", "runs/ensemble"), ("runs/ensemble",)),
        "compare": Command(("compare", "runs/torch", "runs/classical", "--format", "json")),
        "report": Command(("report", "runs/torch", "runs/ensemble", "--out", "report.html"), ("report.html",)),
        "audit": Command(("data", "audit", "data", "--split", "group", "--json", "--workers", "1"), ("data/audit.*",)),
        "preview": Command(("data", "preview", "data", "--out", "preview.png"), ("preview.png",)),
        "map": Command(("plot", "map", "data", "--methods", "pca", "--out", "map.svg", "--json")),
        "explain": Command(("explain", "runs/torch", sounds[0], "--out", "explained", "--json")),
    }
    for name in RUNS:
        metrics = f"runs/{name}/metrics.json"
        known[f"evaluate-{name}"] = Command(("evaluate", f"runs/{name}", "--json"), (metrics,), (metrics,))
        known[f"predict-{name}"] = Command(("predict", f"runs/{name}", *sounds, "--json"))
        known[f"card-{name}"] = Command(("models", "card", f"runs/{name}", "--out", "card.md"), ("card.md",))
        known[f"plot-{name}"] = Command(("plot", "run", f"runs/{name}", "--out", "plots"), ("plots",))
    return known


def make_corpus(root: Path) -> None:
    """Write 24 clips of 2 s in three classes and twelve groups, one file that is no sound, and their table."""
    time = np.arange(2 * RATE) / RATE
    rows = []
    for group in range(4):
        pitch = 1 + 0.15 * group
        sounds = {
            "chirp": np.sin(2 * np.pi * (800 * pitch * time + 900 * np.sin(2 * np.pi * time))),
            "hiss": np.diff(np.random.default_rng(group).standard_normal(len(time) + 1)) * pitch,
            "hum": np.sum([np.sin(2 * np.pi * 110 * pitch * k * time) / k for k in (1, 2, 3)], axis=0),
        }
        for take in range(2):
            noise = np.random.default_rng([group, take]).standard_normal(len(time))
            for label, clean in sounds.items():
                name = f"{label}/{label}-{group}-{take}.wav"
                (root / label).mkdir(parents=True, exist_ok=True)
                soundfile.write(root / name, np.clip(0.2 * clean + 0.01 * noise, -1, 1).astype(np.float32), RATE)
                rows.append(f"{name},{label},{label}-{group}")
    (root / "hum" / "broken.wav").write_text("no sound")
    table = "\n".join(["path,label,group", *rows, "hum/broken.wav,hum,hum-9"]) + "\n"
    (root / "clips.csv").write_text(table)


@dataclass
class World:
    """A corpus, an undamaged state of folders, and what every command answers in it."""

    root: Path
    seed: int
    answers: dict[str, Answer] = field(default_factory=dict)
    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The files of the state that a command opens, by its name."""
    changes: dict[str, int] = field(default_factory=dict)
    """How often a command that starts from nothing changes a file."""

    def __post_init__(self) -> None:
        self.corpus, self.base, self.spare = self.root / "corpus", self.root / "base", self.root / "spare"
        self.commands = commands(self.corpus)

    def fresh(self, worker: int, *without: str) -> Path:
        """Return a copy of the state, without what the patterns name, in the folder of a worker."""
        folder = self.root / f"case-{worker}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.base, folder)
        remove(folder, without)
        return folder

    def run(self, name: str, folder: Path, *prepare: Prepare, patience: float = PATIENCE) -> Outcome:
        """Run a command of this world in a folder."""
        return run(folder, self.commands[name].arguments, prepare, patience)

    def answer(self, name: str, folder: Path, outcome: Outcome) -> Answer:
        """Return what a command answered."""
        return Answer(outcome.code, plain_output(outcome.out, folder), snapshot(folder, self.commands[name].outputs))

    def right(self, name: str, folder: Path, outcome: Outcome) -> list[str]:
        """Return what differs from the undisturbed answer; nothing when it is right."""
        return self.answers[name].differences(self.answer(name, folder, outcome))


def remove(folder: Path, patterns: Sequence[str]) -> None:
    """Remove files and folders."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def plain_output(text: str, folder: Path) -> str:
    """Return a command's output without how much of its work was there already."""
    return re.sub(r"\(\d+ new, \d+ reused\)", "", text.replace(str(folder), "")).strip()


def snapshot(folder: Path, patterns: Sequence[str] = ("*",)) -> dict[str, str]:
    """Return the digest of each file, without times, locks and caches."""
    found = {}
    for pattern in patterns:
        for top in folder.glob(pattern):
            for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
                name = path.relative_to(folder).as_posix()
                if path.is_file() and not IGNORED.search(name) and not CACHES.search(name):
                    plain = re.sub(r"generation-\d+/", "", name)  # it counts how often an ensemble was made
                    name = name if plain in found else plain
                    found[name] = hashlib.sha256(timeless(path)).hexdigest()[:16]
    return found


def timeless(path: Path) -> bytes:
    """Return the content of a file without the seconds that a training took."""
    content = path.read_bytes()
    with suppress(ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile):
        if path.name == "card.json":
            card = json.loads(content)
            card["history"] = {**(card["history"] or {}), "seconds": 0}
            card["files"] = {**card["files"], "history.csv": "", "model.skops": ""}
            own = dict.fromkeys(("checksum", "command", "generation", "environment"), "")
            return json.dumps({**card, **own}).encode()
        if path.name == "history.csv":
            rows = list(csv.DictReader(io.StringIO(content.decode())))
            return repr([{key: row[key] for key in row if not key.startswith("seconds")} for row in rows]).encode()
        if path.name == "done.csv":  # a journal: a line may stand there twice, and one that is not whole does not count
            lines = filter(None, csv.reader(io.StringIO(content.decode())))
            return repr(sorted({tuple(line) for line in lines if line[-1] == digest_text(*line[:-1])})).encode()
        if path.suffix == ".npy":
            return bytes(np.load(path, allow_pickle=False).tobytes())
        if path.suffix == ".html":  # streams of Ogg have random numbers
            return re.sub(rb'data:audio/[^"]*', b"", content)
        if path.name == "model.skops":  # it holds times and addresses
            with zipfile.ZipFile(path) as file:
                return repr(sorted(file.read(name) for name in file.namelist() if name.endswith(".npy"))).encode()
    return content


def build(root: Path, seed: int) -> World:
    """Make the world below a folder."""
    os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[2] / ".numba_cache" / "stress")
    world = World(root, seed)
    make_corpus(world.corpus)
    make_state(world, world.base, ())
    import_like(world, ("audit", "explain", "report", "map", "plot-torch", "resume", "predict-ensemble", "card-torch"))
    make_state(world, world.spare, ("--seed", "1"))
    interrupt_training(world, world.base)
    interrupt_training(world, world.spare)
    for name in world.commands:
        undisturbed(world, name)
    return world


def make_state(world: World, folder: Path, options: Sequence[str]) -> None:
    """Render, split, train and evaluate in a folder."""
    folder.mkdir()
    networks = tuple(options)
    steps: list[tuple[str, ...]] = [
        world.commands["render"].arguments,
        (*world.commands["split"].arguments, *options),
        (*TRAIN, *networks, "--out", "runs/torch"),
        (*FIT, *options, "--out", "runs/classical"),
        (*ENSEMBLE, "--out", "runs/ensemble"),
        *(world.commands[f"evaluate-{name}"].arguments for name in RUNS),
        world.commands["audit"].arguments,
    ]
    for step in steps:
        outcome = run(folder, step, patience=300)
        if outcome.code not in (0, 3):
            raise SystemExit(f"spectro {' '.join(step)} does not work undisturbed either: {outcome.err}")
        if step[0] == "render" and folder == world.base:
            warm_up(world, folder)


def warm_up(world: World, folder: Path) -> None:
    """Load here, once, what the commands load and compile, so that forked children need not."""
    names = (
        "torch",
        "torchvision",
        "timm",
        "sklearn.svm",
        "sklearn.ensemble",
        "skops.io",
        "matplotlib.pyplot",
        "librosa",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (*names, *map(module_name, Path(__file__).parents[2].glob("spectro/**/*.py"))):
            with suppress(ImportError):
                importlib.import_module(name)
        from spectro.cli import main
        from spectro.core import files

        copy, here = world.root / "warm", Path.cwd()
        shutil.copytree(folder, copy)
        os.chdir(copy)
        with suppress(SystemExit), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            main(world.commands["features"].arguments)
        os.chdir(here)
        shutil.rmtree(copy)
        files._verified.clear()


def import_like(world: World, names: Sequence[str]) -> None:
    """Import here what commands import when they run; those are run in a child."""
    listed = world.root / "modules"

    def note() -> None:
        at_end.append(lambda: listed.open("a").write("\n".join(sys.modules) + "\n"))

    for name in names:
        world.run(name, world.fresh(0), note, patience=120)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in dict.fromkeys(listed.read_text().split()):
            if module not in sys.modules:
                with suppress(Exception):
                    importlib.import_module(module)


def module_name(path: Path) -> str:
    """Return the name of a module of the package."""
    parts = path.relative_to(Path(__file__).parents[2]).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] in ("__init__", "__main__") else parts)


def interrupt_training(world: World, folder: Path) -> None:
    """Leave a training that was killed after its second checkpoint."""
    arguments = (*TRAIN, "--out", "runs/unfinished", *(() if folder == world.base else ("--seed", "1")))
    for number in range(2, 60):
        shutil.rmtree(folder / "runs" / "unfinished", ignore_errors=True)
        run(folder, arguments, [kill_at(folder / "runs" / "unfinished", number)], patience=120)
        history = folder / "runs" / "unfinished" / "history.csv"
        if history.exists() and len(history.read_text().splitlines()) == 3:
            remove(folder, ("runs/unfinished/.*.tmp",))
            return
    raise SystemExit("no training could be interrupted between its checkpoints")


def undisturbed(world: World, name: str) -> None:
    """Note what a command answers, what it reads and how often it changes a file; check that it answers so twice."""
    answers, log = [], world.root / "events"
    for patterns in ((), world.commands[name].fresh):
        folder = world.fresh(0, *patterns)
        log.unlink(missing_ok=True)
        outcome = world.run(name, folder, record(folder, log), patience=300)
        if outcome.code not in (0, 3):
            raise SystemExit(f"{name} does not work undisturbed either: {outcome.err}")
        answers.append(world.answer(name, folder, outcome))
        lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
        if not patterns:
            world.reads[name] = tuple(
                sorted({path for event, path in lines if event == "read" and (world.base / path).is_file()})
            )
        world.changes[name] = sum(event != "read" and not IGNORED.search(path) for event, path in lines)
    if apart := answers[0].differences(answers[1]):
        raise SystemExit(f"{name} answers otherwise when it starts from nothing: {', '.join(apart[:5])}")
    world.answers[name] = answers[0]


def chance(seed: int, kind: str, number: int) -> random.Random:
    """Return the random numbers of one case."""
    return random.Random(f"{seed}-{kind}-{number}")


def json_values(text: str) -> Any:
    """Return the JSON of an output; None where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None
