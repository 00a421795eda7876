"""The leak gap: wide where a group is easier to tell than its class, and none where groups mean nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError
from spectro.core.tables import Clip, Segment, write_clips, write_csv, write_segments, write_text
from spectro.data import png
from spectro.data.store import folder_of, picture_path, picture_shape, tags
from spectro.experiments.leakage import LeakageGap, LeakageGapConfig, leakage_gap, picture_statistics

QUICK = LeakageGapConfig(folds=3, trees=30)


def data_of(folder: Path, config: RenderConfig, *, by_class: float, by_group: float) -> Path:
    """Pictures of noise whose spectrum depends on the class and on the group, as strongly as asked for."""
    rng = np.random.default_rng(0)
    shape = picture_shape(config)
    classes = 10 * by_class * rng.standard_normal((3, shape[0]))
    groups = 10 * by_group * rng.standard_normal((3, 6, shape[0]))
    segments = []
    for label in range(3):
        for group in range(6):
            for take in range(2):
                clip = Clip(id=f"{label}-{group}-{take}.wav", label=f"c{label}", group=f"{label}-{group}", seconds=3.0)
                for start in range(3):
                    segment = Segment(clip=clip, start=float(start), seconds=1.0)
                    level = 128 + classes[label] + groups[label, group]
                    picture = np.clip(level[:, None] + 30 * rng.standard_normal(shape), 0, 255).astype(np.uint8)
                    path = picture_path(folder_of(folder, config), segment)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    png.write(path, picture, tags(config, segment, "none"))
                    segments.append(segment)
    write_text(folder_of(folder, config) / "config.json", json.dumps(config.to_dict()))
    write_clips(folder / "clips.csv", {segment.clip.id: segment.clip for segment in segments}.values())
    write_csv(folder / "failed.csv", ("path", "reason", "seconds", "message"), [])
    write_segments(folder_of(folder, config) / "segments.csv", segments)
    return folder


def gaps(data: Path) -> dict[str, LeakageGap]:
    return {row.by: row for row in leakage_gap(data, config=QUICK)}


def test_where_only_the_group_can_be_told_leaking_pretends_everything(tmp_path: Path, small: RenderConfig) -> None:
    rows = gaps(data_of(tmp_path, small, by_class=0.0, by_group=1.0))
    assert rows["segment"].segment_accuracy.value > 0.6
    assert rows["clip"].segment_accuracy.value > 0.5
    assert rows["group"].segment_accuracy.value < 0.45
    assert rows["segment"].gap.low > 0.2
    assert rows["group"].gap.value == rows["group"].leaking_groups == 0
    assert rows["clip"].leaking_groups > 0


def test_where_the_class_can_be_told_there_is_no_gap(tmp_path: Path, small: RenderConfig) -> None:
    rows = gaps(data_of(tmp_path, small, by_class=1.0, by_group=0.0))
    assert all(row.segment_accuracy.value > 0.95 and row.clip_accuracy.value > 0.95 for row in rows.values())
    assert abs(rows["segment"].gap.value) < 0.05


def test_statistics_of_a_picture_are_those_of_its_bands() -> None:
    picture = np.array([[[0, 10, 20], [5, 5, 5]]], dtype=np.uint8)
    assert picture_statistics(picture) == pytest.approx(np.array([[10, 5, np.std([0, 10, 20]), 0, 10, 0]]))


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="folds is 1"):
        LeakageGapConfig(folds=1)
