"""Segments: where they start, whatever length and rule, and that each holds exactly its part of the file."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from spectro.audio.segment import iter_segments, segment_starts
from spectro.core.config import SegmentConfig
from spectro.core.errors import AudioError

CONFIGS = st.builds(
    SegmentConfig,
    seconds=st.floats(0.5, 20),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    tail=st.sampled_from(["shift", "drop", "pad"]),
    min_rest=st.floats(0.01, 1),
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
def test_starts(seconds, options, starts):
    assert segment_starts(seconds, SegmentConfig(**options)) == pytest.approx(starts)


@given(seconds=st.floats(0.5, 100), config=CONFIGS)
def test_starts_lie_in_the_clip_in_order_and_cover_it(seconds, config):
    starts = segment_starts(seconds, config)
    assert starts[0] == 0
    assert all(early < late for early, late in pairwise(starts))
    assert all(start < seconds for start in starts)
    if config.tail != "pad":
        assert len(starts) == 1 or starts[-1] + config.seconds <= seconds + 1e-5
    if config.tail != "drop" and seconds > config.seconds:
        assert seconds - (starts[-1] + config.seconds) < config.min_rest * config.seconds + 1e-5


@pytest.mark.parametrize("options", [{}, {"short": "fail"}])
def test_too_short(options):
    with pytest.raises(AudioError, match="at least") as caught:
        segment_starts(0.4, SegmentConfig(**options))
    assert caught.value.reason == "too-short"


def test_shorter_than_a_segment_fails_if_asked():
    with pytest.raises(AudioError, match="at least 10 s"):
        segment_starts(9.0, SegmentConfig(short="fail"))


@pytest.mark.parametrize("tail", ["shift", "drop", "pad"])
@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_samples_are_those_of_the_file(tmp_path, noise, write_audio, tail, overlap):
    path = write_audio(tmp_path / "a.wav", noise(7.3))
    whole = soundfile.read(path, dtype="float32")[0]
    config = SegmentConfig(seconds=2.0, tail=tail, overlap=overlap)
    found = [(start, samples.copy()) for start, samples in iter_segments(path, 22050, config)]
    assert [start for start, _ in found] == segment_starts(7.3, config)
    for start, samples in found:
        part = whole[round(start * 22050) :][:44100]
        np.testing.assert_array_equal(samples, np.pad(part, (0, 44100 - len(part))))


def test_a_short_clip_is_padded_or_repeated(tmp_path, noise, write_audio):
    path = write_audio(tmp_path / "a.wav", noise(1.0))
    whole = soundfile.read(path, dtype="float32")[0]
    [(_, padded)] = iter_segments(path, 22050, SegmentConfig(seconds=2.5))
    [(_, repeated)] = iter_segments(path, 22050, SegmentConfig(seconds=2.5, short="repeat"))
    np.testing.assert_array_equal(padded, np.pad(whole, (0, 33075)))
    np.testing.assert_array_equal(repeated, np.concatenate([whole, whole, whole[:11025]]))


def test_a_break_in_a_dropped_rest_is_noticed(tmp_path, noise, write_audio):
    path = write_audio(tmp_path / "a.mp3", noise(5.0))
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(AudioError, match="breaks off"):
        list(iter_segments(path, 22050, SegmentConfig(seconds=2.0, tail="drop")))
