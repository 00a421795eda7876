"""Layouts `fma-small`, `fma-medium`, `fma-large`, `fma-full`: the Free Music Archive with its official split.

M. Defferrard, K. Benzi, P. Vandergheynst and X. Bresson, "FMA: a dataset for music analysis", ISMIR 2017. Labels are
top genres, groups are artists, folds are the official ones; what is known to be broken is listed on the project's wiki.
"""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

from spectro.core.errors import DataError
from spectro.core.tables import Clip
from spectro.data.audio_files import list_audio
from spectro.data.datasets import DATASETS, DatasetInfo, locate
from spectro.data.layouts import LAYOUTS, Scan

SUBSETS = ("small", "medium", "large")
"""Values of the column `set, subset`, each contained in the next; the full set is the large one, uncut."""

COLUMNS = {
    "split": ("set", "split"),
    "subset": ("set", "subset"),
    "artist": ("artist", "id"),
    "genre": ("track", "genre_top"),
}
FOLDS = {"training": "train", "validation": "val", "test": "test"}

SHORT = {98565: 1.6, 98566: 6.2, 98567: 0.5, 98568: 6.6, 98569: 1.5, 108924: 27.4}
EMPTY = (1486, 5574, 65753, 80391, 98558, 98559, 98560, 98571, 99134, 105247, 108925, 126981, 127336, 133297, 143992)
FAULTS = {f"{track:06d}": f"lasts {seconds} s, not 30" for track, seconds in SHORT.items()}
FAULTS |= dict.fromkeys((f"{track:06d}" for track in EMPTY), "cannot be decoded")

SMALL_GENRES = ("Electronic", "Experimental", "Folk", "Hip-Hop", "Instrumental", "International", "Pop", "Rock")
SIZES = {
    "small": (8000, "7.2 GiB, 8000 excerpts of 30 s"),
    "medium": (25000, "22 GiB, 25 000 excerpts of 30 s"),
    "large": (49598, "93 GiB, 106 574 excerpts of 30 s, of which 49 598 have a top genre"),
    "full": (49598, "879 GiB, 106 574 whole tracks, of which 49 598 have a top genre"),
}


def scan(source: Path, subset: str) -> Scan:
    """Read `fma_metadata/tracks.csv` with its header of three lines; a track without a top genre is not a clip.

    Raises
    ------
    DataError
        the folder lacks `fma_metadata/tracks.csv` or `fma_<subset>`, or the table lacks a column.
    """
    table = locate(source, ("fma_metadata/tracks.csv", "tracks.csv"), f"fma-{subset}")
    root = locate(source, (f"fma_{subset}",), f"fma-{subset}").resolve()
    wanted = SUBSETS[: SUBSETS.index(subset) + 1] if subset in SUBSETS else SUBSETS
    clips = []
    header, rows = _read_tracks(table)
    missing = [name for name in COLUMNS.values() if name not in header]
    if missing:
        raise DataError(f"{table} has no column {missing[0]}; is it tracks.csv of fma_metadata.zip?")
    column = {name: header.index(levels) for name, levels in COLUMNS.items()}
    for row in rows:
        if not row or not row[0].isdecimal():
            continue  # the third header line
        if len(row) <= max(column.values()) or len(row[0]) > 9:
            raise DataError(f"{table} breaks off in track {row[0][:9]}; unpack fma_metadata.zip again")
        if row[column["subset"]] not in wanted or not row[column["genre"]]:
            continue  # another subset, or no label
        track = f"{int(row[0]):06d}"
        clips.append(
            Clip(
                id=f"{track[:3]}/{track}.mp3",
                label=row[column["genre"]],
                group=f"artist {row[column['artist']]}",
                fold=FOLDS.get(row[column["split"]], ""),
            )
        )
    return Scan(
        root=root,
        clips=tuple(sorted(clips, key=lambda clip: clip.id)),
        layout=f"fma-{subset}",
        skipped=list_audio(root).skipped(clip.id for clip in clips),
    )


def _read_tracks(table: Path) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Return the two levels of each column's name, and the rows below; raises DataError where it is no such table."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read ({error}); unpack fma_metadata.zip again") from None
    padded: list[list[str]] = [*rows, [], []]
    return list(zip(padded[0], padded[1], strict=False)), rows[2:]


for _subset, (_clips, _size) in SIZES.items():
    DATASETS.add(f"fma-{_subset}")(
        DatasetInfo(
            title=f"Free Music Archive, {_subset}",
            clips=_clips,
            classes=dict.fromkeys(SMALL_GENRES, 1000) if _subset == "small" else {},
            size=_size,
            licence="each track its artist's Creative Commons licence (in tracks.csv); metadata CC BY 4.0",
            home="https://github.com/mdeff/fma",
            citation="M. Defferrard, K. Benzi, P. Vandergheynst, X. Bresson, FMA: a dataset for music analysis, "
            "ISMIR 2017",
            get=f"download fma_metadata.zip and fma_{_subset}.zip from its home page, unpack both into one folder, and "
            "give that folder",
            groups="artist",
            faults=FAULTS,
        )
    )
    LAYOUTS.add(f"fma-{_subset}")(partial(scan, subset=_subset))
