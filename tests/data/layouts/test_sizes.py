"""Sources of every size, from scan to split: two classes, 200 classes, one clip for each group, equal basenames."""

from __future__ import annotations

from pathlib import Path

import pytest

from spectro.core.config import SplitConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError
from spectro.core.tables import Clip, Split
from spectro.data.layouts import scan
from spectro.data.splits import assign, split
from spectro.data.tables import write_tables
from tests.data.miniatures import table


def split_of(clips: tuple[Clip, ...], config: SplitConfig) -> Split:
    [one] = assign({clip.id: clip for clip in clips}, config, "s")
    return one


@pytest.mark.parametrize(("classes", "takes"), [(2, 3), (2, 40), (200, 3), (200, 5)])
@pytest.mark.parametrize("layout", ["folder", "csv"])
def test_every_class_is_in_every_subset(layout: str, classes: int, takes: int, tmp_path: Path) -> None:
    names = [f"{label:03d}/{take}.wav" for label in range(classes) for take in range(takes)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    table(tmp_path / "clips.csv", ("path", "label"), *((name, name[:3]) for name in names))
    clips = scan(tmp_path, layout).clips
    assert [(clip.id, clip.label, clip.group) for clip in clips] == [(name, name[:3], name) for name in sorted(names)]
    one = split_of(clips, SplitConfig())
    assert not one.leaky
    assert one.statistics.absent == {}
    assert len(one.statistics.labels) == classes
    assert one.statistics.counts["train"] >= len(names) / 3


def test_one_clip_for_each_group_is_a_split_by_clip(tmp_path: Path) -> None:
    rows = [(f"{take}.wav", f"class {take % 2}", f"song {take}") for take in range(20)]
    table(tmp_path / "clips.csv", ("path", "label", "group"), *rows)
    clips = scan(tmp_path / "clips.csv").clips
    by_group, by_clip = (split_of(clips, SplitConfig(by=by)) for by in ("group", "clip"))  # type: ignore[arg-type]
    assert by_group.statistics.counts == by_clip.statistics.counts
    assert not by_clip.leaky


def test_one_class_or_one_group_of_a_class_ends_in_a_line_with_the_remedy(tmp_path: Path) -> None:
    for name in ("rock/a.wav", "rock/b.wav", "rock/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="only 'rock'; add recordings of another one"):
        split_of(scan(tmp_path).clips, SplitConfig())
    one_class = [Clip(id=f"{take}.wav", label="rock", group=f"{take}", fold=f"{take}") for take in range(3)]
    write_tables(DataFolder(tmp_path / "data"), one_class)
    with pytest.raises(DataError, match="only 'rock'; add recordings of another one"):
        split(tmp_path / "data", config=SplitConfig(by="official"))
    (tmp_path / "jazz").mkdir()
    (tmp_path / "jazz" / "a.wav").touch()
    with pytest.raises(DataError, match=r"class 'jazz' has only one group.*add recordings"):
        split_of(scan(tmp_path).clips, SplitConfig())
