"""Where commands may write: one rule for every output, so that a command never replaces what is not its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from spectro.core.errors import ConfigError
from spectro.core.files import csv_text

Kind = Literal["html", "md", "tex", "csv", "json", "jsonl", "labels", "figure", "parquet", "card", "onnx", "openvino"]
"""Kinds of files that commands write."""
TABLES: tuple[Kind, ...] = ("md", "tex", "csv", "json")
"""Kinds in which a comparison of models is written."""
Folder = Literal["data", "run", "results"]
"""Kinds of folders that commands write: a data folder, a run, and a folder of figures, tables or runs."""
MODEL_COLUMNS = ("model", "split", "level")
ISSUE_COLUMNS = ("clip", "label", "suggested")
CURVE_COLUMNS = ("kind", "share", "groups")
FEATURE_COLUMNS = ("segment", "clip", "label", "group", "start")
FAILURE_COLUMNS = ("path", "reason", "seconds", "message")
PREDICTION_COLUMNS = ("file", "start", "end", "label", "probability")
# By these first columns an older table of the same command is known; here, for their modules take long to import.
BEGINNING = 4096
"""Bytes of an existing file that are looked at."""


@dataclass(frozen=True)
class Form:
    """How files of a kind can be known."""

    name: str
    """What messages call it."""
    begins: tuple[bytes, ...]
    """One of these is at its beginning."""
    holds: bytes = b""
    """This is near its beginning."""
    endings: tuple[str, ...] = ()
    """A name must end in one of these; none: it may end in anything."""


FORMS: dict[Kind, Form] = {
    "html": Form("report of spectro", (b"<!doctype html>",), b'content="spectro"'),
    "md": Form("Markdown table of spectro", (b"| model | split |",)),
    "tex": Form("LaTeX table of spectro", (rb"\begin{tabular}",)),
    "csv": Form("CSV table with the same columns", ()),
    "json": Form("JSON file", (b"{", b"[")),
    "figure": Form("SVG or PNG figure", (b"<?xml", b"<svg", b"\x89PNG\r\n"), endings=(".svg", ".png")),
    "jsonl": Form("file of answers in JSON lines", (b'{"file": ',)),
    "labels": Form("table of labels or selections", (b"Selection\t", *(b"%d" % digit for digit in range(10)))),
    "parquet": Form("Parquet file", (b"PAR1",)),
    "card": Form("model card of spectro", (b"---\n",), b"library_name: spectro"),
    "onnx": Form("ONNX file", (b"\x08",), endings=(".onnx",)),
    "openvino": Form("OpenVINO graph", (b"<?xml",), endings=(".xml",)),
}
RUN_MARKS = ("card.json", "job.json", "ensemble.json")
"""A folder with one of these is a run, maybe an unfinished one: of a model, or of an ensemble."""
RUN_FILES = (
    *RUN_MARKS,
    "checkpoint*",
    "history.csv",
    "metrics.json",
    "weights.safetensors",
    "model.skops",
    "predictions-*",
    "segments-*",
    "openset-*",
    "generation*",
    ".*",
)
"""What is in a run and is written by what made or evaluated it."""
DATA_MARKS = ("source.json", "mel-*")
"""A folder with a table of clips and one of these is a data folder."""
CLIPS = "clips.csv"
DATA_FILES = (
    *DATA_MARKS,
    CLIPS,
    "failed.csv",
    "warnings.csv",
    "audit.json",
    "leakage_gap.json",
    *("splits", "splits/*"),
    *("features", "features/*"),
    *("variants", "variants/*"),
    ".*",
)
"""What is in a data folder and is written by the commands that make it."""


def require_file(path: Path, kind: Kind, *, columns: Sequence[str] = (), option: str = "--out") -> Path:
    """Return a path that a file of some kind may be written to, over an older one of that kind only.

    Parameters
    ----------
    path
        The file, which need not exist.
    kind
        What is written.
    columns
        First columns of a CSV table: an older table must have them too.
    option
        Option that named it, for the message.

    Raises
    ------
    ConfigError
        it is a folder, a device, a part of a run or of a data folder, an existing file of another kind, or has an
        ending that this kind cannot have.
    """
    form = FORMS[kind]
    if form.endings and path.suffix.lower() not in form.endings:
        raise ConfigError(f"{path} is no {form.name}; give {option} a name that ends in {' or '.join(form.endings)}")
    _require_no_part(path, option)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a file in {option}")
    if not path.exists():
        return path
    if not path.is_file():
        raise ConfigError(f"{path} is not a regular file (a device or a pipe); choose another {option}")
    with path.open("rb") as file:
        head = file.read(BEGINNING).lstrip(b"\xef\xbb\xbf")
    begins = (csv_text(columns, ()).rstrip("\n").encode(),) if kind == "csv" else form.begins
    if head and not (head.startswith(begins) and form.holds in head):
        raise ConfigError(f"{path} exists and is no {form.name}, so it is not replaced; choose another {option}")
    return path


def require_folder(path: Path, kind: Folder, *, option: str = "--out") -> Path:
    """Return a path of a folder that may be made or added to.

    Parameters
    ----------
    path
        The folder, which need not exist.
    kind
        What it is or becomes.
    option
        Option that named it, for the message.

    Raises
    ------
    ConfigError
        it is a file, a part of a run or of a data folder, or a folder of another kind.
    """
    _require_no_part(path, option)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file, but {option} must be a folder; choose another {option}")
    if kind != "run" and is_run(path):
        raise ConfigError(f"{path} is a run; choose another {option}")
    if kind != "data" and is_data(path):
        raise ConfigError(f"{path} is a data folder; choose another {option}")
    if kind == "data" and (path / CLIPS).exists() and not is_data(path):
        raise ConfigError(f"{path / CLIPS} was not written by spectro, so it is not replaced; choose another {option}")
    return path


def is_run(folder: Path) -> bool:
    """Tell whether a folder is a run, finished or not."""
    return any((folder / name).exists() for name in RUN_MARKS)


def is_data(folder: Path) -> bool:
    """Tell whether a folder is a data folder."""
    return any(True for name in DATA_MARKS for _ in folder.glob(name)) if folder.is_dir() else False


def _require_no_part(path: Path, option: str) -> None:
    """Raise ConfigError where a path is that of something that runs or data folders consist of."""
    whole = path.resolve()
    for folder in whole.parents:
        inside = whole.relative_to(folder).as_posix()
        for what, marked, names in (("run", is_run, RUN_FILES), ("data folder", is_data, DATA_FILES)):
            if any(fnmatchcase(inside, pattern) for pattern in names) and marked(folder):
                raise ConfigError(f"{path} is a part of the {what} {folder}; choose another {option}")
