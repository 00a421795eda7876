"""Rendering again with other settings: a data folder inside the first, with the same clips and the same split."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from spectro.core.config import RenderConfig, SplitConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError
from spectro.data.rerender import rerender
from spectro.data.splits import split
from spectro.data.store import open_store


@pytest.fixture
def data(rendered: Path, tmp_path: Path) -> DataFolder:
    return DataFolder.open(shutil.copytree(rendered, tmp_path / "data"))


@pytest.fixture
def longer(small: RenderConfig) -> RenderConfig:
    return replace(small, segment=replace(small.segment, seconds=1.5))


def test_a_split_of_clips_is_the_same_one(data: DataFolder, longer: RenderConfig) -> None:
    (chosen,) = split(data)
    rendering = rerender(data, longer, split="group", workers=1)
    variant = DataFolder.open(rendering.data)
    assert variant == data.variant(longer)
    assert variant.split("group") == chosen
    assert [clip.id for clip in variant.clips] == [clip.id for clip in data.clips]
    assert len(rendering.store.segments) == rendering.made == 48
    assert rerender(data, longer, split="group", workers=1).reused == 48
    assert len(data.configs()) == 1


def test_a_split_of_segments_is_made_again(data: DataFolder, longer: RenderConfig) -> None:
    split(data, config=SplitConfig(by="segment", folds=2, val=0.0), name="leaky")
    rendering = rerender(data, longer, split="leaky-2", workers=1)
    again = DataFolder.open(rendering.data).split("leaky-2")
    assert (again.by, again.statistics.folds) == ("segment", 2)
    assert again.assigned.keys() == {segment.id for segment in rendering.store.segments}


def test_the_same_settings_give_the_data_itself(data: DataFolder, small: RenderConfig) -> None:
    split(data)
    rendering = rerender(data, small, split="group", workers=1)
    assert (rendering.data, rendering.made, rendering.reused) == (data.path, 0, 72)
    assert rendering.store.segments == open_store(data).segments


def test_a_missing_split_is_one_line(data: DataFolder, longer: RenderConfig) -> None:
    with pytest.raises(DataError, match="there is no split 'group'"):
        rerender(data, longer, split="group", workers=1)
