"""Classify any number of files into tables: answers are kept on the disk as they come, and a run goes on from there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from spectro.core.errors import AudioError, ConfigError
from spectro.core.files import read_document, write_document
from spectro.core.locks import writing
from spectro.core.records import Record
from spectro.core.runs import Run
from spectro.core.tables import ClipWarning, Failure, write_failures, write_warnings
from spectro.data.audio_files import Skipped
from spectro.data.source import signature, source_stamp
from spectro.inference.answer_journal import AnswerJournal, Entry
from spectro.inference.answers import Answer
from spectro.inference.predict import Predictor
from spectro.inference.progress import sound_progress
from spectro.inference.sources import find_audio_files
from spectro.inference.tables import SUFFIXES, TableFormat, TableOptions, band_of, require_writer, write_table

KIND, VERSION = "prediction", 1
JOB, JOURNAL = "prediction.json", "answers.jsonl"
FILE_FORMATS: dict[str, TableFormat] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".txt": "raven",
}
"""The format of a single file by its suffix, where none is named."""


@dataclass(frozen=True, kw_only=True)
class PredictionJob(Record):
    """What decides the answers in a journal."""

    run: str
    """Name of the run."""
    identity: str
    """Checksum of its cards, with those of the weights."""
    overlap: float | None
    """Share of a segment that the next one repeats; None for the card's own."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What `predict_to` did."""

    files: tuple[Path, ...]
    """The tables of all files, and the folder where those of each file are."""
    asked: int
    """Files that the model was asked about now."""
    kept: int
    """Files whose answers were there already."""
    failed: tuple[Failure, ...]
    """The files that could not be used, and why; they are in `failed.csv` too."""
    warnings: int
    """Things that are odd about the others; they are in `warnings.csv`."""
    skipped: tuple[Skipped, ...]
    """What the given folders hold beside the files, counted."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where tables are written."""

    out: Path
    """A file, or a folder."""
    formats: tuple[TableFormat, ...]
    """What is written; one of them to a file."""
    per_file: bool = False
    """Whether every file gets tables of its own, in a folder."""
    combined: dict[Path, TableFormat] = field(init=False)
    """The tables of all files."""
    single: tuple[TableFormat, ...] = field(init=False)
    """Formats of which every file gets a table of its own."""

    def __post_init__(self) -> None:
        single = tuple(kind for kind in self.formats if self.per_file or kind == "audacity")
        several = [kind for kind in self.formats if kind not in single]
        combined = {self.out / f"predictions{SUFFIXES[kind]}": kind for kind in several}
        if self.is_file:
            combined, single = {self.out: self.formats[0]}, ()
        object.__setattr__(self, "combined", combined)
        object.__setattr__(self, "single", single)

    @classmethod
    def of(cls, out: Path | str, formats: Sequence[TableFormat] = (), *, per_file: bool = False) -> Target:
        """Return where to write: to a file if the name ends like one, else to a folder.

        Raises
        ------
        ConfigError
            a file is to hold several formats, or one table for each file.
        """
        out = Path(out)
        wanted = tuple(dict.fromkeys(formats))
        if out.suffix.lower() in FILE_FORMATS and not out.is_dir():
            wanted = wanted or (FILE_FORMATS[out.suffix.lower()],)
            if len(wanted) > 1 or per_file:
                raise ConfigError(f"{out} is one file; name a folder for several formats, or for tables of each file")
        target = cls(out=out, formats=wanted or ("csv",), per_file=per_file)
        for kind in target.formats:
            require_writer(kind)
        return target

    @property
    def is_file(self) -> bool:
        """Whether it is one file."""
        return self.out.suffix.lower() in FILE_FORMATS and not self.out.is_dir()

    @property
    def state(self) -> Path:
        """Hidden folder of the answers, from which the tables are made; with it the same command goes on."""
        return self.out.parent / f".{self.out.name}.spectro" if self.is_file else self.out / ".spectro"

    @property
    def failed_path(self) -> Path:
        """The files that could not be used: `failed.csv`, or `NAME.failed.csv` beside a file."""
        return self._beside("failed.csv")

    @property
    def warnings_path(self) -> Path:
        """What is odd about the others: `warnings.csv`, likewise."""
        return self._beside("warnings.csv")

    def _beside(self, name: str) -> Path:
        return self.out.parent / f"{self.out.stem}.{name}" if self.is_file else self.out / name


def predict_to(
    run: Run | Path | str,
    files: Iterable[Path | str] | Path | str,
    out: Path | str,
    *,
    formats: Sequence[TableFormat] = (),
    per_file: bool = False,
    options: TableOptions | None = None,
    overlap: float | None = None,
    device: str = "auto",
    workers: int = 0,
    progress: bool = False,
) -> Written:
    """Classify audio files into tables; memory does not grow with their number.

    Each answer is kept in a hidden folder beside the tables as soon as it is known. It may be killed at any point: the
    same call goes on, and ends with the same bytes. Called again later, it asks only about files that are new, whose
    content changed, or that failed. Formats and options may differ from call to call, run and overlap may not.

    Parameters
    ----------
    run
        The run, its folder, or the `.onnx` file that it was exported to.
    files
        Audio files, or folders that are searched for some; a file named twice is classified once.
    out
        A file that ends in .csv, .json, .jsonl, .parquet or .txt (Raven selections), or a folder.
    formats
        What to write; by default what the name of the file says, and CSV in a folder.
    per_file
        Write tables of each file, under its name, instead of tables of all; Audacity labels are always written so.
    options
        What the tables show.
    overlap
        Share of a segment that the next one repeats, so that more segments vote; None for the card's own.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    workers
        Processes that read files ahead of the model; 0 for one per core. One file is read in this process.
    progress
        Show a progress bar.

    Raises
    ------
    ConfigError
        a setting is out of range, `out` holds answers of another run, or pyarrow is missing for Parquet.
    DataError
        no file was given, or a folder has none.
    BusyError
        another process writes there.
    StorageError
        the disk is full, failing or read-only.
    """
    target = Target.of(out, formats, per_file=per_file)
    paths, skipped = find_audio_files(files)
    if target.is_file and target.formats == ("audacity",) and len(paths) > 1:
        raise ConfigError(f"an Audacity label track is of one file, but there are {len(paths)}; name a folder in --out")
    predictor = Predictor(run, device)
    settings = next(iter(predictor.inputs(overlap)))
    options = replace(options or TableOptions(), band=band_of(settings), none_of_these=predictor.tells_none)
    with writing(target.state):
        name = predictor.path.resolve().name
        _claim(target, PredictionJob(run=name, identity=predictor.identity(), overlap=overlap))
        journal = AnswerJournal(target.state / JOURNAL)
        waiting = list(_unanswered(paths, journal))
        with sound_progress(waiting, name, progress) as meter, journal.adding() as adder:
            results = predictor.results(waiting, overlap=overlap, workers=workers, stamped=True, meter=meter)
            with closing(results):
                for path, (outcome, ending) in zip(waiting, results, strict=True):
                    adder.add(Entry.of(str(path), outcome, ending))
        written = _write_tables(target, journal, list(map(str, paths)), predictor.labels, options)
        failed, warnings = _write_notes(target, journal, list(map(str, paths)), predictor.labels)
    kept = len(paths) - len(waiting)
    return Written(files=written, asked=len(waiting), kept=kept, failed=failed, warnings=warnings, skipped=skipped)


def _claim(target: Target, job: PredictionJob) -> None:
    """Note what the answers are of; refuse a folder with answers of something else."""
    path = target.state / JOB
    if not path.exists():
        write_document(path, KIND, VERSION, job.to_dict())
        return
    remedy = f"delete {target.state} to begin anew"
    before = PredictionJob.from_dict(read_document(path, KIND, VERSION, remedy=remedy, error=ConfigError))
    if before.identity != job.identity or before.overlap != job.overlap:
        overlap = "the card's overlap" if before.overlap is None else f"overlap {before.overlap}"
        what = overlap if before.identity == job.identity else f"another model ({before.run})"
        raise ConfigError(f"{target.out} holds answers of {what}; choose another --out, or {remedy}")


def _unanswered(paths: Iterable[Path], journal: AnswerJournal) -> Iterator[Path]:
    """Yield the files that are new, changed or failed before."""
    for path in paths:
        if str(path) not in journal or not _still_of(path, journal[str(path)]):
            yield path


def _still_of(path: Path, entry: Entry) -> bool:
    """Tell whether an answer is of the content that a file has; one that failed may be read the next time."""
    if entry.failed:
        return False
    try:
        same = bool(entry.ending.signature) and signature(path) == entry.ending.signature
        return same or source_stamp(path) == entry.ending.stamp
    except (AudioError, OSError):
        return False


def _write_tables(
    target: Target, journal: AnswerJournal, names: Sequence[str], labels: tuple[str, ...], options: TableOptions
) -> tuple[Path, ...]:
    def outcomes() -> Iterator[Answer | Failure]:
        return (entry.outcome(labels) for entry in journal.entries(names))

    for path, kind in target.combined.items():
        write_table(path, kind, labels, outcomes(), options)
    if target.single:
        for place, outcome in zip(_places(names), outcomes(), strict=True):
            for kind in target.single:
                path = target.out / f"{place}{SUFFIXES[kind]}"
                if isinstance(outcome, Failure):
                    path.unlink(missing_ok=True)  # of the file as it was before
                    continue
                write_table(path, kind, labels, [outcome], options)
    return (*target.combined, *([target.out] if target.single else []))


def _places(names: Sequence[str]) -> Iterator[str]:
    """Yield the path of each file below the folder that all of them are in; no two are the same."""
    absolute = [os.path.abspath(name) for name in names]
    common = os.path.commonpath([os.path.dirname(path) for path in absolute])
    return (os.path.relpath(path, common) for path in absolute)


def _write_notes(
    target: Target, journal: AnswerJournal, names: Sequence[str], labels: tuple[str, ...]
) -> tuple[tuple[Failure, ...], int]:
    """Write `failed.csv` and `warnings.csv`, or remove older ones where there is nothing to list."""
    failed: list[Failure] = []
    warnings: list[ClipWarning] = []
    for entry in journal.entries(names):
        outcome = entry.outcome(labels)
        if isinstance(outcome, Failure):
            failed.append(outcome)
        else:
            own = outcome.warnings
            warnings += [ClipWarning(path=entry.file, reason=one.reason, message=one.message) for one in own]
    for path in (target.failed_path, target.warnings_path):
        path.unlink(missing_ok=True)
    if failed:
        write_failures(target.failed_path, failed)
    if warnings:
        write_warnings(target.warnings_path, warnings)
    return tuple(failed), len(warnings)
