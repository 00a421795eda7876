"""The check of audio: each fault alone in one file is found and named, and sound without faults is not reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spectro.core.arrays import Floats32
from spectro.core.config import RenderConfig
from spectro.data.check import check_audio
from spectro.data.render import render

RATE = 22050


def sound(seconds: float = 2.0, gain: float = 0.3) -> Floats32:
    time = np.arange(int(seconds * RATE)) / RATE
    return (gain * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def write(path: Path, samples: Floats32, rate: int = RATE) -> None:
    soundfile.write(path, samples, rate)


def cut(path: Path) -> None:
    write(path, sound())
    path.write_bytes(path.read_bytes()[:20000])


def not_finite(path: Path) -> None:
    samples = sound()
    samples[5000] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT")


def renamed(path: Path) -> None:
    soundfile.write(path, sound(), RATE, format="FLAC")


FAULTS: dict[str, tuple[Callable[[Path], object], bool]] = {
    "unreadable": (lambda path: path.write_text("<html>not found</html>"), True),
    "empty": (lambda path: path.write_bytes(b""), True),
    "truncated": (cut, True),
    "not-finite": (not_finite, True),
    "too-short": (lambda path: write(path, sound(0.2)), True),
    "silent": (lambda path: write(path, sound(gain=0.0)), True),
    "clipped": (lambda path: write(path, np.clip(sound(gain=5.0), -1, 1)), False),
    "dc": (lambda path: write(path, sound() + 0.1), False),
    "wrong-extension": (renamed, False),
    "mixed-rates": (lambda path: write(path, sound(), 44100), False),
}


def faultless(root: Path) -> Path:
    for label in ("hum", "tone"):
        (root / label).mkdir(parents=True)
        for take in range(2):
            write(root / label / f"{take}.wav", sound(gain=0.2 + 0.1 * take))
    return root


@pytest.mark.parametrize("reason", FAULTS)
def test_each_fault_is_found_alone(reason: str, tmp_path: Path) -> None:
    make, unusable = FAULTS[reason]
    make(faultless(tmp_path) / "tone" / "bad one.wav")
    findings = check_audio(tmp_path, workers=1).findings
    assert [(f.path, f.reason, f.unusable) for f in findings] == [("tone/bad one.wav", reason, unusable)]
    assert "\n" not in findings[0].message
    assert "bad one.wav" in findings[0].message


def test_an_unusual_rate_is_named_beside_the_usual_one(tmp_path: Path) -> None:
    write(faultless(tmp_path) / "hum" / "a.wav", sound(), 44100)
    (finding,) = check_audio(tmp_path, workers=1).findings
    assert "has 44100 Hz, but most clips have 22050" in finding.message


def test_a_missing_file_is_found(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", sound())
    (tmp_path / "clips.csv").write_text("path,label\na.wav,x\nb.wav,y\n", encoding="utf-8")
    (finding,) = check_audio(tmp_path / "clips.csv", workers=1).findings
    assert (finding.path, finding.reason) == ("b.wav", "missing")


def test_sound_without_faults_is_not_reported(corpus: Path) -> None:
    report = check_audio(corpus, workers=1)
    assert report.findings == ()
    assert report.clips == 24
    assert report.seconds == pytest.approx(72, abs=1)


def test_mp3_without_faults_is_not_reported(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    soundfile.write(tmp_path / "a" / "1.mp3", sound(), RATE)
    assert check_audio(tmp_path, workers=1).findings == ()


def test_processes_find_what_one_finds(tmp_path: Path) -> None:
    root = faultless(tmp_path)
    for reason, (make, _) in FAULTS.items():
        make(root / "tone" / f"{reason}.wav")
    assert check_audio(root, workers=2) == check_audio(root, workers=1)
    assert check_audio(root, workers=1).counts() == dict.fromkeys(FAULTS, 1)


def test_bad_files_are_what_render_leaves_out(tmp_path: Path, small: RenderConfig) -> None:
    root = faultless(tmp_path / "source")
    FAULTS["silent"][0](root / "tone" / "silent, really.wav")
    FAULTS["dc"][0](root / "tone" / "dc.wav")
    report = check_audio(root, bad_files=tmp_path / "bad.csv", workers=1)
    assert report.unusable == ("tone/silent, really.wav",)
    data = tmp_path / "data"
    assert render(root, out=data, config=small, exclude=tmp_path / "bad.csv", workers=1).failed == ()
    assert "silent" not in (data / "clips.csv").read_text(encoding="utf-8")


def test_an_empty_list_of_bad_files_can_be_given_too(tmp_path: Path, small: RenderConfig) -> None:
    root = faultless(tmp_path / "source")
    check_audio(root, bad_files=tmp_path / "bad.csv", workers=1)
    assert render(root, out=tmp_path / "data", config=small, exclude=tmp_path / "bad.csv", workers=1).made
