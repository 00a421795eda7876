"""How rendering in lots, splits and audits grow: clips a second by engine, time and memory up to a million clips."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from scripts.attacks.raylets import Raylets
from spectro.audio.acoustic_fingerprint import Fingerprint, find_duplicates, fingerprint_one
from spectro.core.config import RenderConfig, SplitConfig
from spectro.core.data_folder import DataFolder, Source
from spectro.core.files import size_and_digest
from spectro.core.storage import Entry, open_storage
from spectro.core.tables import Clip
from spectro.data.check import check_audio
from spectro.data.engines import Done
from spectro.data.engines.pool import Outcome
from spectro.data.lots import listing
from spectro.data.lots.commit import commit
from spectro.data.lots.drive import drive
from spectro.data.lots.names import shard_name
from spectro.data.lots.plan import make_plan, open_plan, read_items
from spectro.data.lots.records import ClipRow, Commit, LotResult, LotTask
from spectro.data.lots.render_lots import render_lots
from spectro.data.lots.seal import seal
from spectro.data.splits import split
from spectro.data.store import open_store
from spectro.data.tables import write_tables

CONFIG = RenderConfig()
SECONDS = 30.0
SEGMENTS = 10
LABELS = 10
MP3_BYTES = 720_000
"""Of a 30-s MP3 of 192 kbit/s."""
SHARD_MB = 8
"""Of the comparison of engines: a lot of about 60 clips, so that a thousand keep two workers busy."""
RENDER = "import sys; from scripts.bench_scale import render_once; render_once(*sys.argv[1:])"
STAGE = "import sys; from scripts.bench_scale import STAGES; STAGES[sys.argv[1]](int(sys.argv[2]), sys.argv[3])"


class FakeBucket:
    """A bucket that lists so many MP3 files and holds none."""

    url = "s3://fake"

    def __init__(self, count: int) -> None:
        self._count = count

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the names in order; an album has ten tracks."""
        for number in range(self._count):
            name = f"class {number * LABELS // self._count}/{number // 10:06d}/{number:07d}.mp3"
            yield Entry(name=name, size=MP3_BYTES, etag=f"{number:032x}")


class IdlePool:
    """Workers that answer at once."""

    def __init__(self) -> None:
        self._waiting: list[LotTask] = []

    def slots(self) -> int:
        """Return 64."""
        return 64

    def room(self) -> int:
        """Return 128."""
        return 128

    def submit(self, task: Any) -> None:
        """Note a task."""
        self._waiting.append(task)

    def wait(self, seconds: float) -> list[tuple[Any, Outcome]]:
        """Return all tasks as done."""
        done, self._waiting = self._waiting, []
        return [(task, Done(LotResult(state="committed", clips=1))) for task in done]

    def cancel(self, task: Any) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def plan_stage(count: int, out: str) -> None:
    """Plan from a listing."""
    bucket: Any = FakeBucket(count)
    make_plan(
        open_storage(out),
        lambda: listing._bucket_items(bucket, labelled=True),
        source=bucket.url,
        layout="folder",
        work=CONFIG,
    )


def commit_stage(count: int, out: str) -> None:
    """Commit every lot, with a shard of a few bytes."""
    storage = open_storage(out)
    plan = open_plan(storage)
    with tempfile.TemporaryDirectory() as folder:
        shard = Path(folder, "shard.tar")
        for number, lot in enumerate(plan.lots):
            shard.write_text(lot.id)
            size, digest = size_and_digest(shard)
            starts = tuple(3.0 * k for k in range(SEGMENTS))
            rows = tuple(
                ClipRow(
                    clip=item.clip,
                    seconds=SECONDS,
                    stamp=f"{item.size} {item.etag}",
                    decoder="libsndfile",
                    starts=starts,
                    places=tuple((20_000 * k, 15_000) for k in range(SEGMENTS)),
                )
                for item in read_items(storage, plan, number)
            )
            name = shard_name(lot.id, "a", ".tar")
            commit(
                storage,
                Commit(lot=lot.id, attempt="a", shard=name, bytes=size, digest=digest, elapsed=90.0, rows=rows),
                shard,
            )


def drive_stage(count: int, out: str) -> None:
    """Hand out every lot to workers that answer at once."""
    plan = open_plan(open_storage(out))
    drive(IdlePool(), plan, range(len(plan.lots)), lambda lot, item: "")


def seal_stage(count: int, out: str) -> None:
    """Check all shards and write all tables."""
    seal(out)


def open_stage(count: int, out: str) -> None:
    """Open what was sealed, as every command does that trains or evaluates."""
    assert len(open_store(out).segments) == SEGMENTS * count


def split_stage(count: int, out: str) -> None:
    """Split by group."""
    split(out, config=SplitConfig(by="group"))


STAGES: dict[str, Callable[[int, str], None]] = {
    "plan": plan_stage,
    "commit": commit_stage,
    "drive": drive_stage,
    "seal": seal_stage,
    "open": open_stage,
    "split": split_stage,
}


def staged(name: str, count: int, out: Path) -> None:
    """Do one stage in a process of its own; print its time and memory."""
    began = time.perf_counter()
    code = f"{STAGE}\nimport resource, json\nuse = resource.getrusage(resource.RUSAGE_SELF)"
    code += "\nprint(json.dumps([use.ru_maxrss, use.ru_utime + use.ru_stime]))"
    answer = subprocess.run(
        [sys.executable, "-c", code, name, str(count), str(out)], check=True, stdout=subprocess.PIPE, text=True
    )
    wall = time.perf_counter() - began
    peak, cpu = json.loads(answer.stdout.splitlines()[-1])
    print(f"{name:>7} {count:>8} clips: {wall:7.1f} s, {cpu:7.1f} core-s, {peak / 1024:6.0f} MB", flush=True)


def lots(counts: list[int], work: Path) -> None:
    """Measure the life of lots, and splitting."""
    for count in counts:
        out = work / f"lots-{count}"
        for name in ("plan", "commit", "drive", "seal", "open"):
            staged(name, count, out)
        data = DataFolder(work / f"split-{count}")
        clips = [
            Clip(id=f"c/{n}.mp3", label=f"class {n // 10 % LABELS}", group=f"{n // 10}", seconds=SECONDS)
            for n in range(count)
        ]
        data.path.mkdir()
        data.write_source(Source(layout="folder", root=str(work)))
        write_tables(data, clips)
        staged("split", count, data.path)


def make_music(folder: Path, count: int) -> None:
    """Write 20 clips of 30 s, and more names for them."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"class {number % 2}" / f"{number:05d}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < 20:
            soundfile.write(path, _music(rng), 22050)
        else:
            os.link(folder / f"class {number % 2}" / f"{number % 20:05d}.mp3", path)


def _music(rng: np.random.Generator) -> Any:
    """Return 30 s of notes in noise."""
    axis = np.arange(int(SECONDS * 22050)) / 22050
    pitch = np.repeat(110 * 2 ** (rng.integers(0, 36, 100) / 12), len(axis) // 100 + 1)[: len(axis)]
    return 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / 22050) + 0.01 * rng.standard_normal(len(axis))


def render_once(source: str, out: str, engine: str, workers: str) -> None:
    """Render all clips; what a driver process runs."""
    done = render_lots(source, out=out, config=CONFIG, engine=engine, workers=int(workers), shard_mb=SHARD_MB)
    assert done.complete


def engines(count: int, rounds: int, work: Path) -> None:
    """Compare engines, in turns on the same clips; each is started, works and ends."""
    make_music(work / "music", count)
    rates: dict[str, list[float]] = {}
    with Raylets(1) as raylets:
        ways = {"local, 1 process": ("local", 1), "local, 2": ("local", 2), "Ray, 2": (f"ray:{raylets.address}", 2)}
        for turn in range(rounds + 1):
            for name, (engine, workers) in ways.items():
                if not (turn or engine.startswith("ray")):
                    continue  # only Ray is warmed up
                with tempfile.TemporaryDirectory(dir=work) as out:
                    began = time.perf_counter()
                    command = [sys.executable, "-c", RENDER, str(work / "music"), f"{out}/out", engine, str(workers)]
                    subprocess.run(command, check=True)
                    print(f"  turn {turn}, {name}: {time.perf_counter() - began:.1f} s", flush=True)
                    if turn:
                        rates.setdefault(name, []).append(count / (time.perf_counter() - began))
    for name, own in rates.items():
        print(f"{name:>16}: {statistics.median(own):.1f} clips/s ({', '.join(f'{one:.1f}' for one in own)})")
    ratio = statistics.median(a / b for a, b in zip(rates["Ray, 2"], rates["local, 2"], strict=True))
    print(f"Ray does {ratio:.3f} of local's clips/s with {count} clips of {SECONDS:g} s (median of {rounds} pairs)")


def audits(counts: list[int], work: Path) -> None:
    """Measure fingerprints, the search for duplicates, and the check of files, on distinct clips."""
    prints: list[Fingerprint] = []
    rng, spent = np.random.default_rng(1), 0.0
    folder = work / "distinct"
    for count in sorted(counts):
        while len(prints) < count:
            path = folder / f"class {len(prints) % 2}" / f"{len(prints):05d}.mp3"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, _music(rng), 22050)
            began = time.process_time()
            prints.append(fingerprint_one(path))
            spent += time.process_time() - began
        began = time.process_time()
        pairs = sum(1 for _ in find_duplicates(prints))
        search, began = time.process_time() - began, time.perf_counter()
        check_audio(folder, workers=2)
        print(
            f"{count} clips: fingerprints {1000 * spent / count:.1f} core-ms a clip, search {search:.1f} core-s "
            f"({pairs} pairs), check of files by 2 processes {time.perf_counter() - began:.1f} s",
            flush=True,
        )


def main() -> None:
    """Measure what the options name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("engines", "lots", "audit"), help="what is measured")
    parser.add_argument("--clips", type=int, nargs="+", help="numbers of clips (engines takes the first)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of engines (default: 3)")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="spectro-scale-") as folder:
        if options.what == "engines":
            engines((options.clips or [1000])[0], options.rounds, Path(folder))
        elif options.what == "lots":
            lots(options.clips or [10_000, 100_000], Path(folder))
        else:
            audits(options.clips or [500, 1000, 2000], Path(folder))


if __name__ == "__main__":
    main()
