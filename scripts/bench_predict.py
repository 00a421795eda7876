"""`spectro predict` over many 30-s ogg files: two cores against one, and against another command, paired."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench_serve import make_run
from cyclopts import App

ROOT = Path(__file__).resolve().parent.parent
AIMS = {"another command": 2.5, "one core": 1.7}
"""Times their rate that is wanted on two cores."""

app = App(help=__doc__)


class Spent(NamedTuple):
    """What a command took, in seconds."""

    wall: float
    cpu: float


def measure(command: list[str], cores: int, folder: Path) -> Spent:
    """Run a command on so many cores, in a folder."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        os.sched_setaffinity(process.pid, allowed)
        _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{shlex.join(command[:4])} ... failed: {errors.decode(errors='replace')[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(time.perf_counter() - begin, cpu)


@app.default
def main(run: Path | None = None, /, *, clips: int = 500, rounds: int = 5, against: str = "") -> None:
    """Measure by turns, and print medians; ratios are of the same round.

    Parameters
    ----------
    run
        A run; by default MobileNetV2 with random weights, for time does not depend on them.
    clips
        Files to classify, copies of the demo's.
    rounds
        Measurements of each.
    against
        A command that classifies the files which `list.txt` in its folder names, such as an older version.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run = (run or make_run(folder)).resolve()
        demo = sorted((ROOT / "assets" / "demo").rglob("*.ogg"))
        paths = [folder / "clips" / f"{number}.ogg" for number in range(clips)]
        paths[0].parent.mkdir()
        for number, path in enumerate(paths):
            shutil.copy(demo[number % len(demo)], path)
        (folder / "list.txt").write_text("".join(f"{path}\n" for path in paths))
        own = [sys.executable, "-m", "spectro", "predict", str(run), "@list.txt", "--out", "-"]
        ways = {"two cores": (own, 2), "one core": (own, 1)}
        if against:
            ways["another command"] = (shlex.split(against), 2)
        spent: dict[str, list[Spent]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (command, cores) in ways.items():
                spent[name].append(measure(command, cores, folder))
        report(spent, clips)


def report(spent: dict[str, list[Spent]], clips: int) -> None:
    """Print each way's medians, and how many times its rate that of two cores is."""
    base = spent["two cores"]
    for name, rounds in spent.items():
        wall, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
        line = f"{name:16} {wall:7.1f} s, {cpu:7.1f} s of CPU, {clips / wall:6.1f} clips/s"
        if name in AIMS:
            ratios = [[one / two for one, two in zip(a, b, strict=True)] for a, b in zip(rounds, base, strict=True)]
            by_wall, by_cpu = (statistics.median(values) for values in zip(*ratios, strict=True))
            line += (
                f"; two cores: {by_wall:.2f} times its rate (aim {AIMS[name]:g}), its CPU time / theirs {by_cpu:.2f}"
            )
        print(line)


if __name__ == "__main__":
    app()
