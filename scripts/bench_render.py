"""Rendering against librosa, paired and interleaved on the same clips, with a pure-CPU spin as control."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import librosa
import matplotlib.pyplot as plt
import numpy as np
import soundfile
import soxr
from PIL import Image
from spin import spin, spin_one

from spectro.audio import stft
from spectro.core.arrays import Floats32
from spectro.core.config import RenderConfig
from spectro.core.records import Record
from spectro.data import png
from spectro.data.engines import local as engine
from spectro.data.render import ClipTask, RenderJob, render_clip, render_one

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "assets" / "demo"
CONFIG = RenderConfig()
RATE, N_FFT, HOP = CONFIG.mel.sample_rate, CONFIG.mel.n_fft, CONFIG.mel.hop_length
LENGTH = round(CONFIG.segment.seconds * RATE)
SECONDS = 30
KINDS = {
    "22 kHz mono wav": ("wav", RATE, 1),
    "44 kHz stereo mp3": ("mp3", 44100, 2),
    "44 kHz stereo ogg": ("ogg", 44100, 2),
    "44 kHz stereo flac": ("flac", 44100, 2),
}
PACKAGES = ("numpy", "scipy", "ducc0", "isal", "soundfile", "soxr", "librosa", "pillow", "matplotlib")
TARGETS = {
    # kind: (rival, at least so many times as fast as it) ..., and at most so many times the floor
    "22 kHz mono wav": ((("librosa + Pillow", 4.0), ("librosa + matplotlib", 15.0)), 2.4),
    "44 kHz stereo mp3": ((("librosa + Pillow", 1.8),), 1.25),
    "44 kHz stereo ogg": ((("librosa + Pillow", 1.5),), 1.25),
    "44 kHz stereo flac": ((("librosa + Pillow", 1.5),), 1.25),
}


def make_clips(folder: Path, count: int) -> dict[str, list[Path]]:
    """Write `count` 30-s clips of real music in each kind of file; stereo gets two different channels and treble."""
    files = sorted(SOURCE.rglob("*.ogg"))
    music = [np.resize(_mono(file), SECONDS * RATE) for file in files[:: len(files) // count][:count]]
    noise = np.random.default_rng(0).standard_normal((SECONDS * 44100, 2)).astype(np.float32)
    clips: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for number, left in enumerate(music):
        right = 0.7 * left + 0.3 * music[number - 1]
        wide = soxr.resample(np.stack([left, right], axis=1), RATE, 44100)[: SECONDS * 44100] + 0.003 * noise
        for kind, (suffix, rate, channels) in KINDS.items():
            path = folder / suffix / f"{number}.{suffix}"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, np.clip(left if channels == 1 else wide, -1, 1), rate)
            clips[kind].append(path)
    return clips


def _mono(file: Path) -> Floats32:
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    mono: Floats32 = soxr.resample(samples.mean(axis=1), rate, RATE)
    return mono


def spectro(path: Path, out: Path) -> None:
    """Render one clip as a worker does: header, images, text chunks, atomic files."""
    job = RenderJob(root=str(path.parent), folder=str(out), config=CONFIG)
    assert render_one(job, ClipTask(clip=path.name)).made == SECONDS / CONFIG.segment.seconds


def spectro_without_wheels(path: Path, out: Path) -> None:
    """Render with SciPy's FFT and zlib, as on platforms without wheels of ducc0 and isal."""
    with mock.patch.object(stft, "rfft_rows", stft.scipy_rfft), mock.patch.object(png, "isal_zlib", None):
        spectro(path, out)


def _librosa(path: Path) -> Iterator[Floats32]:
    samples, _ = librosa.load(path, sr=RATE)
    for begin in range(0, len(samples) - LENGTH + 1, LENGTH):
        part = samples[begin : begin + LENGTH]
        power = librosa.feature.melspectrogram(y=part, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=128)
        yield librosa.power_to_db(power, ref=np.max)


def librosa_pillow(path: Path, out: Path) -> None:
    """Do what most scripts of the field do, and scale to grey by hand."""
    for number, db in enumerate(_librosa(path)):
        grey = np.floor((db[::-1] + 80) * (255 / 80) + 0.5).astype(np.uint8)
        Image.fromarray(grey).save(out / f"{path.name}-{number}.png")


def librosa_matplotlib(path: Path, out: Path) -> None:
    """Do what most notebooks of the field do: a figure without axes, saved."""
    for number, db in enumerate(_librosa(path)):
        figure = plt.figure(figsize=(4.32, 2.88), dpi=100)  # the size of the well-known GTZAN pictures
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        librosa.display.specshow(db, sr=RATE, hop_length=HOP, x_axis="time", y_axis="mel", ax=axes)
        figure.savefig(out / f"{path.name}-{number}.png")
        plt.close(figure)


def floor(path: Path, out: Path) -> None:
    """Decode, mix down, resample, and transform each window once: the least that a renderer must do."""
    pcm16 = path.suffix == ".wav"
    samples, rate = soundfile.read(path, dtype="int16" if pcm16 else "float32")
    mono = samples.astype(np.float32) if samples.ndim == 1 else samples @ np.full(2, 0.5, np.float32)
    if rate != RATE:
        mono = soxr.resample(mono, rate, RATE, quality="HQ")
    windows = np.lib.stride_tricks.sliding_window_view(mono, N_FFT)[::HOP]
    window = stft.hann(N_FFT)
    windowed = np.empty((stft.BATCH, N_FFT + stft.PADDING), np.float32)[:, :N_FFT]
    spectra = np.empty((stft.BATCH, N_FFT // 2 + 1), np.complex64)
    for begin in range(0, len(windows) - stft.BATCH + 1, stft.BATCH):
        np.multiply(windows[begin : begin + stft.BATCH], window, out=windowed)
        stft.rfft_rows(windowed, spectra)


def control(path: Path, out: Path) -> None:
    """Spin, whatever the clip."""
    spin()


CONTESTANTS: dict[str, Callable[[Path, Path], None]] = {
    "spectro": spectro,
    "spectro, without wheels": spectro_without_wheels,
    "librosa + Pillow": librosa_pillow,
    "librosa + matplotlib": librosa_matplotlib,
    "floor": floor,
    "spin": control,
}


Times = dict[str, dict[str, list[float]]]


def race(clips: dict[str, list[Path]], rounds: int, clock: Callable[[], float], work: Path) -> Times:
    """Return milliseconds by kind and contestant; each round lets every contestant have every clip, in turn."""
    times: Times = {kind: {name: [] for name in CONTESTANTS} for kind in clips}
    names = list(CONTESTANTS)
    for turn in range(-1, rounds):  # the first turn warms up and does not count
        for kind, paths in clips.items():
            for number, path in enumerate(paths):
                shift = (turn + number) % len(names)
                for name in names[shift:] + names[:shift]:
                    if name == "librosa + matplotlib" and kind != "22 kHz mono wav":
                        continue
                    out = work / "out"
                    shutil.rmtree(out, ignore_errors=True)
                    out.mkdir()
                    begin = clock()
                    CONTESTANTS[name](path, out)
                    if turn >= 0:
                        times[kind][name].append((clock() - begin) * 1e3)
    return times


def spread(values: list[float], digits: int = 1) -> str:
    """Return min, median and max."""
    return " ".join(f"{v:8.{digits}f}" for v in (min(values), statistics.median(values), max(values)))


def print_race(times: Times) -> None:
    """Print the table, the paired ratios, and which targets they meet."""
    for kind, by_name in times.items():
        print(f"\n{kind}, {SECONDS} s a clip: ms      min   median      max | paired, times spectro: min median max")
        for name, values in by_name.items():
            if values:
                ratios = [theirs / ours for theirs, ours in zip(values, by_name["spectro"], strict=True)]
                print(f"  {name:30} {spread(values)} | {spread(ratios, 2)}")
        rivals, floors = TARGETS[kind]
        for rival, least in rivals:
            _verdict(f"{rival} / spectro", _median_ratio(by_name, rival, "spectro"), least, at_least=True)
        _verdict("spectro / floor", _median_ratio(by_name, "spectro", "floor"), floors, at_least=False)
        if kind == "22 kHz mono wav":
            slow = _median_ratio(by_name, "librosa + Pillow", "spectro, without wheels")
            _verdict("librosa + Pillow / spectro, without wheels", slow, 2.4, at_least=True)


def _median_ratio(by_name: dict[str, list[float]], over: str, under: str) -> float:
    return statistics.median(a / b for a, b in zip(by_name[over], by_name[under], strict=True))


def _verdict(what: str, value: float, target: float, *, at_least: bool) -> None:
    met = value >= target if at_least else value <= target
    sign = ">=" if at_least else "<="
    print(f"    {what}: {value:.2f} (target {sign} {target:g}) {'met' if met else 'MISSED'}")


def agreement(clips: dict[str, list[Path]]) -> None:
    """Print how far the images are from librosa's, in grey levels."""
    pixels = off = worst = 0
    for paths in clips.values():
        for path in paths:
            for (_, image), db in zip(render_clip(path, CONFIG), _librosa(path), strict=True):
                expected = np.floor((db[::-1] + 80) * (255 / 80) + 0.5)
                distance = np.abs(image - expected)
                pixels, off = pixels + distance.size, off + int((distance > 0).sum())
                worst = max(worst, int(distance.max()))
    share = 100 * off / pixels
    print(f"\nagreement with librosa: {share:.4f} % of {pixels} pixels differ, by at most {worst} grey level")
    _verdict("share of pixels that differ, in %", share, 0.01, at_least=False)


FUNCTIONS: dict[str, Callable[[RenderJob, ClipTask], Record]] = {"rendering": render_one, "spinning": spin_one}


def scaling(path: Path, work: Path, count: int) -> None:
    """Print how rendering and spinning scale from one process to one per core, alternating three times."""
    cores = engine.cores()
    for number in range(count):
        (work / "many").mkdir(exist_ok=True)
        os.link(path, work / "many" / f"{number}.wav")
    tasks = [ClipTask(clip=f"{number}.wav") for number in range(count)]
    gains: dict[str, list[float]] = {"rendering": [], "spinning": []}
    for _ in range(3):
        for what, function in FUNCTIONS.items():
            seconds = []
            for workers in (1, cores):
                out = work / "out"
                shutil.rmtree(out, ignore_errors=True)
                job = RenderJob(root=str(work / "many"), folder=str(out), config=CONFIG)
                begin = time.perf_counter()
                for _ in engine.run(function, job, tasks, workers=workers):
                    pass
                seconds.append(time.perf_counter() - begin)
            gains[what].append(seconds[0] / seconds[1])
    print(f"\nscaling from 1 to {cores} processes, {count} clips of wav (start of the processes included):")
    for what, values in gains.items():
        print(f"  {what:10} {spread(values, 2)} times")
    pairs = zip(gains["rendering"], gains["spinning"], strict=True)
    _verdict("rendering / spinning", statistics.median(a / b for a, b in pairs), 0.9, at_least=True)


def footprint(path: Path, work: Path) -> None:
    """Print what importing a worker takes, and how much memory one holds."""
    code = "import spectro.data.engines.local, spectro.data.render"
    bare, full = [], []
    for _ in range(7):
        for text, times in (("pass", bare), (code, full)):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", text], check=True)
            times.append(time.perf_counter() - begin)
    beyond = [f - b for f, b in zip(full, bare, strict=True)]
    print(f"\nimporting a worker, beyond a bare interpreter: {spread(beyond, 3)} s")
    _verdict("import, in s", statistics.median(beyond), 0.4, at_least=False)
    code = (
        "import sys; from spectro.core.config import RenderConfig; from spectro.data.render import render_clip; "
        "[0 for _ in render_clip(sys.argv[1], RenderConfig())]; print(open('/proc/self/status').read())"
    )
    status = subprocess.run([sys.executable, "-c", code, path], check=True, capture_output=True, text=True).stdout
    peak = int(status.split("VmHWM:")[1].split()[0])
    _verdict("memory of a worker at its peak, in MB", peak / 1024, 200, at_least=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=6, help="clips of each kind (default: 6)")
    parser.add_argument("--rounds", type=int, default=5, help="turns with every contestant on every clip (default: 5)")
    parser.add_argument("--many", type=int, default=600, help="clips for the scaling (default: 600)")
    parser.add_argument("--cpu", action="store_true", help="time the processor, not the clock: for a busy machine")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {engine.cores()} cores, load {load:.1f}; Python {platform.python_version()}")
    print(f"{versions}, libsndfile {soundfile.__libsndfile_version__}")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        clips = make_clips(work, options.clips)
        print_race(race(clips, options.rounds, time.process_time if options.cpu else time.perf_counter, work))
        agreement(clips)
        wav = clips["22 kHz mono wav"][0]
        scaling(wav, work, options.many)
        footprint(wav, work)


if __name__ == "__main__":
    main()
