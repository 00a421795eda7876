"""Kill workers, raylets and drivers of a Ray cluster that renders through a faulty network; compare with local work."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from scripts.attacks.faulty_proxy import Faults, FaultyProxy
from scripts.attacks.raylets import Raylets
from spectro.core.config import MelConfig, RenderConfig, SegmentConfig
from spectro.core.storage import Storage, open_storage
from spectro.data.lots.commit import committed, read_commit
from spectro.data.lots.names import COMMITS, RUNNING, SHARD_FOLDER, SHARDS
from spectro.data.lots.plan import open_plan
from spectro.data.lots.render_lots import render_lots
from spectro.data.lots.seal import seal
from tests.buckets import serving_buckets

RATE = 8000
CONFIG = RenderConfig(
    mel=MelConfig(sample_rate=RATE, n_fft=512, hop_length=256, n_mels=32, fmax=4000.0),
    segment=SegmentConfig(seconds=3.0),
)
SHARD_MB = 0.04
"""As estimated: about ten short clips."""
LABELS = 4
LAST = 0.95
"""Share of the lots that are done when the last kill is due."""
LISTED = 2.0
"""Seconds between two looks at what is done: the server of these tests is slow at listing."""
PAUSE = 0.7
"""Seconds between two kills, at least."""
RESOLUTION = 1.0
"""Seconds: S3 tells the time of an object no better."""
DRIVER = "import sys; from scripts import stress_cluster; stress_cluster.{function}(*sys.argv[1:])"


def render_all(source: str, out: str, engine: str, workers: str) -> None:
    """Render with the small settings of this program; what a driver process runs."""
    done = render_lots(
        source, out=out, config=CONFIG, engine=engine, workers=int(workers), shard_mb=SHARD_MB, log=lambda line: None
    )
    sys.exit(0 if done.complete else 3)


def make_music(storage: Storage, clips: int, hours: float, work: Path) -> None:
    """Upload short clips of tones in noise, and a long recording with half a second of tone every three seconds."""
    rng = np.random.default_rng(0)
    time_axis = np.arange(10 * RATE) / RATE
    for number in range(clips):
        length = int(rng.uniform(4, 10) * RATE)
        tone = np.sin(2 * np.pi * rng.uniform(100, 3000) * time_axis[:length])
        soundfile.write(work / "clip.flac", 0.3 * tone + 0.01 * rng.standard_normal(length), RATE)
        storage.put_if_absent(f"class {number % LABELS}/{number:05d}.flac", work / "clip.flac")
    if hours:
        with soundfile.SoundFile(work / "long.flac", "w", RATE, 1) as file:
            for _ in range(round(hours * 60)):
                minute = 3e-5 * rng.standard_normal((20, 3 * RATE))
                minute[:, : RATE // 2] += 0.3 * np.sin(2 * np.pi * rng.uniform(100, 3000) * time_axis[: RATE // 2])
                file.write(minute.reshape(-1))
        storage.put_if_absent("class 0/long.flac", work / "long.flac")


@dataclass
class Drivers:
    """Driver processes that work at once on the same lots; each is started again when it ended too early."""

    command: list[str]
    log: Path
    count: int = 2
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ended: Counter[int] = field(default_factory=Counter)
    """Number of drivers by exit code."""

    def keep(self) -> None:
        """Start drivers until there are enough."""
        for driver in [one for one in self.running if one.poll() is not None]:
            self.running.remove(driver)
            self.ended[driver.returncode] += 1
        while len(self.running) < self.count:
            with self.log.open("ab") as file:
                self.running.append(subprocess.Popen(self.command, stdout=file, stderr=file))

    def kill(self, chance: random.Random) -> None:
        """Kill one."""
        chance.choice(self.running).kill()

    def stop(self) -> None:
        """End all."""
        for driver in self.running:
            driver.kill()
            driver.wait()


def events(options: argparse.Namespace) -> list[tuple[float, str]]:
    """Return what is killed when: the share of lots that is done by then."""
    kinds = {"worker": options.kills, "raylet": options.raylets, "driver": options.drivers}
    return sorted((LAST * (k + 0.5) / count, kind) for kind, count in kinds.items() for k in range(count))


def disturb(storage: Storage, raylets: Raylets, drivers: Drivers, options: argparse.Namespace) -> Counter[str]:
    """Kill as the options ask until all lots are committed; return how often what was killed."""
    chance, due, killed = random.Random(options.seed), events(options), Counter[str]()
    lots, done = len(open_plan(storage).lots), 0
    begin = reported = listed = time.monotonic()
    while done < lots:
        drivers.keep()
        now = time.monotonic()
        if now - listed > LISTED:
            done, listed = sum(1 for _ in committed(storage)), now
        if now - begin > options.limit:
            sys.exit(f"after {options.limit} s only {done} of {lots} lots are committed")
        if now - reported > 30:
            reported = now
            print(f"  {now - begin:.0f} s: {done} of {lots} lots, killed {dict(killed)}", flush=True)
        if due and due[0][0] <= done / lots:
            kind = due[0][1]
            if kind == "worker" and not raylets.kill_worker(chance):
                time.sleep(0.1)
                continue
            if kind == "raylet":
                raylets.kill_raylet(chance)
            if kind == "driver":
                drivers.kill(chance)
            due.pop(0)
            killed[kind] += 1
            time.sleep(PAUSE)
        else:
            time.sleep(0.2)
    return killed


def idle_share(storage: Storage, began: float, workers: int) -> tuple[float, float]:
    """Return the wall time, and the share of it after the last moment at which every worker had a lot."""
    spans = [(entry.modified - read_commit(storage, lot).elapsed, entry.modified) for lot, entry in committed(storage)]
    end = max(last for _, last in spans)
    for moment in sorted((last for _, last in spans), reverse=True):
        if sum(first - RESOLUTION < moment <= last for first, last in spans) >= workers:
            return end - began, (end - moment) / (end - began)
    return end - began, float("nan")


def compare(expected: Storage, own: Storage) -> list[str]:
    """Return what of a sealed rendering is not as it must be."""
    contents: list[dict[str, bytes]] = []
    wrong = []
    for storage in (expected, own):
        seal(storage.url)
        names = [entry.name for entry in storage.list()]
        shards = [name for name in names if name.startswith(SHARD_FOLDER)]
        lots = len(open_plan(storage).lots)
        if not len(shards) == len([name for name in names if name.startswith(COMMITS)]) == lots:
            wrong.append(f"{storage.url} has {len(shards)} shards of {lots} lots")
        if any(name.startswith(RUNNING) for name in names):
            wrong.append(f"{storage.url} holds notes of attempts that run")
        skipped = (SHARD_FOLDER, COMMITS, SHARDS)
        contents.append({name: storage.get(name) for name in names if not name.startswith(skipped)})
    first, second = contents
    wrong += [name for name in sorted(first.keys() | second.keys()) if first.get(name) != second.get(name)]
    rows = second["clips.csv"].splitlines()
    if len(set(rows)) != len(rows):
        wrong.append("a clip is there twice")
    return wrong


@contextmanager
def faulty(proxy: FaultyProxy) -> Iterator[None]:
    """Let programs that are started meanwhile use the proxy."""
    direct = os.environ["AWS_ENDPOINT_URL"]
    os.environ["AWS_ENDPOINT_URL"] = proxy.url
    try:
        yield
    finally:
        os.environ["AWS_ENDPOINT_URL"] = direct


def run(command: list[str], storage: Storage, workers: int, what: str) -> float:
    """Have one driver do all lots; print how long it took, and return that."""
    began = time.time()
    subprocess.run(command, check=True)
    wall, idle = idle_share(storage, began, workers)
    plan = open_plan(storage)
    print(f"{what}: {len(plan.lots)} lots in {wall:.0f} s, {100 * idle:.1f} % of it with an idle worker", flush=True)
    return wall


def stress(options: argparse.Namespace, make: Any, work: Path) -> None:
    """Render locally, then with a cluster that is left alone, then with one that is not; compare."""
    music = make()
    began = time.time()
    make_music(open_storage(music), options.clips, options.hours, work)
    print(f"{options.clips} clips and one of {options.hours:g} h in {time.time() - began:.0f} s", flush=True)
    outs = {name: open_storage(f"{make()}/{name}") for name in ("local", "quiet", "killed")}

    def command(out: str, engine: str) -> list[str]:
        program = DRIVER.format(function="render_all")
        return [sys.executable, "-c", program, music, outs[out].url, engine, str(options.workers)]

    run(command("local", "local"), outs["local"], options.workers, "local engine, no faults")
    with FaultyProxy(os.environ["AWS_ENDPOINT_URL"], Faults(seed=options.seed)) as proxy, faulty(proxy):
        with Raylets(options.workers // 2) as raylets:
            if not options.no_quiet:
                run(command("quiet", f"ray:{raylets.address}"), outs["quiet"], options.workers, "Ray, faulty network")
            program = DRIVER.format(function="plan_all")
            subprocess.run([sys.executable, "-c", program, music, outs["killed"].url], check=True)
            drivers = Drivers(command("killed", f"ray:{raylets.address}"), work / "drivers.log")
            began = time.time()
            try:
                killed = disturb(outs["killed"], raylets, drivers, options)
            finally:
                drivers.stop()
            wall, _ = idle_share(outs["killed"], began, options.workers)
        print(f"Ray with kills: {wall:.0f} s; killed {dict(killed)}")
        print(f"drivers by exit code: {dict(drivers.ended)}; requests {dict(proxy.counts)}, {dict(proxy.methods)}")
        print(f"bytes to the server {proxy.bytes['in'] / 1e6:.0f} MB, from it {proxy.bytes['out'] / 1e6:.0f} MB")
    for name in ("killed",) if options.no_quiet else ("quiet", "killed"):
        wrong = compare(outs["local"], outs[name])
        if wrong:
            sys.exit(f"{name}: not as the local engine's: {', '.join(wrong[:8])}\n{(work / 'drivers.log').read_text()}")
        print(f"{name}: every table equals the local engine's to the byte, each clip and each lot is there once")


def plan_all(source: str, out: str) -> None:
    """Only plan: the progress by which kills are timed counts lots."""
    render_lots(source, out=out, config=CONFIG, shard_mb=SHARD_MB, plan_only=True)


def main() -> None:
    """Run as the options ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 clips, one of an hour, 12 kills, 1 raylet, 2 drivers")
    parser.add_argument("--clips", type=int, default=2000, help="short clips (default: 2000)")
    parser.add_argument("--hours", type=float, default=10.0, help="length of the long clip (default: 10)")
    parser.add_argument("--kills", type=int, default=200, help="workers to kill (default: 200)")
    parser.add_argument("--raylets", type=int, default=3, help="raylets to kill (default: 3)")
    parser.add_argument("--drivers", type=int, default=5, help="drivers to kill, of two that run at once (default: 5)")
    parser.add_argument("--workers", type=int, default=4, help="workers, half of them on each raylet (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="seed of kills and faults (default: 0)")
    parser.add_argument("--limit", type=float, default=3600, help="seconds for the part with kills (default: 3600)")
    parser.add_argument("--no-quiet", action="store_true", help="leave out the cluster that is left alone")
    options = parser.parse_args()
    if options.quick:
        options.clips, options.hours, options.kills, options.raylets, options.drivers = 200, 1.0, 12, 1, 2
    with tempfile.TemporaryDirectory(prefix="spectro-stress-") as folder, serving_buckets() as make:
        stress(options, make, Path(folder))


if __name__ == "__main__":
    main()
