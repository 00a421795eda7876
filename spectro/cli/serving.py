"""Commands that use a finished run on new audio: predict and explain."""

from __future__ import annotations

import io
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

import spectro
from spectro.cli.app import Json, command, complain_of, put_json, put_table
from spectro.cli.bounds import Device, Overlap, Probability, Start
from spectro.cli.outputs import PREDICTION_COLUMNS, Kind, require_different, require_file, require_folder
from spectro.core.errors import ConfigError
from spectro.core.files import csv_text, write_bytes
from spectro.core.formatting import defuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from spectro.inference.predict import Answer, Predicted

STDOUT = Path("-")


def require_path(_: object, path: Path | None) -> None:
    """Refuse an option where the path of an output should be; raises ValueError, which the command line reports."""
    if path is not None and path != STDOUT and str(path).startswith("-"):
        raise ValueError(f"it needs a path, but {path} follows; write - for standard output")


Output = Annotated[
    Path | None,
    Parameter(name_transform=lambda name: name.removeprefix("as_"), allow_leading_hyphen=True, validator=require_path),
]
Row = tuple[str, float | None, str | None, float, *tuple[float, ...]]


@command("predict")
def predict(
    run: Path,
    files: list[Path],
    /,
    *,
    overlap: Overlap | None = None,
    min_confidence: Probability = 0.0,
    device: Device = "auto",
    as_csv: Output = None,
    as_json: Output = None,
    as_parquet: Output = None,
) -> int:
    """Classify audio files with a finished run; every setting comes from the run's card.

    Example: spectro predict runs/resnet50-group song.mp3

    Example: spectro predict runs/resnet50-group music --csv predictions.csv

    Parameters
    ----------
    run
        Folder of a finished run.
    files
        Audio files, or folders of them.
    overlap
        Share of a segment that the next one repeats, so that more segments vote; by default as in the run's card.
    min_confidence
        Give no label to files below this probability; spectro evaluate --min-confidence reports the effect.
    device
        auto, cpu, cuda or mps.
    as_csv
        CSV file to write instead of printing a table (- for standard output): a row per file, whose start is empty, and
        per segment, with the probability of every class.
    as_json
        JSON file to write, - for standard output.
    as_parquet
        Parquet file to write, with the columns of --csv; needs pyarrow.
    """
    outputs: list[tuple[Kind, Path | None]] = [("csv", as_csv), ("json", as_json), ("parquet", as_parquet)]
    wanted = [(kind, path) for kind, path in outputs if path is not None]
    require_different(*(path for _, path in wanted))
    for kind, path in wanted:
        if path != STDOUT:
            require_file(path, kind, columns=PREDICTION_COLUMNS, option=f"--{kind}")
    predicted = spectro.predict(
        run,
        files,
        overlap=overlap,
        min_confidence=min_confidence,
        device=device,
        progress=all(path != STDOUT for _, path in wanted),
    )
    for kind, path in wanted:
        write(CONVERT[kind](predicted), path)
    if not wanted:
        rows = [
            (answer.source, label(answer, predicted) or "unsure", f"{answer.probability:.2f}", timeline(answer))
            for answer in predicted.answers
        ]
        put_table(("file", "label", "probability", "timeline"), rows)
    return complain_of(predicted.failed)


@command("explain")
def explain(
    run: Path,
    file: Path,
    /,
    *,
    out: Path = Path("explained"),
    label: str | None = None,
    start: Start | None = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Explain a prediction with Grad-CAM, an occlusion check and audio of the important region.

    Example: spectro explain runs/resnet50-group song.mp3 --out explained

    Parameters
    ----------
    run
        Folder of a finished run that holds one network.
    file
        Audio file.
    out
        Folder for the figure, the audio and the values.
    label
        Class to explain; by default the predicted one.
    start
        A time within the segment to explain, in seconds; by default the segment with the highest probability.
    device
        auto, cpu, cuda or mps.
    """
    from spectro.plots.explanation import save_explanation

    require_folder(out, "results")
    explanation = spectro.explain(run, file, label=label, start=start, device=device)
    figure, *_ = save_explanation(explanation, out)
    if as_json:
        return put_json({**explanation.to_dict(), "figure": str(figure)})
    clip = f"{explanation.clip_probability:.2f} in the whole file"
    print(f"{explanation.label}: {explanation.probability:.2f} at {explanation.start:g} s, {clip}")
    areas = ((order, f"{curve.area:.3f}") for order, curve in explanation.deletions.items())
    put_table(("regions removed in the order of", "area under the deletion curve (lower is better)"), areas)
    print(f"{explanation.verdict}.")
    print(f"wrote {figure} and the audio beside it")
    return None


def label(answer: Answer, predicted: Predicted) -> str | None:
    """Return the label of a file, or None where it is below the wanted confidence."""
    return answer.label if answer.probability >= predicted.min_confidence else None


def table(predicted: Predicted) -> tuple[tuple[str, ...], list[Row]]:
    """Return columns and rows: one row per file, without a start, followed by one per segment."""
    rows: list[Row] = []
    for answer in predicted.answers:
        rows.append((answer.source, None, label(answer, predicted), answer.probability, *answer.probs.tolist()))
        for start, probs in zip(answer.starts, answer.segment_probs, strict=True):
            best = int(probs.argmax())
            rows.append((answer.source, start, answer.labels[best], float(probs[best]), *probs.tolist()))
    return ("file", "start", "label", "probability", *predicted.labels), rows


def to_csv(predicted: Predicted) -> bytes:
    """Return predictions as CSV, probabilities with six decimals."""
    columns, rows = table(predicted)
    cells = [(*map(defuse, row[:3]), *(f"{value:.6f}" for value in row[3:])) for row in rows]
    return csv_text([defuse(column) for column in columns], cells).encode(errors="backslashreplace")


def to_json(predicted: Predicted) -> bytes:
    """Return predictions as JSON."""
    return (json.dumps(predicted.to_dict(), indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def to_parquet(predicted: Predicted) -> bytes:
    """Return predictions as Parquet; raises ConfigError without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ConfigError("Parquet needs pyarrow: pip install 'spectro[parquet]'; or use --csv") from None
    columns, rows = table(predicted)
    kinds = [pyarrow.string(), pyarrow.float64(), pyarrow.string(), *[pyarrow.float64()] * (len(columns) - 3)]
    arrays = [pyarrow.array([row[item] for row in rows], kind) for item, kind in enumerate(kinds)]
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(arrays, names=columns), buffer)
    return buffer.getvalue()


CONVERT: dict[str, Callable[[Predicted], bytes]] = {"csv": to_csv, "json": to_json, "parquet": to_parquet}
"""How predictions become a file, by its kind."""


def write(data: bytes, path: Path) -> None:
    """Write a file whole or not at all, or standard output where the path is -."""
    if path == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    else:
        write_bytes(path, data)
        print(f"wrote {path}")


def timeline(answer: Answer) -> str:
    """Format the predicted classes over time, as `"0:00 rock, 0:30 jazz"`: one entry for each change of label."""
    labels = [
        (start, answer.labels[int(probs.argmax())])
        for start, probs in zip(answer.starts, answer.segment_probs, strict=True)
    ]
    changes = [next(same) for _, same in groupby(labels, key=lambda entry: entry[1])]
    return ", ".join(f"{int(start // 60)}:{int(start % 60):02} {name}" for start, name in changes)
