"""Answers as tables: CSV, Parquet, JSON, JSON lines, Audacity labels and Raven selections, written as they come."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from spectro.core.config import require
from spectro.core.distribution import require_packages
from spectro.core.files import ESCAPED, replacing
from spectro.core.formatting import defuse
from spectro.core.tables import Failure
from spectro.data.extraction import Extraction
from spectro.inference.answers import Answer, ranked
from spectro.inference.events import Event, EventRule
from spectro.inference.reading import Input
from spectro.inference.temperature import require_probability

TableFormat = Literal["csv", "json", "jsonl", "parquet", "audacity", "raven"]
SUFFIXES: dict[TableFormat, str] = {
    "csv": ".csv",
    "json": ".json",
    "jsonl": ".jsonl",
    "parquet": ".parquet",
    "audacity": ".labels.txt",
    "raven": ".selections.txt",
}
"""How the names of files end, by their format."""
PREDICTION_COLUMNS = ("file", "start", "end", "label", "probability")
RAVEN_COLUMNS = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Label", "Confidence", "Begin Path", "File Offset (s)"),
)
ROWS = 20_000
"""Rows of a Parquet file that are in memory at once."""

Outcomes = Iterable[Answer | Failure]
Row = tuple[str, float | None, float | None, str | None, float, *tuple[float | str | None, ...]]


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What tables of answers show; nothing of it changes what a model is asked."""

    events: EventRule | None = None
    """How equal segments are merged; None to list each segment."""
    top: int | None = None
    """Number of classes, the most probable ones, that are listed; None for all."""
    min_confidence: float = 0.0
    """Files below this probability are given no label; events, labels and selections below it are left out."""
    none_of_these: bool = False
    """Whether CSV and Parquet have the columns `none_of_these` and `novelty`, which only files have."""
    band: tuple[float, float] = (0.0, 0.0)
    """Lowest and highest frequency that the model is fed, in Hz: those of Raven's selections."""

    def __post_init__(self) -> None:
        require_probability(self.min_confidence)
        require(self.top is None or self.top >= 1, f"top is {self.top}, but must be 1 or more classes")

    def spans(self, answer: Answer) -> tuple[Event, ...]:
        """Return what labels and selections list of an answer: merged, or each segment, where it is sure enough."""
        if self.events is not None:
            return answer.events(self.events, self.min_confidence)
        return tuple(one for one in answer.segments() if one.probability >= self.min_confidence)


def band_of(settings: Input) -> tuple[float, float]:
    """Return the lowest and highest frequency that a model is fed, in Hz."""
    if isinstance(settings, Extraction):
        return 0.0, settings.sample_rate / 2
    mel = settings.mel
    return mel.fmin, mel.fmax or mel.sample_rate / 2


def columns_of(labels: Sequence[str], options: TableOptions) -> tuple[str, ...]:
    """Return the columns of CSV and Parquet tables."""
    last = ("none_of_these", "novelty") if options.none_of_these else ()
    if options.top is None:
        return (*PREDICTION_COLUMNS, *labels, *last)
    places = range(2, min(options.top, len(labels)) + 1)
    ranks = (name for place in places for name in (f"label {place}", f"probability {place}"))
    return (*PREDICTION_COLUMNS, *ranks, *last)


def rows_of(answer: Answer, options: TableOptions) -> Iterator[Row]:
    """Yield the row of the file, without start and end, followed by one per segment or event."""
    merged = answer.events(options.events, options.min_confidence) if options.events else answer.segments()

    def classes(probs: Sequence[float], order: Sequence[int]) -> tuple[float | str | None, ...]:
        if options.top is None:
            return tuple(probs)
        return tuple(value for item in order[1:] for value in (answer.labels[item], probs[item]))

    label = answer.label_above(options.min_confidence)
    whole = classes(answer.probs.tolist(), ranked(answer.probs, options.top))
    unknown, nothing = ((answer.none_text, answer.novelty), (None, None)) if options.none_of_these else ((), ())
    yield (answer.source, None, None, label, answer.probability, *whole, *unknown)
    for one in merged:
        each = classes(one.probs.tolist(), ranked(one.probs, options.top))
        yield (answer.source, one.start, one.end, answer.labels[one.best], one.probability, *each, *nothing)


def csv_lines(labels: Sequence[str], outcomes: Outcomes, options: TableOptions) -> Iterator[str]:
    """Yield a CSV table, probabilities with six decimals."""
    yield _csv([defuse(column) for column in columns_of(labels, options)])
    for answer in _answers(outcomes):
        for row in rows_of(answer, options):
            cells = (f"{value:.6f}" if isinstance(value, float) else defuse(value) for value in row[4:])
            yield _csv([defuse(row[0]), row[1], row[2], defuse(row[3]), *cells])


def json_lines(labels: Sequence[str], outcomes: Outcomes, options: TableOptions) -> Iterator[str]:
    """Yield one JSON document, the one of `Predicted.to_dict`."""
    yield '{\n  "labels": ' + _indented(list(labels), 1) + ',\n  "files": ['
    failed: list[Failure] = []
    between = "\n"
    for outcome in outcomes:
        if isinstance(outcome, Failure):
            failed.append(outcome)
            continue
        yield between + "    " + _indented(_values(outcome, options), 2)
        between = ",\n"
    yield ("]" if between == "\n" else "\n  ]") + ',\n  "failed": ' + _indented(list(map(asdict, failed)), 1) + "\n}\n"


def jsonl_lines(labels: Sequence[str], outcomes: Outcomes, options: TableOptions) -> Iterator[str]:
    """Yield one line of JSON per file."""
    for answer in _answers(outcomes):
        yield json.dumps(_values(answer, options), ensure_ascii=False) + "\n"


def audacity_lines(labels: Sequence[str], outcomes: Outcomes, options: TableOptions) -> Iterator[str]:
    """Yield the lines of a label track; it knows no files, so there is one for each file."""
    for answer in _answers(outcomes):
        for one in options.spans(answer):
            yield f"{one.start:.6f}\t{one.end:.6f}\t{_plain(answer.labels[one.best])} {one.probability:.2f}\n"


def raven_lines(labels: Sequence[str], outcomes: Outcomes, options: TableOptions) -> Iterator[str]:
    """Yield a selection table; of several files, times run on from one to the next, as Raven opens them in a row."""
    yield "\t".join(RAVEN_COLUMNS) + "\n"
    number, before = 0, 0.0
    low, high = options.band
    for answer in _answers(outcomes):
        for one in options.spans(answer):
            number += 1
            times = f"{before + one.start:.6f}\t{before + one.end:.6f}\t{low:.1f}\t{high:.1f}"
            what = f"{_plain(answer.labels[one.best])}\t{one.probability:.4f}"
            yield f"{number}\tSpectrogram 1\t1\t{times}\t{what}\t{_plain(answer.source)}\t{one.start:.6f}\n"
        before += answer.duration


Lines = Callable[[Sequence[str], Outcomes, TableOptions], Iterator[str]]
LINES: dict[TableFormat, Lines] = {
    "csv": csv_lines,
    "json": json_lines,
    "jsonl": jsonl_lines,
    "audacity": audacity_lines,
    "raven": raven_lines,
}
"""How answers become text, by the format; `parquet` is none."""


def write_table(
    path: Path, kind: TableFormat, labels: Sequence[str], outcomes: Outcomes, options: TableOptions
) -> None:
    """Write answers as one table, whole or not at all, while they are read.

    Parameters
    ----------
    path
        The file.
    kind
        Its format.
    labels
        Class names.
    outcomes
        The answers, in order; failures are listed in JSON only.
    options
        What is shown.

    Raises
    ------
    ConfigError
        Parquet is wanted, but pyarrow is not installed.
    """
    if kind == "parquet":
        _write_parquet(path, labels, outcomes, options)
        return
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors=ESCAPED, newline="") as file:
        file.writelines(LINES[kind](labels, outcomes, options))


def require_writer(kind: TableFormat) -> None:
    """Raise ConfigError where a format needs a package that is not installed."""
    if kind == "parquet":
        require_packages("Parquet", "pyarrow", otherwise="write .csv")


def _write_parquet(path: Path, labels: Sequence[str], outcomes: Outcomes, options: TableOptions) -> None:
    require_writer("parquet")
    import pyarrow
    from pyarrow import parquet

    names = columns_of(labels, options)
    text, number = pyarrow.string(), pyarrow.float64()
    first = (text, number, number, text, number)
    last = [text, number] if options.none_of_these else []
    classes = len(names) - len(first) - len(last)
    kinds = [*first, *(text if options.top and item % 2 == 0 else number for item in range(classes)), *last]
    schema = pyarrow.schema(list(zip(names, kinds, strict=True)))
    with replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for rows in _chunks(row for answer in _answers(outcomes) for row in rows_of(answer, options)):
            columns = [pyarrow.array([_encodable(row[item]) for row in rows], kind) for item, kind in enumerate(kinds)]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _answers(outcomes: Outcomes) -> Iterator[Answer]:
    return (outcome for outcome in outcomes if isinstance(outcome, Answer))


def _values(answer: Answer, options: TableOptions) -> dict[str, object]:
    return answer.to_dict(options.min_confidence, rule=options.events, top=options.top)


def _indented(value: object, depth: int) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n" + "  " * depth)


def _csv(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _plain(text: str) -> str:
    """Return a text without what would end a cell or a line."""
    return " ".join(text.split()) if any(sign in text for sign in "\t\r\n") else text


def _encodable(value: object) -> object:
    return value.encode(errors=ESCAPED).decode() if isinstance(value, str) else value
