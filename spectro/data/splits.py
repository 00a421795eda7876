"""Split clips into training, validation and test sets by group, so that no test group was seen in training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from spectro.core.config import SplitConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, DataError, LeakError
from spectro.core.tables import SUBSETS, Clip, Split, SplitStatistics, Subset
from spectro.data.ownership import clear_dead
from spectro.data.store import open_store
from spectro.data.stratify import assign_groups, imbalance
from spectro.data.tables import require_tables

OFFICIAL: dict[str, Subset] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "eval": "test",
}  # fmt: skip
Assigned = dict[str, Subset]


def split(
    data: DataFolder | Path | str, *, config: SplitConfig | None = None, name: str = "", config_id: str | None = None
) -> tuple[Split, ...]:
    """Split the rendered clips of a data folder and write the result to `<data>/splits/`.

    Parameters
    ----------
    data
        Folder that `render` made.
    config
        What stays whole, shares or number of folds, and the seed.
    name
        Name of the split; by default what stays whole (`group`). Of several, each gets `-<fold>` behind it.
    config_id
        Which of several rendered configurations, for `by="segment"` only.

    Returns
    -------
    tuple of Split
        One, or with `folds` or numbered official folds one for each fold.

    Raises
    ------
    DataError
        a class has too few groups to be in both training and test set, or there are no official folds.
    """
    data, config = DataFolder.open(data), config or SplitConfig()
    require_tables(data)
    usable = {clip.id: clip for clip in data.usable}
    if config.by == "official":
        splits = _official(usable, config, name or "official")
    elif config.by == "segment":
        segments = {segment.id: segment.clip for segment in open_store(data, config_id).segments}
        splits = assign(segments, config, name or config.by)
    else:
        splits = assign(usable, config, name or config.by)
    clear_dead(data.splits_path)
    for one in splits:
        data.write_split(one)
    return splits


def assign(items: Mapping[str, Clip], config: SplitConfig, name: str) -> tuple[Split, ...]:
    """Assign items to subsets: `split` without files and official folds.

    Parameters
    ----------
    items
        Clips by id, or the clips of segments by the segment's id.
    config
        What stays whole, shares or number of folds, and the seed.
    name
        Name of the split.

    Returns
    -------
    tuple of Split
        One, or with `folds` one for each.

    Raises
    ------
    DataError
        a class has too few groups to be in both training and test set.
    LeakError
        a split by group put one group into two subsets (it cannot, and this proves it each time).
    """
    units = {item: clip.group if config.by == "group" else item for item, clip in items.items()}
    groups = _count(items, units)
    _require_two(groups, config.by)
    if config.folds:
        if config.folds > len(groups):
            raise DataError(f"{len(groups)} {config.by}s cannot fill {config.folds} folds; set --folds to fewer")
        numbers = [str(number) for number in range(1, config.folds + 1)]
        fold_of = assign_groups(groups, dict.fromkeys(numbers, 1 / config.folds), seed=config.seed)
        tested = {number: {item for item, unit in units.items() if fold_of[unit] == number} for number in numbers}
        assigned = {f"{name}-{number}": _hold_out(items, units, tested[number], config) for number in numbers}
    else:
        shares: dict[Subset, float] = {"train": 1 - config.test - config.val, "test": config.test, "val": config.val}
        subset_of = assign_groups(groups, shares, seed=config.seed)
        assigned = {name: {item: subset_of[unit] for item, unit in units.items()}}
    splits = tuple(_with_statistics(title, items, own, config) for title, own in assigned.items())
    if config.by == "group" and any(one.leaky for one in splits):
        raise LeakError(f"split '{name}' has a group in two subsets; this is a fault of the program, please report it")
    return splits


def leaking_groups(items: Mapping[str, Clip], assigned: Mapping[str, str]) -> list[str]:
    """Return the groups that have items in two or more subsets, sorted."""
    subsets: defaultdict[str, set[str]] = defaultdict(set)
    for item, subset in assigned.items():
        subsets[items[item].group].add(subset)
    return sorted(group for group, own in subsets.items() if len(own) > 1)


def require_classes(labels: Collection[str]) -> None:
    """Check that there is something to tell apart.

    Parameters
    ----------
    labels
        The names of the classes, each once.

    Raises
    ------
    DataError
        there are fewer than two.
    """
    if len(labels) < 2:
        have = f"only '{min(labels)}'" if labels else "none"
        fix = "add recordings of another one (a folder of its own, or its name in the column label) and render again"
        raise DataError(f"a classifier needs at least 2 classes, but the data has {have}; {fix}")


def require_current(split: Split, clips: Sequence[Clip], data: Path) -> None:
    """Check that a split still fits its data folder; clips that only failed to render may be missing from it.

    Parameters
    ----------
    split
        The split.
    clips
        The clips of the data folder now.
    data
        The data folder, for the message.

    Raises
    ------
    DataError
        it names clips that are gone.
    LeakError
        it had no group in two subsets when it was made, but has one by the groups of now.
    """
    present = {clip.id: clip for clip in clips}
    clip_of = {item: item.rpartition("@")[0] if split.by == "segment" else item for item in split.assigned}
    gone = sorted({clip for clip in clip_of.values() if clip not in present})
    if gone:
        raise DataError(
            f"split '{split.name}' names {len(gone)} of {len(set(clip_of.values()))} clips that are gone from {data} "
            f"('{gone[0]}', ...): its subsets are no longer what they were; bring them back, or split again"
        )
    leaking = [] if split.leaky else leaking_groups(present, split.assigned)
    if leaking:
        raise LeakError(
            f"split '{split.name}' has {len(leaking)} groups in two subsets ('{leaking[0]}', ...): groups in "
            f"{data / 'clips.csv'} were edited since it was made; split again"
        )


def _official(clips: Mapping[str, Clip], config: SplitConfig, name: str) -> tuple[Split, ...]:
    """Take the `fold` column: words as they are, numbers as the folds of a cross-validation."""
    if config.folds:
        raise ConfigError("official folds are counted from the table; leave out --folds")
    items = {item: clip for item, clip in clips.items() if clip.fold}
    units = {item: clip.group for item, clip in items.items()}
    values = {clip.fold for clip in items.values()}
    if not values:
        raise DataError("the clips have no official folds (column 'fold' is empty); split by group instead")
    require_classes({clip.label for clip in items.values()})
    assigned: dict[str, Assigned]
    if all(value.isdecimal() for value in values):
        if len(values) < 2:
            raise DataError(f"every clip has official fold {values.pop()}, so nothing is left to train on")
        tested = {v: {item for item, clip in items.items() if clip.fold == v} for v in sorted(values, key=int)}
        assigned = {f"{name}-{number}": _hold_out(items, units, own, config) for number, own in tested.items()}
    else:
        unknown = next((value for value in sorted(values) if value.lower() not in OFFICIAL), None)
        if unknown:
            raise DataError(f"official fold '{unknown}' is neither a number nor one of {', '.join(OFFICIAL)}")
        given = {item: OFFICIAL[clip.fold.lower()] for item, clip in items.items()}
        test = {item for item, subset in given.items() if subset == "test"}
        assigned = {name: given if "val" in given.values() else _hold_out(items, units, test, config)}
    left_out = sorted(clips.keys() - items.keys())
    return tuple(_with_statistics(title, items, own, config, left_out) for title, own in assigned.items())


def _hold_out(items: Mapping[str, Clip], units: Mapping[str, str], tested: set[str], config: SplitConfig) -> Assigned:
    """Return the subset of each item where `tested` are the test set and validation is taken from the others."""
    others = {item: clip for item, clip in items.items() if item not in tested}
    val = min(config.val * len(items) / max(len(others), 1), 0.5)
    shares: dict[Subset, float] = {"train": 1 - val, "val": val}
    subset_of = assign_groups(_count(others, units), shares, seed=config.seed)
    return {item: "test" if item in tested else subset_of[units[item]] for item in items}


def _count(items: Mapping[str, Clip], units: Mapping[str, str]) -> dict[str, Counter[str]]:
    """Count the items of each class in each unit."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for item, clip in items.items():
        counts[units[item]][clip.label] += 1
    return dict(counts)


def _require_two(groups: Mapping[str, Mapping[str, int]], by: str) -> None:
    """Raise DataError if there is one class only, or a class that cannot be in two subsets."""
    have: Counter[str] = Counter(label for counts in groups.values() for label in counts)
    require_classes(have)
    too_few = sorted(label for label, number in have.items() if number < 2)
    if too_few:
        more = f" (and so have {', '.join(too_few[1:])})" if too_few[1:] else ""
        fix = "add recordings of it or remove it from clips.csv"
        fix += "; or split by clip, which LEAKS if that group has several clips" if by == "group" else ""
        raise DataError(
            f"class '{too_few[0]}' has only one {by}{more}, so it cannot be in both training and test set: {fix}"
        )


def _with_statistics(
    name: str, items: Mapping[str, Clip], assigned: Assigned, config: SplitConfig, left_out: Sequence[str] = ()
) -> Split:
    """Return a split with the statistics that a reader needs to trust it; raises DataError on an empty subset."""
    counts = Counter(assigned.values())
    if config.val and not counts["val"]:
        raise DataError(f"split '{name}' has no clip left for validation: no class has 3 groups; set --val 0")
    by_label = {label: Counter[Subset]() for label in sorted({clip.label for clip in items.values()})}
    for item, subset in assigned.items():
        by_label[items[item].label][subset] += 1
    absent = {subset: tuple(label for label, own in by_label.items() if not own[subset]) for subset in SUBSETS}
    if absent["train"] and config.by != "official":
        raise DataError(f"split '{name}' leaves class '{absent['train'][0]}' out of training; try another --seed")
    statistics = SplitStatistics(
        seed=config.seed,
        test=config.test,
        val=config.val,
        folds=config.folds,
        counts={subset: counts[subset] for subset in SUBSETS},
        labels={label: {subset: own[subset] for subset in SUBSETS} for label, own in by_label.items()},
        groups=len({clip.group for clip in items.values()}),
        leaking_groups=len(leaking_groups(items, assigned)),
        balance=round(imbalance({label: [own[subset] for subset in SUBSETS] for label, own in by_label.items()}), 4),
        absent={subset: labels for subset, labels in absent.items() if labels and counts[subset]},
        left_out=tuple(left_out),
    )
    return Split(name=name, by=config.by, assigned=assigned, statistics=statistics)
