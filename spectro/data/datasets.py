"""Facts about published data sets: content, origin, licence, citation and known faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spectro.core.errors import DataError
from spectro.core.registry import Registry


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """One published data set, or one subset of it, that the layout of the same name reads."""

    title: str
    """Name in words."""
    clips: int
    """Number of clips with a label."""
    classes: Mapping[str, int] = field(default_factory=dict)
    """Number of clips of each class, where it is published."""
    size: str
    """Download size and duration."""
    licence: str
    """Licence of the sound."""
    home: str
    """Home page."""
    citation: str
    """The paper to cite."""
    get: str
    """How to get it, and what the given folder must contain."""
    groups: str
    """What a group is."""
    stems: frozenset[str] = frozenset()
    """File names without suffix that belong to it, where the numbering is fixed."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """What is known to be wrong with a file, by its name without suffix."""
    repeated: tuple[tuple[str, ...], ...] = ()
    """Sets of files with the same recording, by name without suffix."""


DATASETS: Registry[DatasetInfo] = Registry("data set")
"""Every named data set; each is registered by the layout that reads it."""


def locate(source: Path, names: Sequence[str], dataset: str) -> Path:
    """Return the first of `names` below `source` that exists; raises DataError with how to get the data set."""
    for name in names:
        if (source / name).exists():
            return source / name
    raise DataError(f"{source} has no {' or '.join(names)}; {DATASETS[dataset].get}")
