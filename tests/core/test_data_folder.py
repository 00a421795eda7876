"""Data folders: tables, splits and settings come back as they were written, and damage ends in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from spectro.core.config import MelConfig, RenderConfig
from spectro.core.data_folder import DataFolder, Source
from spectro.core.errors import DataError
from spectro.core.tables import Clip, Failure, Segment


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """Two clips, one of them failed, with one segment rendered."""
    folder = DataFolder(tmp_path / "data")
    clips = (Clip(id="a/1.wav", label="a", group="g"), Clip(id="b/2.wav", label="b", group="h"))
    folder.write_clips(clips)
    folder.write_failures((Failure(path="b/2.wav", reason="empty", seconds=0.0, message="b/2.wav holds no sound"),))
    folder.write_source(Source(layout="folder", root=str(tmp_path)))
    folder.write_config(RenderConfig())
    folder.write_segments(RenderConfig(), (Segment(clip=clips[0], start=0.0, seconds=10.0),))
    return DataFolder.open(folder.path)


def test_what_was_written_is_read(folder: DataFolder, tmp_path: Path) -> None:
    assert [clip.id for clip in folder.clips] == ["a/1.wav", "b/2.wav"]
    assert [clip.id for clip in folder.usable] == ["a/1.wav"]
    assert folder.source_root() == tmp_path
    assert list(folder.configs().values()) == [RenderConfig()]
    assert [segment.id for segment in folder.segments(RenderConfig())] == ["a/1.wav@0000.00"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        DataFolder.open(tmp_path / "none")
    with pytest.raises(DataError, match=r"no clips\.csv"):
        _ = DataFolder.open(tmp_path).clips


def test_settings_of_another_folder_are_refused(folder: DataFolder) -> None:
    config = folder.rendered_path(RenderConfig()) / "config.json"
    other = folder.rendered_path(RenderConfig(mel=MelConfig(n_mels=64)))
    other.mkdir()
    config.rename(other / "config.json")
    with pytest.raises(DataError, match="changed after rendering"):
        folder.configs()


@pytest.mark.parametrize("name", ["source.json", "config.json"])
def test_a_damaged_note_ends_in_one_line(folder: DataFolder, name: str) -> None:
    path = folder.path / name if name == "source.json" else folder.rendered_path(RenderConfig()) / name
    path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    with pytest.raises(DataError, match="damaged"):
        _ = (folder.source, folder.configs())


def test_a_source_that_is_gone_is_named(folder: DataFolder) -> None:
    folder.write_source(Source(layout="folder", root=str(folder.path / "gone")))
    with pytest.raises(DataError, match="is gone"):
        folder.source_root()


def test_an_unfinished_rendering_is_named(folder: DataFolder) -> None:
    with pytest.raises(DataError, match="did not finish"):
        folder.segments(RenderConfig(mel=MelConfig(n_mels=64)))
