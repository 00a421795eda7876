"""Layout `audiofolder`: a Hugging Face audio data set on disk, with `metadata.csv` or with split and class folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from spectro.core.errors import DataError
from spectro.core.paths import join_inside
from spectro.core.tables import Clip
from spectro.data.audio_files import NamesOnDisk, list_audio
from spectro.data.layouts import LAYOUTS, Scan
from spectro.data.spreadsheet import read_spreadsheet

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
    files = list_audio(root)
    clips = [clip for folder, fold in parts or [(top, "")] for clip in _part(root, folder, fold, files.names)]
    if not clips:
        raise DataError(f"{source} has neither metadata.csv nor class folders with audio files")
    skipped = files.skipped(clip.id for clip in clips)
    return Scan(root=root, clips=tuple(sorted(clips, key=lambda clip: clip.id)), layout="audiofolder", skipped=skipped)


def _part(root: Path, folder: Path, fold: str, names: Sequence[str]) -> Iterator[Clip]:
    """Yield the clips of one split, from its table or from `names`, all audio files below the root."""
    table = folder / "metadata.csv"
    if table.exists():
        spelled = NamesOnDisk()
        for _, row in read_spreadsheet(table, ("file_name", "label")):
            file = spelled(str(join_inside(folder, row["file_name"], table)))
            clip = Path(file).relative_to(root).as_posix()
            yield Clip(id=clip, label=row["label"], group=row.get("group") or clip, fold=fold)
        return
    above = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    for name in names:
        if not name.startswith(above):
            continue
        label, inside, _ = name.removeprefix(above).partition("/")
        if not inside:
            raise DataError(f"{root / name} is outside a class folder, and there is no {table}")
        yield Clip(id=name, label=label, group=name, fold=fold)
