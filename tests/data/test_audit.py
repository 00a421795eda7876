"""The audit: planted copies are found, different music is not, and a split's two sides are held against each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spectro.core.config import RenderConfig, SplitConfig
from spectro.core.errors import DataError
from spectro.data.acoustic_fingerprint import find_duplicates, fingerprint
from spectro.data.audit import audit
from spectro.data.render import render
from spectro.data.splits import split

RATE = 22050
SECONDS = 12.0


def melody(seed: int, seconds: float = SECONDS) -> np.ndarray:
    """Return `[n]` float32: notes of random pitch, length and timbre; no two seeds share a bar."""
    rng = np.random.default_rng(seed)
    samples = np.zeros(int(seconds * RATE))
    begin = 0
    while begin < len(samples):
        length = int(rng.uniform(0.12, 0.5) * RATE)
        time = np.arange(length) / RATE
        pitch = 110 * 2 ** (rng.integers(0, 36) / 12)
        tone = sum(rng.uniform(0.2, 1) / k * np.sin(2 * np.pi * pitch * k * time) for k in range(1, 6))
        note = tone * np.exp(-4 * time)
        samples[begin : begin + length] += note[: len(samples) - begin]
        begin += length
    samples += 0.003 * rng.standard_normal(len(samples))
    return (0.4 * samples / np.abs(samples).max()).astype(np.float32)


def pcm(samples: np.ndarray) -> np.ndarray:
    """Round to 16 bits before writing: libsndfile rounds to WAV and cuts off to FLAC."""
    return (samples * 32767).astype(np.int16)


def noisy(samples: np.ndarray, db: float = 20.0) -> np.ndarray:
    level = np.sqrt((samples**2).mean()) * 10 ** (-db / 20)
    return (samples + level * np.random.default_rng(9).standard_normal(len(samples))).astype(np.float32)


def write_mp3(path: Path, samples: np.ndarray) -> None:
    """Write an MP3 at 64 kbit/s."""
    soundfile.write(path, samples, RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=0.65)


def plant(path: Path, samples: np.ndarray, number: int) -> None:
    """Write a copy: by turns at another bitrate, gain, start, noise, and all at once."""
    way = number % 5
    if way in (1, 4):
        samples = samples * 0.5
    if way in (2, 4):
        samples = samples[3 * RATE :]
    if way in (3, 4):
        samples = noisy(samples)
    if way in (0, 4):
        write_mp3(path.with_suffix(".mp3"), samples)
    else:
        soundfile.write(path.with_suffix(".wav"), samples, RATE)


def test_planted_copies_are_found_and_nothing_else(tmp_path: Path) -> None:
    originals = [tmp_path / f"{number}.wav" for number in range(20)]
    for number, path in enumerate(originals):
        soundfile.write(path, melody(number), RATE)
        plant(tmp_path / f"copy-{number}", melody(number), number)
    files = sorted(tmp_path.iterdir())
    assert 63 < (tmp_path / "copy-0.mp3").stat().st_size * 8 / SECONDS / 1000 < 67
    matches = list(find_duplicates([fingerprint(path) for path in files]))
    named = [(files[match.first].stem, files[match.second].stem, match.offset) for match in matches]
    right = [row for row in named if f"copy-{row[0]}" == row[1]]
    assert len(right) >= 19
    assert len(named) == len(right)
    for first, _, offset in right:
        assert offset == pytest.approx(-3.0 if int(first) % 5 in (2, 4) else 0.0, abs=0.06)


def test_a_flac_has_the_hash_of_its_wav_and_a_louder_copy_has_not(tmp_path: Path) -> None:
    samples = melody(1, 3.0)
    for name, made in (("a.wav", samples), ("a.flac", samples), ("b.wav", samples * 0.5)):
        soundfile.write(tmp_path / name, pcm(made), RATE)
    a, flac, b = (fingerprint(tmp_path / name).sha256 for name in ("a.wav", "a.flac", "b.wav"))
    assert a == flac != b


def test_a_repetition_a_minute_into_a_long_recording_is_found(tmp_path: Path) -> None:
    long = np.concatenate([melody(1, 70.0), melody(2), melody(3, 8.0)])
    soundfile.write(tmp_path / "long.wav", long, RATE)
    soundfile.write(tmp_path / "short.wav", melody(2), RATE)
    (match,) = find_duplicates([fingerprint(tmp_path / "long.wav"), fingerprint(tmp_path / "short.wav")])
    assert match.offset == pytest.approx(-70.0, abs=0.1)


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.ones(RATE) * 0.1, np.zeros(100), np.zeros(1)])
def test_sound_without_landmarks_matches_nothing(samples: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    soundfile.write(tmp_path / "b.wav", melody(1, 3.0), RATE)
    assert list(find_duplicates([fingerprint(tmp_path / "a.wav"), fingerprint(tmp_path / "b.wav")])) == []
    assert list(find_duplicates([])) == []


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, small: RenderConfig) -> Path:
    """Two classes x four songs x two clips, with one song's copy under the other class and one exact copy as FLAC."""
    root = tmp_path_factory.mktemp("audited")
    rows = ["path,label,group"]
    for label in ("blues", "rock"):
        for song in range(4):
            for take in range(2):
                seed = ["blues", "rock"].index(label) * 100 + song * 10 + take
                name = f"{label}-{song}-{take}.wav"
                soundfile.write(root / name, pcm(melody(seed, 6.0)), RATE)
                rows.append(f"{name},{label},{label} {song}")
    soundfile.write(root / "rock-9-0.wav", noisy(melody(0, 6.0)), RATE)
    soundfile.write(root / "blues-0-1.flac", pcm(melody(1, 6.0)), RATE)
    rows += ["rock-9-0.wav,rock,rock 9", "blues-0-1.flac,blues,blues 0"]
    (root / "clips.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    data = render(root, layout="csv", out=root / "data", config=small, workers=1).data
    split(data, config=SplitConfig(seed=1))
    split(data, config=SplitConfig(by="segment"))
    return data


def test_the_audit_names_copies_conflicts_and_what_no_group_keeps_together(audited: Path) -> None:
    found = audit(audited, workers=1)
    assert [(pair.first, pair.second, pair.kind) for pair in found.pairs] == [
        ("blues-0-1.flac", "blues-0-1.wav", "exact"),
        ("blues-0-0.wav", "rock-9-0.wav", "near"),
    ]
    assert found.conflicts == found.ungrouped == found.pairs[1:]
    assert found.across == ()
    assert found.labels == {"blues": 9, "rock": 9}
    summary = json.loads((audited / "audit.json").read_text(encoding="utf-8"))
    assert summary == found.summary()
    assert summary["pair_rate"] == pytest.approx(2 / 153)
    assert len((audited / "audit.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_a_segment_split_has_every_pair_and_torn_group_on_two_sides(audited: Path) -> None:
    found = audit(audited, split="segment", workers=1)
    assert found.split == "segment (LEAKY)"
    assert "blues 0" in found.leaking_groups
    assert found.across == found.pairs


def test_a_group_split_tears_no_group_but_a_copy_in_another_one(audited: Path) -> None:
    found = audit(audited, split="group", workers=2)
    assert found.leaking_groups == ()
    (near,) = found.ungrouped
    assert near.across == (near.first_folds != near.second_folds)
    assert all(pair.same_group != pair.across or pair == near for pair in found.pairs)


def test_what_cannot_be_audited_is_one_clear_line(audited: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="spectro render"):
        audit(tmp_path)
    with pytest.raises(DataError, match="did you mean 'group'"):
        audit(audited, split="grup")
    moved = Path(shutil.copytree(audited, tmp_path / "moved"))
    (moved / "source.json").write_text('{"layout": "csv", "root": "/nowhere"}', encoding="utf-8")
    with pytest.raises(DataError, match=r"nowhere, which .* is gone"):
        audit(moved)


def test_a_clip_that_became_unreadable_is_reported_and_the_rest_compared(audited: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(audited.parent, tmp_path / "moved"))
    note = {"layout": "csv", "root": str(moved)}
    (moved / "data" / "source.json").write_text(json.dumps(note), encoding="utf-8")
    (moved / "rock-9-0.wav").write_bytes(b"")
    found = audit(moved / "data", workers=1)
    assert set(found.unread) == {"rock-9-0.wav"}
    assert len(found.pairs) == 1
