"""Kill renderings at random points and resume them; render files of many hours in little memory."""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from spectro.core.config import MelConfig, RenderConfig, SegmentConfig
from spectro.data.render import render

SMALL = RenderConfig(mel=MelConfig(n_fft=1024, n_mels=32), segment=SegmentConfig(seconds=1.0))
RATE = SMALL.mel.sample_rate
LONG = (
    "import sys; from spectro.data.render import render_clip; from spectro.core.config import RenderConfig; "
    "print(sum(1 for _ in render_clip(sys.argv[1], RenderConfig()))); "
    "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
)


def make_corpus(root: Path) -> None:
    """Write 20 clips of noise, two of them damaged: failures must resume too."""
    rng = np.random.default_rng(0)
    for number in range(20):
        path = root / f"class {number % 4}" / f"{number}.{('wav', 'flac', 'ogg', 'mp3')[number % 4]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, (0.1 * rng.standard_normal(4 * RATE)).astype(np.float32), RATE)
    (root / "class 0" / "text.wav").write_text("not a sound")
    cut = root / "class 1" / "1.flac"
    cut.write_bytes(cut.read_bytes()[:-2000])


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kill_and_resume(kills: int, seed: int, work: Path) -> None:
    """Kill `kills` renderings, each at a random moment, run each again, and compare with one that was left alone."""
    corpus = work / "corpus"
    make_corpus(corpus)
    begin = time.perf_counter()
    whole = contents(render(corpus, out=work / "whole", config=SMALL, workers=1).data)
    longest = time.perf_counter() - begin
    chance = random.Random(seed)
    resumed: list[int] = []
    for number in range(kills):
        out = work / str(number)
        child = os.fork()  # a fork of a process without threads; every tenth one spreads its work over processes
        if child == 0:
            render(corpus, out=out, config=SMALL, workers=2 if number % 10 == 9 else 1)
            os._exit(0)
        time.sleep(chance.uniform(0, longest) + (0.3 if number % 10 == 9 else 0))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        left = len(list(out.rglob("*.png")))
        resumed.append(left)
        rendering = render(corpus, out=out, config=SMALL, workers=1)
        if contents(out) != whole:
            files = contents(out)
            wrong = sorted(name for name in files.keys() | whole.keys() if files.get(name) != whole.get(name))
            sys.exit(f"kill {number} (seed {seed}) left other files than an undisturbed run: {', '.join(wrong[:5])}")
        if rendering.reused < left - 8:  # the images of a failing clip and of one in work may be made anew
            sys.exit(f"kill {number} (seed {seed}) left {left} images, but only {rendering.reused} were reused")
    total = sum(name.endswith(".png") for name in whole)
    between = sum(0 < images < total for images in resumed)
    print(f"{kills} kills, {between} of them amid the {total} images: every resumed run byte-identical")


def render_hours(hours: float, megabytes: int, work: Path) -> None:
    """Render a WAV and an MP3 of so many hours; exit with an error if that takes more memory than allowed."""
    rng = np.random.default_rng(0)
    minute = work / "minute.mp3"
    samples = (0.1 * rng.standard_normal(60 * RATE)).astype(np.float32)
    soundfile.write(minute, samples, RATE)
    for suffix in ("wav", "mp3"):
        path = work / f"long.{suffix}"
        if suffix == "wav":
            with soundfile.SoundFile(path, "w", RATE, 1) as file:
                for _ in range(round(hours * 60)):
                    file.write(samples)
        else:  # frames without a header that counts them: the hardest kind
            path.write_bytes(minute.read_bytes().replace(b"Xing", b"\0\0\0\0") * round(hours * 60))
        begin = time.perf_counter()
        run = subprocess.run([sys.executable, "-c", LONG, path], check=True, capture_output=True, text=True)
        count, peak = map(int, run.stdout.split())
        seconds = time.perf_counter() - begin
        print(f"{hours:g} h of {suffix}: {count} images in {seconds:.0f} s, {peak / 1024:.0f} MB at the peak")
        path.unlink()
        if peak > megabytes * 1024:
            sys.exit(f"that is more than {megabytes} MB")


def main() -> None:
    """Run both as the options ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="renderings to kill (default: 200)")
    parser.add_argument("--hours", type=float, default=10.0, help="length of the long files, 0 for none (default: 10)")
    parser.add_argument("--megabytes", type=int, default=200, help="memory a process may hold (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: 0)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.kills:
            kill_and_resume(options.kills, options.seed, Path(folder))
        if options.hours:
            render_hours(options.hours, options.megabytes, Path(folder))


if __name__ == "__main__":
    main()
