"""Write the clips of a data folder as a Hugging Face audiofolder, which `datasets` loads and `render` reads again."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spectro.core.config import require
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError
from spectro.core.files import replacing, write_csv, write_text
from spectro.core.locks import writing
from spectro.core.paths import join_inside
from spectro.core.tables import Clip, Subset

NAMES: dict[Subset, str] = {"train": "train", "val": "validation", "test": "test"}
"""Names of the subsets, as `datasets` knows them."""
COLUMNS = ("file_name", "label", "group")


@dataclass(frozen=True, kw_only=True)
class ExportedFolder:
    """What was written."""

    path: Path
    clips: dict[str, int]
    """Number of clips by the name of the subset."""
    copied: int
    """Files that were written now; others were there already."""


def export_audiofolder(
    data: DataFolder | Path | str, out: Path | str, *, split: str = "group", how: Literal["copy", "link"] = "copy"
) -> ExportedFolder:
    """Write the sound of every usable clip into `train`, `validation` and `test`, each with a `metadata.csv`.

    `datasets.load_dataset("audiofolder", data_dir=OUT)` reads it, and `spectro render OUT` with its official split
    gives the same clips, labels, groups and subsets. The same call again copies only what is missing.

    Parameters
    ----------
    data
        Folder that `render` made, whose source is still there.
    out
        The folder.
    split
        Name of the split that says which clip goes where; one that keeps clips whole.
    how
        `copy` the files, or `link` them where the file system can (a hard link, which takes no room).

    Raises
    ------
    ConfigError
        the split divides clips.
    DataError
        the source is gone, a clip's file is missing, or a clip is in no subset.
    BusyError
        another process writes there.
    StorageError
        the disk is full, failing or read-only.
    """
    folder, out = DataFolder.open(data), Path(out)
    chosen, root = folder.split(split), folder.source_root()
    require(chosen.by != "segment", f"split '{split}' puts segments of one clip into several subsets; export another")
    clips: dict[Subset, list[Clip]] = {subset: [] for subset in NAMES}
    for clip in folder.usable:
        subset = chosen.assigned.get(clip.id)
        if subset is None:
            if clip.id in chosen.statistics.left_out:
                continue
            raise DataError(f"split '{split}' does not know clip '{clip.id}'; split again")
        clips[subset].append(clip)
    copied = 0
    with writing(out):
        for subset, own in clips.items():
            place = out / NAMES[subset]
            for clip in own:
                source = join_inside(root, clip.id, folder.clips_path)
                if not source.is_file():
                    raise DataError(f"{source} is missing; bring it back, or render again without it")
                copied += _put(source, place / clip.id, how)
            if own:
                write_csv(place / "metadata.csv", COLUMNS, ((clip.id, clip.label, clip.group) for clip in own))
        write_text(out / "README.md", _readme(folder, {NAMES[subset]: len(own) for subset, own in clips.items()}))
    counts = {NAMES[subset]: len(own) for subset, own in clips.items() if own}
    return ExportedFolder(path=out, clips=counts, copied=copied)


def _put(source: Path, target: Path, how: str) -> int:
    """Copy or link a file unless it is there with the same size and time; return the number of files written."""
    stat = source.stat()
    if target.exists():
        there = target.stat()
        if (there.st_size, int(there.st_mtime)) == (stat.st_size, int(stat.st_mtime)):
            return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    if how == "link":
        with suppress(OSError):  # another disk, or a file system without links
            target.unlink(missing_ok=True)
            os.link(source, target)
            return 1
    with replacing(target) as temporary:
        shutil.copy2(source, temporary)
    return 1


def _readme(folder: DataFolder, counts: dict[str, int]) -> str:
    """Return a data set card with what is known; the licence is left to whoever publishes it."""
    labels = sorted({clip.label for clip in folder.usable})
    listed = "\n".join(f"- {name}: {count} clips" for name, count in counts.items() if count)
    return (
        "---\ntask_categories:\n- audio-classification\n---\n\n"
        f"{sum(counts.values())} clips of {len(labels)} classes, written by spectro. Groups (songs, albums, "
        "recordings) are in the column `group`.\n\n"
        f"{listed}\n\nAdd the licence of the recordings before you publish them.\n"
    )
