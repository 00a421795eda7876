"""Layout `csv`: a table with the columns path and label, and optionally group and fold, as spreadsheets save it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from spectro.core.errors import DataError
from spectro.core.tables import Clip
from spectro.data.audio_files import NamesOnDisk
from spectro.data.layouts import LAYOUTS, Scan
from spectro.data.spreadsheet import Rows, read_spreadsheet

DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")
"""What a path on a drive or a share of Windows begins with."""


@LAYOUTS.add("csv")
def scan(source: Path) -> Scan:
    """Read clips from a CSV file, or from `clips.csv` in a folder.

    Paths are relative to the CSV's folder; absolute ones are taken too, and then the deepest folder above all of them
    is the root. Those on a Windows drive are, on other systems, looked for below the CSV's folder. An empty or absent
    group means the clip itself.

    Raises
    ------
    DataError
        a column is missing, a path or label is empty, two rows name one file, or a relative path leads out of the
        CSV's folder.
    """
    path = source / "clips.csv" if source.is_dir() else source
    rows = read_spreadsheet(path, ("path", "label"))
    base = str(path.parent.resolve())
    files: dict[str, int] = {}
    for (line, row), file in zip(rows, _files(path, base, rows), strict=True):
        if file in files:
            raise DataError(f"{path} line {line} repeats '{row['path']}' of line {files[file]}; keep one of them")
        files[file] = line
    inside = all(_is_below(file, base) for file in files)
    try:
        root = base if inside else os.path.commonpath([os.path.dirname(file) for file in files])
    except ValueError:
        raise DataError(f"{path} lists files on several drives; bring them under one folder") from None
    clips = []
    for file, (_, row) in zip(files, rows, strict=True):
        name = file[len(os.path.join(root, "")) :].replace(os.sep, "/")
        clips.append(Clip(id=name, label=row["label"], group=row.get("group") or name, fold=row.get("fold", "")))
    return Scan(root=Path(root), clips=tuple(sorted(clips, key=lambda clip: clip.id)), layout="csv")


def _files(path: Path, base: str, rows: Rows) -> Iterator[str]:
    """Yield the absolute path of each row, spelled as on disk if it is there."""
    for line, row in rows:
        for column in ("path", "label"):
            if not row[column]:
                raise DataError(f"{path} line {line} has an empty {column}")
    spelled = NamesOnDisk()
    above = _parts_above(path, base, rows, spelled)
    for line, row in rows:
        name = row["path"].replace("\\", "/")
        if _is_foreign(row["path"]):
            name = "/".join(name.split("/")[above:])
        file = os.path.normpath(os.path.join(base, name))
        if not os.path.isabs(name) and not _is_below(file, base):
            raise DataError(f"{path} line {line}: '{row['path']}' leads out of {base}; use an absolute path for that")
        yield spelled(file)


def _parts_above(path: Path, base: str, rows: Rows, spelled: NamesOnDisk) -> int:
    """Return how many parts of paths with a drive lie above the table's folder, by the first file that is there."""
    foreign = [(line, row["path"]) for line, row in rows if _is_foreign(row["path"])]
    for _, name in foreign:
        parts = name.replace("\\", "/").split("/")
        for above in range(1, len(parts)):
            if os.path.lexists(spelled(os.path.join(base, *parts[above:]))):
                return above
    if foreign:
        line, name = foreign[0]
        raise DataError(
            f"{path} line {line}: '{name}' is on a Windows drive, and no such file is below {base}; "
            "put the table into the folder of its files, or write paths relative to it"
        )
    return 0


def _is_foreign(name: str) -> bool:
    return os.name != "nt" and DRIVE.match(name) is not None


def _is_below(file: str, base: str) -> bool:
    return file.startswith(os.path.join(base, ""))
