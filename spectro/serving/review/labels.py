"""Labels that people give, in a CSV that `spectro render` takes: written whole after each one, undone in turn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spectro.core.errors import DataError
from spectro.core.files import read_csv, write_csv

COLUMNS = ("path", "label", "predicted")
"""`render --layout csv` reads the first two; the last is what the model predicted."""
LONGEST = 100
"""Most characters of a class name."""


@dataclass(kw_only=True)
class Labels:
    """The rows of one table, and what was done since it was opened.

    Rows about other files than those under review are kept as they are.
    """

    path: Path
    rows: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Label and predicted class by the path of the file, as it stands in the table."""
    undoable: list[tuple[str, tuple[str, str] | None]] = field(default_factory=list)
    """What each file had before, the latest last."""

    @classmethod
    def open(cls, path: Path) -> Labels:
        """Read a table, if it is there; raises DataError where it is none of this form, or is damaged."""
        if not path.exists():
            return cls(path=path)
        rows = read_csv(path, COLUMNS[:2])
        wrong = next((row for row in rows if not row["path"] or not row["label"]), None)
        if wrong is not None:
            raise DataError(f"{path} has a row without a path or a label; fill it in, or name another table in --out")
        return cls(path=path, rows={row["path"]: (row["label"], row.get("predicted", "")) for row in rows})

    def name_of(self, file: Path) -> str:
        """Return how the table names a file: relative to its folder where the file is below that, else absolute."""
        folder, whole = os.path.realpath(self.path.parent), os.path.join(os.path.realpath(file.parent), file.name)
        inside = os.path.relpath(whole, folder) if os.path.commonpath([folder, whole]) == folder else whole
        return Path(inside).as_posix()

    def label_of(self, file: Path) -> str | None:
        """Return the label of a file; None where it has none."""
        row = self.rows.get(self.name_of(file))
        return row[0] if row else None

    def give(self, file: Path, label: str, predicted: str) -> None:
        """Give a file a label and write the table."""
        name = self.name_of(file)
        self.undoable.append((name, self.rows.get(name)))
        self.rows[name] = (label, predicted)
        self._write()

    def undo(self) -> str | None:
        """Take the latest label back and write the table; return the name of its file there, if there was one."""
        if not self.undoable:
            return None
        name, before = self.undoable.pop()
        if before is None:
            self.rows.pop(name, None)
        else:
            self.rows[name] = before
        self._write()
        return name

    def classes(self) -> tuple[str, ...]:
        """Return all labels that were given, sorted."""
        return tuple(sorted({label for label, _ in self.rows.values()}))

    def _write(self) -> None:
        write_csv(self.path, COLUMNS, ((name, label, predicted) for name, (label, predicted) in self.rows.items()))


def class_name(text: object, known: Sequence[str]) -> str:
    """Return a class name as it may be written; raises ValueError with the reason where it may not be."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError("A label needs a name.")
    name = " ".join(text.split())
    if name in known:
        return name
    if len(name) > LONGEST or not name.isprintable():
        raise ValueError(f"A class name has up to {LONGEST} printable characters.")
    if name[0] in "=+-@." or "/" in name or "\\" in name:
        raise ValueError("A class name must not begin with =, +, -, @ or a dot, nor hold a slash.")
    return name
