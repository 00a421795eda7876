"""The audit: copies, conflicting labels and leaking groups are found and compared with a split."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile

from spectro.core.config import RenderConfig, SplitConfig
from spectro.core.data_folder import DataFolder, Source
from spectro.core.errors import DataError
from spectro.data.audit import audit, read_audit
from spectro.data.render import render
from spectro.data.splits import split
from tests.data.melodies import RATE, melody, noisy, pcm


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


def test_copies_conflicts_and_ungrouped_pairs_are_named(audited: Path) -> None:
    result = audit(audited, workers=1)
    assert [(pair.first, pair.second, pair.kind) for pair in result.pairs] == [
        ("blues-0-1.flac", "blues-0-1.wav", "exact"),
        ("blues-0-0.wav", "rock-9-0.wav", "near"),
    ]
    assert result.conflicts == result.ungrouped == result.pairs[1:]
    assert result.across == ()
    assert result.labels == {"blues": 9, "rock": 9}
    summary = read_audit(audited)
    assert summary == result.summary()
    assert summary.pair_rate == pytest.approx(2 / 153)
    assert len((audited / "audit.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_a_segment_split_leaks_every_pair(audited: Path) -> None:
    result = audit(audited, split="segment", workers=1)
    assert result.split == "segment (LEAKY)"
    assert "blues 0" in result.leaking_groups
    assert result.across == result.pairs


def test_a_group_split_leaks_only_a_copy_in_another_group(audited: Path) -> None:
    result = audit(audited, split="group", workers=2)
    assert result.leaking_groups == ()
    (near,) = result.ungrouped
    assert near.across == (near.first_subsets != near.second_subsets)
    assert all(pair.same_group != pair.across or pair == near for pair in result.pairs)


def test_what_cannot_be_audited_is_one_clear_line(audited: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="spectro render"):
        audit(tmp_path)
    with pytest.raises(DataError, match="did you mean 'group'"):
        audit(audited, split="grup")
    moved = Path(shutil.copytree(audited, tmp_path / "moved"))
    DataFolder.open(moved).write_source(Source(layout="csv", root="/nowhere"))
    with pytest.raises(DataError, match=r"nowhere, which .* is gone"):
        audit(moved)


def test_an_unreadable_clip_is_reported_and_the_others_compared(audited: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(audited.parent, tmp_path / "moved"))
    DataFolder.open(moved / "data").write_source(Source(layout="csv", root=str(moved)))
    (moved / "rock-9-0.wav").write_bytes(b"")
    result = audit(moved / "data", workers=1)
    assert set(result.unread) == {"rock-9-0.wav"}
    assert len(result.pairs) == 1


def test_no_audit_is_none_and_a_damaged_one_says_what_to_do(audited: Path, tmp_path: Path) -> None:
    assert read_audit(tmp_path) is None
    moved = Path(shutil.copytree(audited, tmp_path / "moved"))
    audit(moved, workers=1)
    path = DataFolder.open(moved).audit_path
    path.write_text(path.read_text(encoding="utf-8").replace('"pairs": 2', '"pairs": 0'), encoding="utf-8")
    with pytest.raises(DataError, match=r"audit\.json was changed .*spectro data audit"):
        read_audit(moved)
