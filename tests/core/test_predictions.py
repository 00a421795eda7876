"""Predictions: every vote is a distribution, and saving, selecting and joining lose nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectro.core.errors import ConfigError, DataError
from spectro.core.predictions import VOTES, Predictions

RNG = np.random.default_rng(0)


def make(clips: int = 4, segments: int = 3, classes: int = 3, prefix: str = "a") -> Predictions:
    probs = RNG.dirichlet(np.ones(classes), clips * segments)
    names = [f"{prefix}/song, {clip} é.wav" for clip in range(clips)]
    return Predictions(
        ids=tuple(f"{name}@{10 * s:07.2f}" for name in names for s in range(segments)),
        clip_ids=tuple(name for name in names for _ in range(segments)),
        groups=tuple(f"album {c // 2}" for c in range(clips) for _ in range(segments)),
        labels=tuple("xyz"[:classes]),
        probs=probs,
        truth=np.repeat(RNG.integers(-1, classes, clips), segments),
    )


@pytest.mark.parametrize("vote", VOTES)
def test_every_vote_gives_a_distribution_and_respects_unanimity(vote: str) -> None:
    pooled = make().pool(vote)
    assert len(pooled) == 4
    assert np.allclose(pooled.probs.sum(axis=1), 1)
    sure = np.tile([0.1, 0.8, 0.1], (5, 1))
    assert VOTES[vote](sure).argmax() == 1


def test_soft_vote_is_the_mean_and_keeps_clip_order() -> None:
    segments = make()
    clips = segments.pool()
    assert clips.ids == tuple(dict.fromkeys(segments.clip_ids))
    assert np.allclose(clips.probs[1], segments.probs[3:6].mean(axis=0))


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_saved_predictions_come_back(tmp_path: Path, suffix: str) -> None:
    said = make()
    said.save(tmp_path / f"p{suffix}")
    back = Predictions.load(tmp_path / f"p{suffix}")
    assert (back.ids, back.clip_ids, back.groups, back.labels) == (said.ids, said.clip_ids, said.groups, said.labels)
    assert np.allclose(back.probs, said.probs, atol=1e-6)
    assert np.array_equal(back.truth, said.truth)


def test_selecting_nothing_leaves_nothing() -> None:
    assert len(make().select([])) == 0


def test_joining_folds_keeps_every_item_once() -> None:
    first, second = make(prefix="a"), make(prefix="b")
    assert Predictions.join([first, second]).ids == first.ids + second.ids
    with pytest.raises(DataError, match="two predictions have the same id"):
        Predictions.join([first, first])


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        (np.full((3, 2), 0.5), "shape"), (np.full((2, 2), 0.7), "did you pass logits"),
        (np.array([[np.nan, 1], [0, 1]]), "finite"), (np.array([[-1.0, 2], [0, 1]]), "not negative"),
    ],
)  # fmt: skip
def test_what_is_no_distribution_is_refused(probs: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Predictions(
            ids=("a", "b"), clip_ids=("a", "b"), groups=("a", "b"), labels=("x", "y"), probs=probs, truth=np.zeros(2)
        )


def test_an_unknown_vote_is_answered_with_a_guess() -> None:
    with pytest.raises(ConfigError, match="did you mean 'soft'"):
        make().pool("sofd")


@pytest.mark.parametrize(
    ("column", "message"),
    [("truth", "clip 'a' has two true classes, 'x' and 'y'"), ("group", "clip 'a' is in two groups, 'x' and 'y'")],
)
def test_a_clip_with_two_classes_or_groups_is_refused(tmp_path: Path, column: str, message: str) -> None:
    path = tmp_path / "theirs.csv"
    other = "group" if column == "truth" else "truth"
    lines = [f"id,clip,{column},{other},x,y", "a@0,a,x,x,0.9,0.1", "a@1,a,y,x,0.2,0.8"]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=f"theirs.csv: {message}"):
        Predictions.load(path)
    two = make(clips=1, segments=2)
    with pytest.raises(DataError, match="two true classes, 'x' and none"):
        replace(two, truth=np.array([0, -1])).pool()
