"""Compare a named data set on disk with what was published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spectro.core.errors import ConfigError, did_you_mean
from spectro.data.datasets import DATASETS, DatasetInfo
from spectro.data.layouts import scan


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What `verify` found."""

    dataset: DatasetInfo
    """What should be there."""
    counts: Mapping[str, int]
    """Number of clips of each class that are there, whole or not."""
    missing: tuple[str, ...]
    """Clips whose file is missing or empty, by id, or by name without suffix where the numbering is fixed."""
    known_faults: Mapping[str, str]
    """What is known to be wrong with clips that are there, by id."""
    problems: tuple[str, ...]
    """One line for each thing that is not as published; empty when there is none."""


def verify(name: str, root: Path | str) -> Verified:
    """Count the clips of a named data set and compare them with what was published.

    Parameters
    ----------
    name
        A name in `DATASETS`.
    root
        Its folder.

    Returns
    -------
    Verified

    Raises
    ------
    ConfigError
        there is no data set of that name.
    DataError
        the folder is not laid out as the data set is.
    """
    if name not in DATASETS:
        raise ConfigError(f"unknown data set '{name}'{did_you_mean(name, DATASETS)} (have: {', '.join(DATASETS)})")
    dataset, listing = DATASETS[name], scan(root, name)
    sizes = {clip.id: _size(listing.root / clip.id) for clip in listing.clips}
    counts = Counter(clip.label for clip in listing.clips if sizes[clip.id])
    stems = {Path(clip).stem: clip for clip in sizes}
    missing = sorted([clip for clip, size in sizes.items() if not size] + list(dataset.stems - stems.keys()))
    faults = {clip: dataset.faults[stem] for stem, clip in sorted(stems.items()) if stem in dataset.faults}
    problems = []
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        files = "1 file is" if len(missing) == 1 else f"{len(missing)} files are"
        problems.append(f"{files} missing or empty: {', '.join(missing[:3])}{more}")
    if counts.total() + len(missing) != dataset.clips:
        problems.append(f"{counts.total() + len(missing)} clips are listed, but {dataset.clips} were published")
    for label, expected in dataset.classes.items():
        if counts[label] != expected:
            problems.append(f"class '{label}' has {counts[label]} clips, but should have {expected}")
    problems += [
        f"class '{label}' does not belong to it" for label in counts if label not in (dataset.classes or counts)
    ]
    return Verified(
        dataset=dataset,
        counts=dict(sorted(counts.items())),
        missing=tuple(missing),
        known_faults=faults,
        problems=tuple(problems),
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
