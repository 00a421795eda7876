"""Splits: no group in two subsets, no clip lost, the same for the same seed, as balanced as the groups allow."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectro.core.config import SplitConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, DataError, LeakError
from spectro.core.tables import Clip, Failure, Split
from spectro.data.splits import assign, leaking_groups, require_current, split
from spectro.data.store import open_store
from spectro.data.tables import write_tables

Items = dict[str, Clip]


def clips_of(groups: list[tuple[int, int]]) -> Items:
    """Clips of (class, number of clips) groups."""
    clips = (
        Clip(id=f"{label}/{group}-{take}.wav", label=f"class {label}", group=f"song {group}")
        for group, (label, number) in enumerate(groups)
        for take in range(number)
    )
    return {clip.id: clip for clip in clips}


# At least three groups of each of two to four classes, so that every subset can have every class.
corpora = st.integers(2, 4).flatmap(
    lambda classes: st.lists(st.tuples(st.integers(0, classes - 1), st.integers(1, 5)), max_size=25).map(
        lambda extra: clips_of([(label, 1 + label) for label in range(classes) for _ in range(3)] + extra)
    )
)
seeds = st.integers(0, 5)


def subsets_of_groups(items: Items, result: Split) -> dict[str, set[str]]:
    subsets: defaultdict[str, set[str]] = defaultdict(set)
    for item, subset in result.assigned.items():
        subsets[items[item].group].add(subset)
    return subsets


@settings(max_examples=40, deadline=None)
@given(items=corpora, seed=seeds, folds=st.sampled_from([0, 2, 3]))
def test_no_group_is_in_two_subsets_and_no_clip_is_lost(items: Items, seed: int, folds: int) -> None:
    results = assign(items, SplitConfig(seed=seed, folds=folds, val=0.1 if folds != 2 else 0.0), "s")
    assert len(results) == (folds or 1)
    for one in results:
        assert one.assigned.keys() == items.keys()
        assert all(len(subsets) == 1 for subsets in subsets_of_groups(items, one).values())
        assert not one.leaky
        assert one.statistics.leaking_groups == 0
    if folds:
        tested = Counter(item for one in results for item, subset in one.assigned.items() if subset == "test")
        assert tested == dict.fromkeys(items, 1)


@settings(max_examples=40, deadline=None)
@given(items=corpora, seed=seeds)
def test_every_class_with_three_groups_is_in_every_subset(items: Items, seed: int) -> None:
    (result,) = assign(items, SplitConfig(seed=seed), "s")
    assert all(number > 0 for counts in result.statistics.labels.values() for number in counts.values())
    assert result.statistics.absent == {}


@settings(max_examples=20, deadline=None)
@given(items=corpora, seed=seeds, random=st.randoms(use_true_random=False), by=st.sampled_from(["group", "clip"]))
def test_the_order_of_rows_does_not_matter(items: Items, seed: int, random: object, by: str) -> None:
    rows = list(items.items())
    random.shuffle(rows)  # type: ignore[attr-defined]
    config = SplitConfig(seed=seed, by=by)  # type: ignore[arg-type]
    assert assign(dict(rows), config, "s")[0].sha256 == assign(items, config, "s")[0].sha256


@settings(max_examples=20, deadline=None)
@given(items=corpora, seed=seeds)
def test_a_clip_split_counts_its_leaking_groups(items: Items, seed: int) -> None:
    (result,) = assign(items, SplitConfig(by="clip", seed=seed), "s")
    leaking = [group for group, subsets in subsets_of_groups(items, result).items() if len(subsets) > 1]
    assert leaking_groups(items, result.assigned) == sorted(leaking)
    assert result.statistics.leaking_groups == len(leaking)
    assert result.leaky == bool(leaking)


def test_another_seed_gives_another_split() -> None:
    items = clips_of([(label, 2) for label in range(3) for _ in range(10)])
    assert len({assign(items, SplitConfig(seed=seed), "s")[0].sha256 for seed in range(5)}) == 5


def test_equal_groups_are_assigned_in_exact_shares() -> None:
    items = clips_of([(label, 3) for label in range(4) for _ in range(10)])
    (result,) = assign(items, SplitConfig(), "s")
    assert result.statistics.counts == {"train": 84, "val": 12, "test": 24}
    assert result.statistics.balance == 0


def test_groups_of_very_different_size_stay_near_the_shares() -> None:
    items = clips_of([(label, size) for label in range(3) for size in (60, 30, 20, 10, 5, 5, 4, 3, 2, 1)])
    (result,) = assign(items, SplitConfig(), "s")
    total = len(items)
    assert abs(result.statistics.counts["test"] / total - 0.2) < 0.05
    assert abs(result.statistics.counts["val"] / total - 0.1) < 0.05
    assert result.statistics.balance < 0.05


def test_groups_of_several_classes_stay_whole() -> None:
    clips = [Clip(id=f"{g}-{label}", label=label, group=str(g)) for g in range(12) for label in "ab"]
    (result,) = assign({clip.id: clip for clip in clips}, SplitConfig(), "s")
    assert result.statistics.absent == {}
    assert result.statistics.leaking_groups == 0


def test_as_many_folds_as_groups_leave_one_group_out() -> None:
    items = clips_of([(label, 1 + label) for label in range(3) for _ in range(4)])
    results = assign(items, SplitConfig(folds=12, val=0.1), "s")
    tested = [{items[item].group for item, subset in one.assigned.items() if subset == "test"} for one in results]
    assert all(len(groups) == 1 for groups in tested)
    assert len(set.union(*tested)) == 12
    with pytest.raises(DataError, match="12 groups cannot fill 13 folds"):
        assign(items, SplitConfig(folds=13), "s")


def test_scarce_classes_spread_over_the_folds() -> None:
    items = clips_of([(label, 1) for label in range(10) for _ in range(2)])
    results = assign(items, SplitConfig(folds=5, val=0.0), "s")
    assert [one.statistics.counts["test"] for one in results] == [4] * 5


def save(folder: Path, clips: list[Clip], failed: tuple[str, ...] = ()) -> Path:
    failures = [Failure(path=path, reason="empty", seconds=0.0, message="") for path in failed]
    write_tables(DataFolder(folder), clips, failures)
    return folder


def official(folds: list[str], *, classes: int = 2) -> list[Clip]:
    return [
        Clip(id=f"{label}-{number}.wav", label=f"c{label}", group=f"g{label}-{number}", fold=fold)
        for label in range(classes)
        for number, fold in enumerate(folds)
    ]


def test_split_writes_what_it_returns(tmp_path: Path) -> None:
    data = save(tmp_path, list(clips_of([(label, 2) for label in range(2) for _ in range(6)]).values()))
    for by, title in (("group", "group"), ("clip", "clip (LEAKY)")):
        (result,) = split(data, config=SplitConfig(by=by))  # type: ignore[arg-type]
        assert result.title == title
        assert DataFolder.open(data).split(by).sha256 == result.sha256
    assert [one.name for one in split(data, config=SplitConfig(folds=3), name="mine")] == ["mine-1", "mine-2", "mine-3"]


def test_official_words_are_taken_as_they_are(tmp_path: Path) -> None:
    clips = official(["training", "train", "validation", "test", ""])
    (result,) = split(save(tmp_path, clips), config=SplitConfig(by="official"))
    assert result.name == "official"
    assert {clip.id: result.assigned.get(clip.id) for clip in clips[:5]} == {
        "0-0.wav": "train", "0-1.wav": "train", "0-2.wav": "val", "0-3.wav": "test", "0-4.wav": None,
    }  # fmt: skip
    assert result.statistics.left_out == ("0-4.wav", "1-4.wav")


def test_official_numbers_make_one_split_each(tmp_path: Path) -> None:
    clips = official([str(number) for number in (1, 2, 10) for _ in range(4)])
    results = split(save(tmp_path, clips), config=SplitConfig(by="official"))
    assert [one.name for one in results] == ["official-1", "official-2", "official-10"]
    for one, number in zip(results, ("1", "2", "10"), strict=True):
        assert {item for item, subset in one.assigned.items() if subset == "test"} == {
            c.id for c in clips if c.fold == number
        }
        assert one.statistics.counts["val"] == 2
        assert one.statistics.balance == 0


def test_an_official_split_that_leaks_is_marked(tmp_path: Path) -> None:
    clips = [replace(clip, group="same") for clip in official(["train", "val", "test"])]
    (result,) = split(save(tmp_path, clips), config=SplitConfig(by="official"))
    assert result.title == "official (LEAKY)"


@pytest.mark.parametrize(
    ("clips", "config", "words"),
    [
        ([Clip(id="a", label="one", group="a")], SplitConfig(), "at least 2 classes"),
        (
            [*official([""] * 4), Clip(id="x", label="odd one", group="x")],
            SplitConfig(),
            "class 'odd one' has only one",
        ),
        (official([""] * 2), SplitConfig(), "no clip left for validation"),
        (official([""] * 4), SplitConfig(by="official"), "no official folds"),
        (official(["1"] * 4), SplitConfig(by="official"), "nothing is left to train on"),
        (official(["train", "tset"]), SplitConfig(by="official"), "'tset' is neither"),
    ],
)
def test_what_cannot_be_split_is_one_clear_line(
    tmp_path: Path, clips: list[Clip], config: SplitConfig, words: str
) -> None:
    with pytest.raises(DataError, match=words) as raised:
        split(save(tmp_path, clips), config=config)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "splits").exists()


def test_clips_that_could_not_be_rendered_are_left_out(tmp_path: Path) -> None:
    clips = official([""] * 5)
    (result,) = split(save(tmp_path, clips, failed=("0-0.wav",)))
    assert result.assigned.keys() == {clip.id for clip in clips} - {"0-0.wav"}


def test_a_segment_split_is_labelled_leaky(rendered: Path, tmp_path: Path) -> None:
    data = shutil.copytree(rendered, tmp_path / "data")
    (result,) = split(data, config=SplitConfig(by="segment"))
    assert result.title == "segment (LEAKY)"
    assert result.statistics.leaking_groups > 0
    assert result.assigned.keys() == {segment.id for segment in open_store(data).segments}


def test_official_folds_are_not_asked_for_by_number(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave out --folds"):
        split(save(tmp_path, official(["1", "2"])), config=SplitConfig(by="official", folds=2))


def test_a_folder_without_clips_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="spectro render"):
        split(tmp_path)


def test_a_split_of_clips_that_are_gone_is_refused() -> None:
    items = clips_of([(label, 2) for label in range(2) for _ in range(4)])
    [one] = assign(items, SplitConfig(), "mine")
    clips = list(items.values())
    require_current(one, clips, Path("data"))
    with pytest.raises(DataError, match=r"split 'mine' names 2 of 16 clips that are gone from data .*split again"):
        require_current(one, clips[2:], Path("data"))
    [segments] = assign({f"{item}@0000.00": clip for item, clip in items.items()}, SplitConfig(by="segment"), "leaky")
    require_current(segments, clips, Path("data"))
    with pytest.raises(DataError, match="names 1 of 16 clips that are gone"):
        require_current(segments, clips[1:], Path("data"))


def test_groups_edited_into_two_subsets_are_refused() -> None:
    items = clips_of([(label, 2) for label in range(2) for _ in range(4)])
    [one] = assign(items, SplitConfig(), "mine")
    groups = {clip.group: subset for item, subset in one.assigned.items() for clip in [items[item]]}
    first, second = (next(group for group, subset in groups.items() if subset == part) for part in ("train", "test"))
    joined = [replace(clip, group=first) if clip.group == second else clip for clip in items.values()]
    with pytest.raises(LeakError, match=rf"split 'mine' has 1 groups in two subsets \('{first}'.*split again"):
        require_current(one, joined, Path("data"))
    [leaky] = assign(items, SplitConfig(by="clip", seed=1), "leaky")
    if leaky.leaky:  # which its name, and every card, tells
        require_current(leaky, joined, Path("data"))
