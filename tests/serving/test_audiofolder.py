"""Audiofolders: what is exported is read again with the same labels, groups and subsets."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import spectro
from spectro.core.config import RenderConfig, SplitConfig
from spectro.core.errors import ConfigError, DataError
from spectro.core.files import read_csv
from spectro.serving.audiofolder import COLUMNS, export_audiofolder


@pytest.fixture
def data(rendered: Path, tmp_path: Path) -> Path:
    copy = shutil.copytree(rendered, tmp_path / "data")
    spectro.split(copy, config=SplitConfig(test=0.3, val=0.3))
    return copy


@pytest.mark.parametrize("how", ["copy", "link"])
def test_an_export_is_read_again_as_it_was(data: Path, small: RenderConfig, tmp_path: Path, how: str) -> None:
    exported = export_audiofolder(data, tmp_path / "shared", how=how)  # type: ignore[arg-type]
    assert sum(exported.clips.values()) == exported.copied == 24
    assert set(exported.clips) == {"train", "validation", "test"}
    assert len(read_csv(tmp_path / "shared" / "validation" / "metadata.csv", COLUMNS)) == exported.clips["validation"]
    again = spectro.render(tmp_path / "shared", out=tmp_path / "again", layout="audiofolder", config=small, workers=1)
    spectro.split(again.data, config=SplitConfig(by="official", val=0.0))
    before, after = spectro.DataFolder.open(data), spectro.DataFolder.open(again.data)
    old, new = before.split("group").assigned, after.split("official").assigned
    names = {Path(clip.id).name: clip for clip in before.clips}
    assert len(after.clips) == 24
    for clip in after.clips:
        own = names[Path(clip.id).name]
        assert (clip.label, clip.group) == (own.label, own.group)
        assert new[clip.id] == old[own.id]


def test_a_second_export_copies_only_what_is_missing(data: Path, tmp_path: Path) -> None:
    export_audiofolder(data, tmp_path / "shared")
    assert export_audiofolder(data, tmp_path / "shared").copied == 0
    lost = next((tmp_path / "shared" / "train").rglob("*.wav"))
    lost.write_bytes(b"half")
    assert export_audiofolder(data, tmp_path / "shared").copied == 1
    assert lost.stat().st_size > 4
    assert not [name for _, _, names in os.walk(tmp_path / "shared") for name in names if name.endswith(".tmp")]


def test_what_cannot_be_exported_is_refused(data: Path, tmp_path: Path) -> None:
    spectro.split(data, config=SplitConfig(by="segment"), name="segment")
    with pytest.raises(ConfigError, match="segments of one clip"):
        export_audiofolder(data, tmp_path / "x", split="segment")
    with pytest.raises(DataError, match="nothing"):
        export_audiofolder(data, tmp_path / "x", split="nothing")
