"""Splits: which clips train, validate and test, dealt by group so that nothing heard in training is tested on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spectro.core.config import SplitConfig
from spectro.core.errors import ConfigError, DataError, LeakError
from spectro.core.tables import FOLDS, Clip, Fold, Split, read_clips, read_csv, write_split
from spectro.data.store import open_store
from spectro.data.stratify import assign_groups, imbalance

OFFICIAL: dict[str, Fold] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "eval": "test",
}  # fmt: skip
Assigned = dict[str, Fold]


def split(
    data: Path | str, *, config: SplitConfig | None = None, name: str = "", config_id: str | None = None
) -> tuple[Split, ...]:
    """Split the rendered clips of a data folder and write the outcome to `<data>/splits/`.

    Parameters
    ----------
    data
        Folder that `render` made.
    config
        What stays whole, shares or folds, and the seed.
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
        a class has too few groups to be both learned and tested, or there are no official folds.
    """
    data, config = Path(data), config or SplitConfig()
    if not (data / "clips.csv").exists():
        raise DataError(f"{data} has no clips.csv; make it with `spectro render SOURCE --out {data}`")
    clips = read_clips(data / "clips.csv")
    failed = {row["path"] for row in read_csv(data / "failed.csv", ("path",))}
    usable = {clip.id: clip for clip in clips if clip.id not in failed}
    if config.by == "official":
        splits = _official(usable, config, name or "official")
    else:
        items = _segments(data, config_id) if config.by == "segment" else usable
        splits = assign(items, config, name or config.by)
    for made in splits:
        write_split(data / "splits", made)
    return splits


def assign(items: Mapping[str, Clip], config: SplitConfig, name: str) -> tuple[Split, ...]:
    """Deal items (clips, or segments by their id) to folds: `split` without files and official folds.

    Raises
    ------
    DataError
        a class has too few groups to be both learned and tested.
    LeakError
        a split by group put one group on two sides (it cannot, and this proves it each time).
    """
    units = {item: clip.group if config.by == "group" else item for item, clip in items.items()}
    groups = _count(items, units)
    _require_two(groups, config.by)
    if config.folds:
        if config.folds > len(groups):
            raise DataError(f"{len(groups)} {config.by}s cannot fill {config.folds} folds; set --folds to fewer")
        names = [str(number) for number in range(1, config.folds + 1)]
        dealt = assign_groups(groups, dict.fromkeys(names, 1 / config.folds), seed=config.seed)
        tested = {number: {item for item, unit in units.items() if dealt[unit] == number} for number in names}
        made = {f"{name}-{number}": _around(items, units, tested[number], config) for number in names}
    else:
        shares: dict[Fold, float] = {"train": 1 - config.test - config.val, "test": config.test, "val": config.val}
        whole = assign_groups(groups, shares, seed=config.seed)
        made = {name: {item: whole[unit] for item, unit in units.items()}}
    splits = tuple(_described(title, items, assigned, config) for title, assigned in made.items())
    if config.by == "group" and any(one.leaky for one in splits):
        raise LeakError(f"split '{name}' has a group on two sides; this is a fault of the program, please report it")
    return splits


def _official(clips: Mapping[str, Clip], config: SplitConfig, name: str) -> tuple[Split, ...]:
    """Take the `fold` column: words as they stand, numbers as the folds of a cross-validation."""
    if config.folds:
        raise ConfigError("official folds are counted from the table; leave out --folds")
    items = {item: clip for item, clip in clips.items() if clip.fold}
    units = {item: clip.group for item, clip in items.items()}
    values = {clip.fold for clip in items.values()}
    if not values:
        raise DataError("the clips have no official folds (column 'fold' is empty); split by group instead")
    made: dict[str, Assigned]
    if all(value.isdecimal() for value in values):
        if len(values) < 2:
            raise DataError(f"every clip has official fold {values.pop()}, so nothing is left to train on")
        tested = {v: {item for item, clip in items.items() if clip.fold == v} for v in sorted(values, key=int)}
        made = {f"{name}-{number}": _around(items, units, held, config) for number, held in tested.items()}
    else:
        unknown = next((value for value in sorted(values) if value.lower() not in OFFICIAL), None)
        if unknown:
            raise DataError(f"official fold '{unknown}' is neither a number nor one of {', '.join(OFFICIAL)}")
        given = {item: OFFICIAL[clip.fold.lower()] for item, clip in items.items()}
        held = {item for item, fold in given.items() if fold == "test"}
        made = {name: given if "val" in given.values() else _around(items, units, held, config)}
    left_out = sorted(clips.keys() - items.keys())
    return tuple(_described(title, items, assigned, config, left_out) for title, assigned in made.items())


def _around(items: Mapping[str, Clip], units: Mapping[str, str], tested: set[str], config: SplitConfig) -> Assigned:
    """Return the fold of each item where `tested` are the test fold and validation is carved out of the rest."""
    rest = {item: clip for item, clip in items.items() if item not in tested}
    val = min(config.val * len(items) / max(len(rest), 1), 0.5)
    shares: dict[Fold, float] = {"train": 1 - val, "val": val}
    dealt = assign_groups(_count(rest, units), shares, seed=config.seed)
    return {item: "test" if item in tested else dealt[units[item]] for item in items}


def _count(items: Mapping[str, Clip], units: Mapping[str, str]) -> dict[str, Counter[str]]:
    """Count the items of each class in each unit."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for item, clip in items.items():
        counts[units[item]][clip.label] += 1
    return dict(counts)


def _require_two(groups: Mapping[str, Mapping[str, int]], by: str) -> None:
    """Raise DataError if there is one class only, or a class that cannot be on both sides."""
    have: Counter[str] = Counter(label for counts in groups.values() for label in counts)
    if len(have) < 2:
        raise DataError(f"a classifier needs at least 2 classes, but the data has {', '.join(have) or 'none'}")
    lonely = sorted(label for label, number in have.items() if number < 2)
    if lonely:
        more = f" (and so have {', '.join(lonely[1:])})" if lonely[1:] else ""
        way = "add recordings of it or remove it from clips.csv"
        way += "; or split by clip, which LEAKS if that group has several clips" if by == "group" else ""
        raise DataError(f"class '{lonely[0]}' has only one {by}{more}, so it cannot be both learned and tested: {way}")


def leaking_groups(items: Mapping[str, Clip], assigned: Mapping[str, str]) -> list[str]:
    """Return the groups that have items in two or more folds, sorted."""
    folds: defaultdict[str, set[str]] = defaultdict(set)
    for item, fold in assigned.items():
        folds[items[item].group].add(fold)
    return sorted(group for group, seen in folds.items() if len(seen) > 1)


def _described(
    name: str, items: Mapping[str, Clip], assigned: Assigned, config: SplitConfig, left_out: Sequence[str] = ()
) -> Split:
    """Wrap an assignment with the facts that a reader needs to trust it; raises DataError on an empty fold."""
    counts = Counter(assigned.values())
    if config.val and not counts["val"]:
        raise DataError(f"split '{name}' has no clip left for validation: no class has 3 groups; set --val 0")
    by_label = {label: Counter[str]() for label in sorted({clip.label for clip in items.values()})}
    for item, fold in assigned.items():
        by_label[items[item].label][fold] += 1
    absent = {fold: [label for label, number in by_label.items() if not number[fold]] for fold in FOLDS}
    if absent["train"] and config.by != "official":
        raise DataError(f"split '{name}' leaves class '{absent['train'][0]}' out of training; try another --seed")
    facts: dict[str, Any] = {
        "seed": config.seed,
        "test": config.test,
        "val": config.val,
        "folds": config.folds,
        "counts": {fold: counts[fold] for fold in FOLDS},
        "labels": {label: {fold: number[fold] for fold in FOLDS} for label, number in by_label.items()},
        "groups": len({clip.group for clip in items.values()}),
        "leaking_groups": len(leaking_groups(items, assigned)),
        "balance": round(imbalance({label: [n[f] for f in FOLDS] for label, n in by_label.items()}), 4),
        "absent": {fold: missing for fold, missing in absent.items() if missing and counts[fold]},
        "left_out": list(left_out),
    }
    return Split(name=name, by=config.by, assigned=assigned, facts=facts)


def _segments(data: Path, config_id: str | None) -> dict[str, Clip]:
    """Return the clip of each rendered segment, by the segment's id."""
    return {segment.id: segment.clip for segment in open_store(data, config_id).segments}
