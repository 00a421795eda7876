"""The check of audio: each fault alone in one file is found and named, and sound without faults is not reported."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spectro.audio.decoders import ffmpeg
from spectro.core.arrays import Floats32
from spectro.core.config import RenderConfig
from spectro.data.check import check_audio, similar_labels
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


def unfinished(path: Path) -> None:
    write(path, sound())
    head = bytearray(path.read_bytes())
    head[40:44] = bytes(4)  # size of the data, as a recorder leaves it that was switched off
    path.write_bytes(head)


def opposite(path: Path) -> None:
    write(path, np.stack([sound(), -sound()], axis=1))


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
    "unfinished-header": (unfinished, False),
    "channels-cancel": (opposite, False),
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


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    root = faultless(tmp_path)
    for name in ("notes.txt", "hum/._0.wav", "hum/cover.JPG"):
        (root / name).write_bytes(b"x")
    assert {(one.suffix, one.count) for one in check_audio(root, workers=1).skipped} == {
        (".txt", 1), (".jpg", 1), ("", 1)
    }  # fmt: skip


def test_what_takes_pyav_is_counted_installed_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av", reason="writes an M4A file")
    root = faultless(tmp_path)
    with av.open(str(root / "hum" / "phone.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound()[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    report = check_audio(root, workers=1)
    assert (report.pyav, report.findings) == (1, ())
    monkeypatch.setattr(ffmpeg, "installed", lambda: False)
    report = check_audio(root, workers=1)
    assert (report.pyav, report.counts(), report.unusable) == (1, {"needs-av": 1}, ("hum/phone.m4a",))


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64"])
def test_every_form_is_known_by_its_bytes_under_another_name(form: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    soundfile.write(tmp_path / "a" / f"own.{form}", sound(), RATE, format=form)
    soundfile.write(tmp_path / "a" / "other.voc", sound(), RATE, format=form)
    (finding,) = check_audio(tmp_path, workers=1).findings
    assert (finding.path, finding.reason) == ("a/other.voc", "wrong-extension")
    assert f"begins like a .{form.lower()[:3]}" in finding.message


def test_labels_that_differ_only_in_form_are_named(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Écho") for form in ("NFC", "NFD"))
    assert similar_labels(["Rock", "rock", "jazz", "rock ", composed, decomposed, "hip hop", "hip  hop", "rock"]) == (
        tuple(sorted((composed, decomposed))), ("Rock", "rock", "rock "), ("hip  hop", "hip hop"),
    )  # fmt: skip
    root = faultless(tmp_path)
    (root / "hum").rename(root / "Tone")
    if (root / "tone").samefile(root / "Tone"):
        pytest.skip("this file system does not distinguish case")
    assert check_audio(root, workers=1).similar_labels == (("Tone", "tone"),)


def test_an_empty_list_of_bad_files_can_be_given_too(tmp_path: Path, small: RenderConfig) -> None:
    root = faultless(tmp_path / "source")
    check_audio(root, bad_files=tmp_path / "bad.csv", workers=1)
    assert render(root, out=tmp_path / "data", config=small, exclude=tmp_path / "bad.csv", workers=1).made
