"""Decoding: exact samples in blocks of any size, true lengths, and one clear reason for each kind of broken file."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from spectro.audio import decode
from spectro.audio.decode import open_sound, probe
from spectro.core.arrays import Floats32
from spectro.core.errors import AudioError

MakeSound = Callable[..., Floats32]
WriteAudio = Callable[..., Path]


def decoded(path: Path, rate: int) -> Floats32:
    with open_sound(path) as sound:
        return np.concatenate([block.copy() for block in sound.blocks(rate)])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {}),
        ("a.WAV", {}),
        ("a24.wav", {"subtype": "PCM_24"}),
        ("a8.wav", {"subtype": "PCM_U8"}),
        ("af.wav", {"subtype": "FLOAT"}),
        ("a.flac", {}),
        ("a.ogg", {}),
        ("a.mp3", {}),
        ("a.aiff", {}),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_are_those_of_one_float_read(
    tmp_path: Path, noise: MakeSound, write_audio: WriteAudio, name: str, options: dict[str, Any], channels: int
) -> None:
    stereo = np.stack([noise(1.5, 44100, seed=c) for c in range(channels)], axis=1)
    path = write_audio(tmp_path / name, stereo, 44100, **options)
    whole, _ = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_allclose(decoded(path, 44100), whole.mean(axis=1), atol=1e-6)
    assert probe(path).channels == channels
    assert probe(path).frames == len(whole)
    assert probe(path).seconds == pytest.approx(1.5)


def test_resampling_does_not_depend_on_the_blocks(
    tmp_path: Path, noise: MakeSound, write_audio: WriteAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_audio(tmp_path / "a.wav", noise(2.0, 44100), 44100)
    once = soxr.resample(soundfile.read(path, dtype="float32")[0], 44100, 22050, quality="HQ")
    for block in (1000, 4096, 1 << 16):
        monkeypatch.setattr(decode, "BLOCK", block)
        np.testing.assert_array_equal(decoded(path, 22050), once)


def reason_of(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        decoded(path, 22050)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_missing_empty_and_soundless_files(tmp_path: Path, write_audio: WriteAudio) -> None:
    (tmp_path / "zero.wav").write_bytes(b"")
    assert reason_of(tmp_path / "none.wav") == "missing"
    assert reason_of(tmp_path / "zero.wav") == "empty"
    assert reason_of(write_audio(tmp_path / "no.wav", np.zeros(0, np.float32))) == "empty"


@pytest.mark.parametrize("text", ["hello", "<!doctype html>žluťoučký kůň" * 9])
@pytest.mark.parametrize("suffix", ["wav", "ogg", "mp3"])
def test_text_that_is_named_like_audio(tmp_path: Path, text: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text(text, encoding="utf-8")
    assert reason_of(path) == "unreadable"
    with pytest.raises(AudioError, match="it is a text"):
        probe(path)


def test_garbage_and_other_formats(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "b.mp3").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(5000))
    (tmp_path / "c.wav").write_bytes(b"RIFF\x10\0\0\0WAVE")
    assert reason_of(tmp_path / "a.wav") == "unreadable"
    assert reason_of(tmp_path / "b.mp3") == "unreadable"
    with pytest.raises(AudioError, match="M4A"):
        probe(tmp_path / "b.mp3")
    with pytest.raises(AudioError, match="header is damaged"):
        probe(tmp_path / "c.wav")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "au"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_files_that_break_off_are_noticed(
    tmp_path: Path, noise: MakeSound, write_audio: WriteAudio, suffix: str, kept: float
) -> None:
    whole = write_audio(tmp_path / f"whole.{suffix}", noise(4.0))
    data = whole.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(data[: int(len(data) * kept)])
    assert reason_of(cut) == "truncated"
    assert len(decoded(whole, 22050)) == 4 * 22050


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite(tmp_path: Path, noise: MakeSound, write_audio: WriteAudio, bad: float) -> None:
    samples = noise(1.0)
    samples[20000] = bad
    assert reason_of(write_audio(tmp_path / "a.wav", samples, subtype="FLOAT")) == "not-finite"


def test_a_wav_streamed_without_a_length_is_whole(tmp_path: Path, noise: MakeSound, write_audio: WriteAudio) -> None:
    path = write_audio(tmp_path / "a.wav", noise(1.0))
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    path.write_bytes(data)
    assert len(decoded(path, 22050)) == 22050


def test_a_flac_streamed_without_a_length_is_whole(tmp_path: Path, noise: MakeSound, write_audio: WriteAudio) -> None:
    path = write_audio(tmp_path / "a.flac", noise(1.0))
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # the number of samples in STREAMINFO
    path.write_bytes(data)
    assert probe(path).frames == 22050


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (44100, 1), (22050, 2), (16000, 1), (11025, 1)])
@pytest.mark.parametrize("behind", [b"", b"TAG" + bytes(125), b"APETAGEX" + bytes(9000)])
def test_an_mp3_without_a_frame_count_is_read_to_its_end(
    tmp_path: Path, noise: MakeSound, write_audio: WriteAudio, rate: int, channels: int, behind: bytes
) -> None:
    loud, quiet = noise(2.0, rate), np.zeros(2 * rate, np.float32)  # two bit rates: libsndfile's guess goes wrong
    samples = np.stack([np.concatenate([quiet, loud, loud])] * channels, axis=1)
    path = write_audio(tmp_path / "a.mp3", samples, rate)
    data = path.read_bytes()
    assert data.find(b"Xing") > 0
    path.write_bytes(data.replace(b"Xing", b"\0\0\0\0") + behind)
    frame = 1152 if rate > 24000 else 576
    assert probe(path).frames == pytest.approx(6 * rate, abs=4 * frame)
    assert len(decoded(path, rate)) == pytest.approx(6 * rate, abs=4 * frame)
    assert np.abs(decoded(path, rate)[-rate:]).max() > 0.1


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(AudioError("silent", "a.wav is silent")))
    assert (error.reason, str(error)) == ("silent", "a.wav is silent")
