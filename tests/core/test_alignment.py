"""Alignment: predictions of several runs come in one order, and runs that do not belong together are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectro.core.alignment import aligned_clips, aligned_segments, describe_difference
from spectro.core.errors import RunError
from spectro.core.runs import Run
from tests.builders import make_run, model_card, random_predictions, replace_predictions


def two_runs(path: Path, *, segments: int = 3, vote: str = "soft") -> tuple[Run, Run]:
    """Two runs of the same clips, the second's in another order."""
    second = random_predictions(2, segments=segments)
    shuffled = second.select(np.random.default_rng(0).permutation(len(second)))
    return (
        make_run(path / "a", {"test": random_predictions(1)}),
        make_run(path / "b", {"test": shuffled}, model_card("b", vote=vote)),
    )


def test_clips_are_voted_and_put_in_the_order_of_the_first(tmp_path: Path) -> None:
    first, second = two_runs(tmp_path, segments=5, vote="hard")
    mine, theirs = aligned_clips((first, second), "test")
    assert mine.ids == theirs.ids == first.predictions("test").pool().ids
    np.testing.assert_array_equal(theirs.truth, mine.truth)
    np.testing.assert_allclose(theirs.probs, random_predictions(2, segments=5).pool("hard").probs)


def test_segments_align_where_clips_are_cut_alike(tmp_path: Path) -> None:
    aligned = aligned_segments(two_runs(tmp_path / "alike"), "test")
    assert aligned is not None
    assert aligned[0].ids == aligned[1].ids
    np.testing.assert_allclose(aligned[1].probs, random_predictions(2).probs)
    assert aligned_segments(two_runs(tmp_path / "apart", segments=5), "test") is None


def test_runs_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    first, second = two_runs(tmp_path)
    test = second.predictions("test")
    for changed, message in (
        (replace(test, labels=("hiss", "hum", "other")), "different labels: only the first has 'pulse'"),
        (random_predictions(2, clips=7), "different test clips: only the first has '007.wav' and 1 more"),
        (replace(test, truth=(test.truth + 1) % 3), "disagree about the true class of '000.wav'"),
    ):
        replace_predictions(second, "test", changed)
        with pytest.raises(RunError, match=message):
            aligned_clips((first, second), "test")


def test_lists_of_another_order_differ_in_it() -> None:
    assert describe_difference("ab", "ba") == "their order differs"
    assert describe_difference("a", "ab") == "only the second has 'b'"
