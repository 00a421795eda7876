"""Layout `audiofolder`: a Hugging Face audio data set on disk, with `metadata.csv` or with split and class folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spectro.audio.decode import SUFFIXES
from spectro.core.errors import DataError
from spectro.core.files import read_csv
from spectro.core.paths import join_inside
from spectro.core.tables import Clip
from spectro.data.layouts import LAYOUTS, Scan

SPLITS = {"train": "train", "validation": "val", "valid": "val", "val": "val", "dev": "val", "test": "test"}


@LAYOUTS.add("audiofolder")
def scan(source: Path) -> Scan:
    """Read the splits `train`, `validation`, `test` (below `data/` too), or the folder itself where there are none.

    Each has `metadata.csv` with the columns `file_name` and `label`, optionally `group`; or else a folder per class.

    Raises
    ------
    DataError
        there is neither, or a table lacks a column.
    """
    root = source.resolve()
    if not root.is_dir():
        raise DataError(f"{source} is not a folder; give the folder with `metadata.csv`, or with `train` and `test`")
    top = root / "data" if (root / "data").is_dir() else root
    parts = [(top / name, fold) for name, fold in SPLITS.items() if (top / name).is_dir()]
    clips = [clip for folder, fold in parts or [(top, "")] for clip in _part(root, folder, fold)]
    if not clips:
        raise DataError(f"{source} has neither metadata.csv nor class folders with audio files")
    return Scan(root=root, clips=tuple(sorted(clips, key=lambda clip: clip.id)), layout="audiofolder")


def _part(root: Path, folder: Path, fold: str) -> Iterator[Clip]:
    table = folder / "metadata.csv"
    if table.exists():
        for row in read_csv(table, ("file_name", "label")):
            clip = join_inside(folder, row["file_name"], table).relative_to(root).as_posix()
            yield Clip(id=clip, label=row["label"], group=row.get("group") or clip, fold=fold)
        return
    for path in sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES):
        inner = path.relative_to(folder).parts
        if len(inner) < 2:
            raise DataError(f"{path} is outside a class folder, and there is no {table}")
        clip = path.relative_to(root).as_posix()
        yield Clip(id=clip, label=inner[0], group=clip, fold=fold)
