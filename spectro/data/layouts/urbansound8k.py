"""Layout `urbansound8k`: city sounds with ten official folds, grouped by the recording they were cut from.

J. Salamon, C. Jacoby and J. P. Bello, "A dataset and taxonomy for urban sound research", ACM Multimedia 2014.
"""

from __future__ import annotations

from pathlib import Path

from spectro.core.files import read_csv
from spectro.core.paths import require_inside
from spectro.core.tables import Clip
from spectro.data.audio_files import list_audio
from spectro.data.datasets import DATASETS, DatasetInfo, locate
from spectro.data.layouts import LAYOUTS, Scan

DATASETS.add("urbansound8k")(
    DatasetInfo(
        title="UrbanSound8K",
        clips=8732,
        classes={
            "air_conditioner": 1000,
            "car_horn": 429,
            "children_playing": 1000,
            "dog_bark": 1000,
            "drilling": 1000,
            "engine_idling": 1000,
            "gun_shot": 374,
            "jackhammer": 1000,
            "siren": 929,
            "street_music": 1000,
        },
        size="6 GB, 8732 clips of up to 4 s, at many rates and widths, mono and stereo",
        licence="CC BY-NC 3.0, attribution per clip",
        home="https://urbansounddataset.weebly.com/urbansound8k.html",
        citation="J. Salamon, C. Jacoby, J. P. Bello, A dataset and taxonomy for urban sound research, "
        "ACM Multimedia 2014",
        get="download and unpack the archive of its home page, and give the folder with `audio` and `metadata`",
        groups="Freesound recording",
    )
)


@LAYOUTS.add("urbansound8k")
def scan(source: Path) -> Scan:
    """Read `metadata/UrbanSound8K.csv`; raises DataError when it is missing."""
    names = ("metadata/UrbanSound8K.csv", "UrbanSound8K/metadata/UrbanSound8K.csv", "UrbanSound8K.csv")
    table = locate(source, names, "urbansound8k")
    root = table.parent if table.parent == source else table.parent.parent
    folder = "audio/" if (root / "audio").is_dir() else ""  # the Kaggle copy has the folds beside the table
    clips = [
        Clip(
            id=require_inside(f"{folder}fold{row['fold']}/{row['slice_file_name']}", table),
            label=row["class"],
            group=row["fsID"],
            fold=row["fold"],
        )
        for row in read_csv(table, ("slice_file_name", "fsID", "fold", "class"))
    ]
    skipped = list_audio(root.resolve(), folder.rstrip("/")).skipped(clip.id for clip in clips)
    clips.sort(key=lambda clip: clip.id)
    return Scan(root=root.resolve(), clips=tuple(clips), layout="urbansound8k", skipped=skipped)
