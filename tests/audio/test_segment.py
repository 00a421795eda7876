"""Segments: where they start, whatever length and rule, and that each holds exactly its part of the file."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from spectro.audio.segment import iter_segments, segment_starts
from spectro.core.arrays import Floats32
from spectro.core.config import SegmentConfig
from spectro.core.errors import AudioError

MakeSound = Callable[..., Floats32]
WriteAudio = Callable[..., Path]

CONFIGS = st.builds(
    SegmentConfig,
    seconds=st.floats(0.5, 20),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    tail=st.sampled_from(["shift", "drop", "pad"]),
    min_tail=st.floats(0.01, 1),
)


@pytest.mark.parametrize(
    ("seconds", "options", "starts"),
    [
        (30.0, {}, [0, 10, 20]),
        (29.99, {}, [0, 10, 19.99]),
        (30.01, {}, [0, 10, 20]),
        (25.0, {}, [0, 10, 15]),
        (24.9, {}, [0, 10]),
        (27.0, {"tail": "pad"}, [0, 10, 20]),
        (27.0, {"tail": "drop"}, [0, 10]),
        (20.0, {"overlap": 0.5}, [0, 5, 10]),
        (4.0, {}, [0]),
        (4.0, {"short": "repeat"}, [0]),
        (0.3, {"seconds": 0.1, "min_seconds": 0.0}, [0, 0.1, 0.2]),
    ],
)
def test_starts(seconds: float, options: dict[str, Any], starts: list[float]) -> None:
    assert segment_starts(seconds, SegmentConfig(**options)) == pytest.approx(starts)


@given(seconds=st.floats(0.5, 100), config=CONFIGS)
def test_starts_lie_in_the_clip_in_order_and_cover_it(seconds: float, config: SegmentConfig) -> None:
    starts = segment_starts(seconds, config)
    assert starts[0] == 0
    assert all(early < late for early, late in pairwise(starts))
    assert all(start < seconds for start in starts)
    if config.tail != "pad":
        assert len(starts) == 1 or starts[-1] + config.seconds <= seconds + 1e-4
    if config.tail != "drop" and seconds > config.seconds:
        assert seconds - (starts[-1] + config.seconds) < config.min_tail * config.seconds + 1e-4


@pytest.mark.parametrize("options", [{}, {"short": "fail"}])
def test_too_short(options: dict[str, Any]) -> None:
    with pytest.raises(AudioError, match="at least") as caught:
        segment_starts(0.4, SegmentConfig(**options))
    assert caught.value.reason == "too-short"


def test_shorter_than_a_segment_fails_if_asked() -> None:
    with pytest.raises(AudioError, match="at least 10 s"):
        segment_starts(9.0, SegmentConfig(short="fail"))


@pytest.mark.parametrize("tail", ["shift", "drop", "pad"])
@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_samples_are_those_of_the_file(
    tmp_path: Path, noise: MakeSound, write_audio: WriteAudio, tail: Any, overlap: float
) -> None:
    path = write_audio(tmp_path / "a.wav", noise(7.3))
    whole = soundfile.read(path, dtype="float32")[0]
    config = SegmentConfig(seconds=2.0, tail=tail, overlap=overlap)
    segments = [(start, samples.copy()) for start, samples in iter_segments(path, 22050, config)]
    assert [start for start, _ in segments] == segment_starts(7.3, config)
    for start, samples in segments:
        part = whole[round(start * 22050) :][:44100]
        np.testing.assert_array_equal(samples, np.pad(part, (0, 44100 - len(part))))


def test_a_short_clip_is_padded_or_repeated(tmp_path: Path, noise: MakeSound, write_audio: WriteAudio) -> None:
    path = write_audio(tmp_path / "a.wav", noise(1.0))
    whole = soundfile.read(path, dtype="float32")[0]
    [(_, padded)] = iter_segments(path, 22050, SegmentConfig(seconds=2.5))
    [(_, repeated)] = iter_segments(path, 22050, SegmentConfig(seconds=2.5, short="repeat"))
    np.testing.assert_array_equal(padded, np.pad(whole, (0, 33075)))
    np.testing.assert_array_equal(repeated, np.concatenate([whole, whole, whole[:11025]]))


def test_damage_in_a_dropped_tail_is_noticed(tmp_path: Path, noise: MakeSound, write_audio: WriteAudio) -> None:
    path = write_audio(tmp_path / "a.mp3", noise(5.0))
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(AudioError, match="breaks off"):
        list(iter_segments(path, 22050, SegmentConfig(seconds=2.0, tail="drop")))


def test_rounding_a_start_moves_no_sample(tmp_path: Path, noise: MakeSound, write_audio: WriteAudio) -> None:
    path = write_audio(tmp_path / "a.wav", noise(4.0)[: 3 * 22050 + 777])
    whole = soundfile.read(path, dtype="float32")[0]
    *_, (start, samples) = iter_segments(path, 22050, SegmentConfig(seconds=2.0))
    assert start == round(1 + 777 / 22050, 4)
    np.testing.assert_array_equal(samples, whole[-44100:])
