"""Acoustic fingerprints: altered copies are found, different music is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from spectro.audio import acoustic_fingerprint as module
from spectro.audio.acoustic_fingerprint import Fingerprint, Recall, estimate_recall, find_duplicates, fingerprint_one
from tests.data.melodies import RATE, SECONDS, melody, pcm, plant


@pytest.mark.slow
def test_planted_copies_are_found_and_nothing_else(tmp_path: Path) -> None:
    originals = [tmp_path / f"{number}.wav" for number in range(20)]
    for number, path in enumerate(originals):
        soundfile.write(path, melody(number), RATE)
        plant(tmp_path / f"copy-{number}", melody(number), number)
    files = sorted(tmp_path.iterdir())
    assert 63 < (tmp_path / "copy-0.mp3").stat().st_size * 8 / SECONDS / 1000 < 67
    matches = list(find_duplicates([fingerprint_one(path) for path in files]))
    named = [(files[match.first].stem, files[match.second].stem, match.offset) for match in matches]
    correct = [row for row in named if f"copy-{row[0]}" == row[1]]
    assert len(correct) >= 19
    assert len(named) == len(correct)
    for first, _, offset in correct:
        assert offset == pytest.approx(-3.0 if int(first) % 5 in (2, 4) else 0.0, abs=0.06)


def test_a_flac_has_the_hash_of_its_wav(tmp_path: Path) -> None:
    samples = melody(1, 3.0)
    for name, copy in (("a.wav", samples), ("a.flac", samples), ("b.wav", samples * 0.5)):
        soundfile.write(tmp_path / name, pcm(copy), RATE)
    a, flac, b = (fingerprint_one(tmp_path / name).sha256 for name in ("a.wav", "a.flac", "b.wav"))
    assert a == flac != b


def test_a_repetition_in_a_long_recording_is_found(tmp_path: Path) -> None:
    long = np.concatenate([melody(1, 70.0), melody(2), melody(3, 8.0)])
    soundfile.write(tmp_path / "long.wav", long, RATE)
    soundfile.write(tmp_path / "short.wav", melody(2), RATE)
    (match,) = find_duplicates([fingerprint_one(tmp_path / "long.wav"), fingerprint_one(tmp_path / "short.wav")])
    assert match.offset == pytest.approx(-70.0, abs=0.1)


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.ones(RATE) * 0.1, np.zeros(100), np.zeros(1)])
def test_sound_without_landmarks_matches_nothing(samples: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    soundfile.write(tmp_path / "b.wav", melody(1, 3.0), RATE)
    assert list(find_duplicates([fingerprint_one(tmp_path / "a.wav"), fingerprint_one(tmp_path / "b.wav")])) == []
    assert list(find_duplicates([])) == []


def test_many_clips_are_compared_by_rarer_hashes_and_the_recall_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    frames = np.sort(rng.integers(0, 1000, 300)).astype(np.int32)

    def one(seed: int) -> Fingerprint:
        own = np.random.default_rng(seed)
        hashes = np.concatenate([own.integers(0, 50, 200), own.integers(1000, 1 << 22, 100)]).astype(np.uint32)
        outline = own.uniform(-50, 0, (32, 300)).astype(np.float16)
        return Fingerprint(sha256=str(seed), hashes=hashes, frames=frames, outline=outline)

    monkeypatch.setattr(module, "ENTRIES", 1_000_000)
    prints = [one(seed) for seed in (*range(60), *range(0, 60, 3))]
    pairs = [(match.first, match.second) for match in find_duplicates(prints)]
    assert pairs == [(3 * number, 60 + number) for number in range(20)]
    assert estimate_recall(prints).clips == 0  # nothing is left out
    monkeypatch.setattr(module, "ENTRIES", 400)  # the first 200 hashes occur about 320 times each
    assert [(match.first, match.second) for match in find_duplicates(prints)] == pairs
    assert estimate_recall(prints) == Recall(clips=80, pairs=20, found=20)
    monkeypatch.setattr(module, "ENTRIES", 101)  # only what no other clip has: copies share nothing
    assert estimate_recall(prints).found < 20
