"""Layouts `esc10` and `esc50`: environmental sounds with five official folds; the group is the recording.

K. J. Piczak, "ESC: dataset for environmental sound classification", ACM Multimedia 2015. File names contain the
fold, the Freesound id of the recording, and the take: `1-100032-A-0.wav`.
"""

from __future__ import annotations

import re
from pathlib import Path

from spectro.core.files import read_csv
from spectro.core.paths import require_inside
from spectro.core.tables import Clip
from spectro.data.audio_files import list_audio
from spectro.data.datasets import DATASETS, DatasetInfo, locate
from spectro.data.layouts import LAYOUTS, Scan

NAME = re.compile(r"0\d\d - (?P<label>[^/]+)/(?P<fold>[1-5])-(?P<recording>\d+)-[A-Z](-\d+)?\.\w+")
CITATION = "K. J. Piczak, ESC: dataset for environmental sound classification, ACM Multimedia 2015"
HOME = "https://github.com/karolpiczak/ESC-50"
GET = "download and unpack the archive of its home page, and give the folder with `audio` and `meta`"

DATASETS.add("esc10")(
    DatasetInfo(
        title="ESC-10",
        clips=400,
        size="600 MB as part of ESC-50, 400 clips of 5 s at 44.1 kHz mono",
        licence="CC BY 3.0, attribution per clip",
        home=HOME,
        citation=CITATION,
        get=GET,
        groups="Freesound recording",
    )
)
DATASETS.add("esc50")(
    DatasetInfo(
        title="ESC-50",
        clips=2000,
        size="600 MB, 2000 clips of 5 s at 44.1 kHz mono",
        licence="CC BY-NC 3.0, attribution per clip",
        home=HOME,
        citation=CITATION,
        get=GET,
        groups="Freesound recording",
    )
)


@LAYOUTS.add("esc50")
def esc50(source: Path) -> Scan:
    """Read `meta/esc50.csv`; raises DataError when it is missing."""
    return _from_table(source, "esc50")


@LAYOUTS.add("esc10")
def esc10(source: Path) -> Scan:
    """Read the clips that `meta/esc50.csv` marks as ESC-10, or the older release: `001 - Dog bark/1-30226-A.ogg`.

    Raises
    ------
    DataError
        the folder is neither.
    """
    if not any(folder.is_dir() for folder in source.glob("0?? - *")):
        return _from_table(source, "esc10")
    files = list_audio(source.resolve())
    clips = tuple(
        Clip(id=match[0], label=match["label"].lower().replace(" ", "_"), group=match["recording"], fold=match["fold"])
        for match in map(NAME.fullmatch, files.names)
        if match
    )
    skipped = files.skipped(clip.id for clip in clips)
    return Scan(root=source.resolve(), clips=clips, layout="esc10", skipped=skipped)


def _from_table(source: Path, dataset: str) -> Scan:
    table = locate(source, ("meta/esc50.csv", "ESC-50-master/meta/esc50.csv"), dataset)
    clips = [
        Clip(
            id=f"audio/{require_inside(row['filename'], table)}",
            label=row["category"],
            group=row["src_file"],
            fold=row["fold"],
        )
        for row in read_csv(table, ("filename", "fold", "category", "esc10", "src_file"))
        if dataset == "esc50" or row["esc10"].lower() == "true"
    ]
    root = table.parent.parent.resolve()
    skipped = list_audio(root, "audio").skipped(clip.id for clip in clips)
    return Scan(root=root, clips=tuple(sorted(clips, key=lambda clip: clip.id)), layout=dataset, skipped=skipped)
