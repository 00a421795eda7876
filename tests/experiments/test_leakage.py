"""The leakage gap: wide where a group is easier to recognize than its class, and none where groups mean nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spectro.core.config import RenderConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, DataError
from spectro.core.tables import Clip, Segment
from spectro.data import png
from spectro.data.provenance import Provenance
from spectro.data.store import picture_path, picture_shape, tags
from spectro.data.tables import complete, write_tables
from spectro.experiments.leakage import LeakageGapConfig, leakage_gap, read_leakage, spectrogram_statistics
from spectro.experiments.results import LeakageGap

QUICK = LeakageGapConfig(folds=3, trees=30)


def noise_folder(path: Path, config: RenderConfig, *, by_class: float, by_group: float) -> DataFolder:
    """Images of noise whose spectrum depends on the class and on the group, as strongly as asked for."""
    rng = np.random.default_rng(0)
    data = DataFolder(path)
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
                    image = np.clip(level[:, None] + 30 * rng.standard_normal(shape), 0, 255).astype(np.uint8)
                    file = picture_path(data.rendered_path(config), segment)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    png.write(file, image, tags(config, segment, "none"))
                    segments.append(segment)
    data.write_config(config)
    clips = {segment.clip.id: segment.clip for segment in segments}
    write_tables(data, tuple(clips.values()))
    complete(data, config, segments, dict.fromkeys(clips, Provenance(stamp="none", decoder="none", warnings=())))
    return data


def gaps(data: DataFolder) -> dict[str, LeakageGap]:
    return {gap.by: gap for gap in leakage_gap(data, config=QUICK)}


def test_where_only_the_group_is_recognized_the_gap_is_wide(tmp_path: Path, small: RenderConfig) -> None:
    data = noise_folder(tmp_path, small, by_class=0.0, by_group=1.0)
    assert read_leakage(data) is None
    by = gaps(data)
    assert by["segment"].segment_accuracy.value > 0.6
    assert by["clip"].segment_accuracy.value > 0.5
    assert by["group"].segment_accuracy.value < 0.45
    assert by["segment"].gap.low > 0.2
    assert by["group"].gap.value == by["group"].leaking_groups == 0
    assert by["clip"].leaking_groups > 0
    assert read_leakage(tmp_path) == tuple(by.values())
    text = data.leakage_path.read_text(encoding="utf-8")
    for damaged in (text[:-20], text.replace('"leaking_groups": 0', '"leaking_groups": 1')):
        data.leakage_path.write_text(damaged, encoding="utf-8")
        with pytest.raises(DataError, match=r"leakage_gap\.json .*measure the gap again"):
            read_leakage(data)


def test_a_gap_of_other_labels_or_spectrograms_is_not_shown(tmp_path: Path, small: RenderConfig) -> None:
    data = noise_folder(tmp_path, small, by_class=1.0, by_group=0.0)
    gaps(data)
    assert read_leakage(data)
    noise_folder(tmp_path, small, by_class=0.9, by_group=0.0)
    with pytest.raises(DataError, match="measured on other spectrograms, labels or groups"):
        read_leakage(tmp_path)
    noise_folder(tmp_path, small, by_class=1.0, by_group=0.0)
    assert read_leakage(tmp_path)


def test_where_the_class_is_recognized_there_is_no_gap(tmp_path: Path, small: RenderConfig) -> None:
    by = gaps(noise_folder(tmp_path, small, by_class=1.0, by_group=0.0))
    assert all(gap.segment_accuracy.value > 0.95 and gap.clip_accuracy.value > 0.95 for gap in by.values())
    assert abs(by["segment"].gap.value) < 0.05


def test_statistics_of_a_spectrogram_are_those_of_its_bands() -> None:
    images = np.array([[[0, 10, 20], [5, 5, 5]]], dtype=np.uint8)
    assert spectrogram_statistics(images) == pytest.approx(np.array([[10, 5, np.std([0, 10, 20]), 0, 10, 0]]))


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="folds is 1"):
        LeakageGapConfig(folds=1)
