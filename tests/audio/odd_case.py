"""One odd file with the right answer, and whether decoding gives that answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectro.audio.decode import open_sound, probe
from spectro.audio.decoders import ffmpeg
from spectro.core.errors import AudioError
from tests.audio.sounds import FIRST_HZ, STEP_HZ, pitch

MOST_SECONDS = 10.0
"""Time within which every file must be done with."""
Build = Callable[[Path], bytes | bytearray | None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file, and what must come of it."""

    name: str
    """File name, different for each case."""
    build: Build
    """Writes the file at the path given, or returns the bytes to write there; raises CannotBuild."""
    seconds: float = 4.0
    """Duration, if it is not refused."""
    within: float = 0.03
    """Seconds by which the duration may differ."""
    reason: str = ""
    """Reasons of AudioError, any of which is right, separated by `|`; empty if the file must be decoded."""
    warns: str = ""
    """Reason of the warning; empty if there must be none."""
    by: str = ""
    """`libsndfile` or `ffmpeg`, if it matters."""
    tones: bool = True
    """Whether the sound is `sounds.sound`, whose pitch is checked in the first second and the last."""


def make(case: Case, folder: Path) -> Path:
    """Build a file in a folder and return its path."""
    path = folder / case.name
    content = case.build(path)
    if content is not None:
        path.write_bytes(content)
    return path


def verdict(case: Case, path: Path) -> str:
    """Return what is wrong with what comes of a file, empty if it is right."""
    begin = time.perf_counter()
    wrong = _verdict(case, path)
    spent = time.perf_counter() - begin
    return wrong or (f"took {spent:.1f} s" if spent > MOST_SECONDS else "")


def _verdict(case: Case, path: Path) -> str:
    try:
        info = probe(path)
        with open_sound(path) as opened:
            samples = np.concatenate([block.copy() for block in opened.blocks(opened.info.sample_rate)])
        warnings = opened.warnings
    except AudioError as error:
        if error.reason == "needs-av" and not ffmpeg.installed():
            return ""
        if error.reason not in case.reason.split("|"):
            return f"refused as {error.reason} ({error}), expected {case.reason or 'sound'}"
        if str(path) not in str(error) or "\n" in str(error):
            return f"message does not name the file in one line: {error}"
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if case.reason:
        return f"decoded ({len(samples) / info.sample_rate:.2f} s), expected {case.reason}"
    return _compare(case, samples, info.sample_rate, info.seconds, [one.reason for one in warnings], info.decoder)


def _compare(case: Case, samples: np.ndarray, rate: int, seconds: float, warnings: list[str], decoder: str) -> str:
    if abs(seconds - case.seconds) > case.within:
        return f"lasts {seconds:.3f} s, expected {case.seconds:.3f} within {case.within}"
    if abs(len(samples) / rate - seconds) > 0.08:
        return f"{len(samples) / rate:.3f} s decoded of {seconds:.3f} s"
    if warnings != ([case.warns] if case.warns else []):
        return f"warns of {warnings}, expected {case.warns or 'nothing'}"
    if case.by and (case.by == "libsndfile" or ffmpeg.installed()) and not decoder.startswith(case.by):
        return f"decoded by {decoder}, expected {case.by}"
    if case.tones:
        for second in (0, int(case.seconds + case.within) - 1):
            part = samples[round((second + 0.25) * rate) : round((second + 0.75) * rate)]
            expected = FIRST_HZ + STEP_HZ * (second % 4)
            if abs(pitch(part, rate) - expected) > 15:
                return f"second {second} has {pitch(part, rate):.0f} Hz, expected {expected:.0f}"
    return ""
