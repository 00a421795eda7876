"""Layout `csv`: a table with the columns path and label, and optionally group and fold."""

from __future__ import annotations

import os
from pathlib import Path

from spectro.core.errors import DataError
from spectro.core.files import read_csv
from spectro.core.tables import Clip
from spectro.data.layouts import LAYOUTS, Scan


@LAYOUTS.add("csv")
def scan(source: Path) -> Scan:
    """Read clips from a CSV file, or from `clips.csv` in a folder.

    Paths are relative to the CSV's folder; absolute ones are taken too, and then the deepest folder above all of them
    is the root. An empty or absent group means the clip itself.

    Raises
    ------
    DataError
        a column is missing, a path or label is empty, two rows name one file, or a relative path leads out of the
        CSV's folder.
    """
    path = source / "clips.csv" if source.is_dir() else source
    rows = read_csv(path, ("path", "label"))
    base = path.parent.resolve()
    files: dict[Path, int] = {}
    for line, row in enumerate(rows, start=2):
        for column in ("path", "label"):
            if not row[column].strip():
                raise DataError(f"{path} line {line} has an empty {column}")
        file = Path(os.path.normpath(base / row["path"].replace("\\", "/")))
        if not Path(row["path"]).is_absolute() and not file.is_relative_to(base):
            raise DataError(f"{path} line {line}: '{row['path']}' leads out of {base}; use an absolute path for that")
        if file in files:
            raise DataError(f"{path} line {line} repeats '{row['path']}' of line {files[file]}; keep one of them")
        files[file] = line
    inside = all(file.is_relative_to(base) for file in files)
    try:
        root = base if inside else Path(os.path.commonpath([file.parent for file in files]))
    except ValueError:
        raise DataError(f"{path} lists files on several drives; bring them under one folder") from None
    clips = []
    for file, row in zip(files, rows, strict=True):
        name = file.relative_to(root).as_posix()
        group = (row.get("group") or "").strip() or name
        clips.append(Clip(id=name, label=row["label"].strip(), group=group, fold=(row.get("fold") or "").strip()))
    return Scan(root=root, clips=tuple(sorted(clips, key=lambda clip: clip.id)), layout="csv")
