"""Maps of clips: neighbours are counted as defined, and maps that cannot be drawn are refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from spectro.core.errors import ConfigError, DataError
from spectro.core.tables import Clip, Segment
from spectro.evaluation.projection import Vectors, clip_means, map_clips


def vectors(values: list[list[float]], labels: str, groups: str, tested: list[bool] | None = None) -> Vectors:
    """Clips of one letter each for class and group."""
    clips = tuple(
        Clip(id=f"{n}", label=label, group=g) for n, (label, g) in enumerate(zip(labels, groups, strict=True))
    )
    chosen = np.array(tested or [True] * len(clips))
    return Vectors(title="made", clips=clips, values=np.array(values), tested=chosen)


def test_neighbours_of_the_same_group_do_not_count() -> None:
    # four places far apart, each of one group; the classes of places that are near each other differ
    values = [[x + 0.01 * n, y] for x, y in ((0, 0), (1, 0), (50, 0), (51, 0)) for n in range(6)]
    labels, groups = "aaaaaabbbbbb" * 2, "w" * 6 + "x" * 6 + "y" * 6 + "z" * 6
    agreement = map_clips(vectors(values, labels, groups), ["pca"]).agreement
    assert agreement is not None
    assert agreement.share.value == 0  # within groups it would be 1
    assert agreement.chance == pytest.approx(6 / 18)


def test_classes_apart_agree_wholly_and_noise_as_chance_says() -> None:
    rng = np.random.default_rng(0)
    labels, groups = "ab" * 150, "".join(chr(100 + n // 10) for n in range(300))
    noise = map_clips(vectors(rng.normal(size=(300, 4)).tolist(), labels, groups), ["pca"]).agreement
    apart = [[10.0 * (label == "a") + rng.normal(), rng.normal()] for label in labels]
    clear = map_clips(vectors(apart, labels, groups), ["pca"]).agreement
    assert noise is not None
    assert clear is not None
    assert clear.share.value > 0.95
    assert noise.chance == clear.chance == pytest.approx(0.5, abs=0.01)
    assert noise.share.low < noise.chance < noise.share.high


def test_only_tested_clips_count() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(size=(20, 2)), 100 + rng.normal(size=(20, 2))])
    labels, groups = "a" * 10 + "b" * 10 + "c" * 20, "".join(chr(100 + n // 4) for n in range(40))
    tested = [n >= 20 for n in range(40)]
    agreement = map_clips(vectors(values.tolist(), labels, groups, tested), ["pca"]).agreement
    assert agreement is not None
    assert (agreement.asked, agreement.share.value) == (20, 1.0)


def test_maps_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    some = vectors(np.random.default_rng(0).normal(size=(12, 3)).tolist(), "ab" * 6, "x" * 12)
    assert map_clips(some, ["pca"]).agreement is None  # one group only
    with pytest.raises(ConfigError, match="did you mean 't-sne'"):
        map_clips(some, ["tsne"])
    with pytest.raises(DataError, match="too few"):
        map_clips(vectors([[1, 2], [3, 4]], "ab", "xy"))
    with pytest.raises(DataError, match="same values"):
        map_clips(vectors([[1, 2]] * 6, "ababab", "uvwxyz"))
    with pytest.raises(ConfigError, match="spectro plot features"):
        map_clips(vectors([[1]] * 6, "ababab", "uvwxyz"))
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ConfigError, match="pip install"):
        map_clips(some, ["umap"])


@pytest.mark.slow
def test_umap_lays_out_every_clip() -> None:
    pytest.importorskip("umap")
    some = vectors(np.random.default_rng(0).normal(size=(30, 3)).tolist(), "ab" * 15, "xyz" * 10)
    assert map_clips(some, ["umap"]).planes[0].points.shape == (30, 2)


def test_a_clip_is_the_mean_of_its_segments() -> None:
    first, second = Clip(id="b", label="x", group="g"), Clip(id="a", label="y", group="h")
    segments = [Segment(clip=clip, start=s, seconds=1) for clip in (first, second) for s in (0.0, 1.0, 2.0)]
    means = clip_means("t", segments, np.arange(12.0).reshape(6, 2), tested={"a"})
    assert [clip.id for clip in means.clips] == ["a", "b"]
    assert means.values.tolist() == [[8, 9], [2, 3]]
    assert means.tested.tolist() == [True, False]
    assert clip_means("t", segments, np.ones((6, 2)), tested={"elsewhere"}).tested.all()
