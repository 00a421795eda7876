"""The command predict: what it prints, and where it writes."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

import spectro
from spectro.cli.app import SOME_FAILED, Flag, Json, Several, command, complain, complain_of, log, put_table
from spectro.cli.bounds import Classes, Device, Overlap, Probability, Workers
from spectro.cli.lots import Lots, in_lots, predict_in_lots, refuse_with_lots
from spectro.cli.outputs import PREDICTION_COLUMNS, Kind, require_file, require_folder
from spectro.cli.stopping import RESUMES, after_stop
from spectro.core.errors import ConfigError

if TYPE_CHECKING:
    from spectro.core.tables import Failure
    from spectro.inference.predict import Answer, Predicted
    from spectro.inference.stream import Target, Written
    from spectro.inference.tables import TableOptions

STDOUT = "-"
NAMED = 10
"""Files that could not be used which are named; a table lists all of them."""

Format = Literal["csv", "json", "jsonl", "parquet", "audacity", "raven"]


def require_path(_: object, path: str | None) -> None:
    """Refuse an option where the path of an output should be; raises ValueError, which the command line reports."""
    if path is not None and path != STDOUT and path.startswith("-"):
        raise ValueError(f"it needs a path, but {path} follows; write - for standard output")


def require_no_option(_: object, files: list[str]) -> None:
    """Refuse an unknown option where files are expected; raises ValueError, which the command line reports."""
    wrong = next((file for file in files if file.startswith("-") and file != STDOUT), None)
    if wrong is not None:
        raise ValueError(f"there is no option {wrong}; a file that is called so is given as ./{wrong}")


Output = Annotated[str | None, Parameter(allow_leading_hyphen=True, validator=require_path)]


@command("predict")
def predict(
    run: str,
    files: Annotated[list[str], Parameter(allow_leading_hyphen=True, validator=require_no_option)],
    /,
    *,
    out: Output = None,
    format: Annotated[tuple[Format, ...], Several] = (),
    per_file: Flag = False,
    events: str | None = None,
    top: Classes | None = None,
    min_confidence: Probability = 0.0,
    overlap: Overlap | None = None,
    device: Device = "auto",
    workers: Workers = 0,
    engine: str | None = None,
    plan: Flag = False,
    as_json: Json = False,
) -> int:
    """Classify audio files with a finished run; every setting of the sound comes from the run's card.

    Example: spectro predict runs/resnet50-group song.mp3

    Example: spectro predict runs/resnet50-group music --out predictions.csv

    Example: spectro predict runs/resnet50-group field --out found --events gap=1,min=0.5 --format raven audacity

    Parameters
    ----------
    run
        Folder of a finished run, or the .onnx file that spectro export made of it.
    files
        Audio files, folders of them at any depth, @list.txt for a file with one path a line, - for such a list from
        standard input.
    out
        File that ends in .csv, .json, .jsonl, .parquet or .txt (a Raven selection table), or a folder; - for standard
        output. Answers are kept as they come: the same command goes on where it stopped, and later asks only about new
        or changed files. Files that cannot be used are listed in failed.csv beside it.
    format
        Formats to write into a folder, csv by default: csv, json, jsonl, parquet, raven, audacity (labels, one for each
        file).
    per_file
        Write a table for each file into the folder, instead of one for all.
    events
        Merge neighbouring segments of one class, such as gap=1,min=0.5: pauses of up to 1 s are bridged, and what is
        shorter than 0.5 s is left out.
    top
        List only that many classes, the most probable ones.
    min_confidence
        Give no label to files, and leave out events, below this probability; spectro evaluate --min-confidence reports
        the effect.
    overlap
        Share of a segment that the next one repeats, so that more segments vote; by default as in the run's card.
    device
        auto, cpu, cuda or mps.
    workers
        Processes that decode ahead of the model; 0 = one per core. One file is decoded without any.
    engine
        Do it in lots, which may be done on many machines: local, ray, ray:ADDRESS, or shard:0/64 as the first of 64
        jobs. Whatever dies, the same command goes on; spectro seal writes predictions.parquet. URLs are always done so.
    plan
        Only list the files and write the plan of the lots.
    """
    from spectro.inference.events import EventRule
    from spectro.inference.sources import read_lists
    from spectro.inference.tables import TableOptions

    rule = None if events is None else EventRule.parse(events)
    options = TableOptions(events=rule, top=top, min_confidence=min_confidence)
    if in_lots(engine, plan, *files, *([out] if out else [])):
        given = {"format": bool(format), "per-file": per_file, "events": events is not None, "top": top is not None}
        refuse_with_lots(given | {"min-confidence": min_confidence > 0})
        where = Lots(engine=engine or "local", workers=workers, plan_only=plan, as_json=as_json)
        return predict_in_lots(run, files, out, where, overlap=overlap, device=device)
    if as_json and (out is not None or format):
        raise ConfigError("--json prints JSON; to write it, use --out FILE.json alone")
    if out is not None and out != STDOUT:
        target = _target(Path(out), format, per_file)
        after_stop.set(RESUMES)
        written = spectro.predict_to(
            run,
            read_lists(files),
            out,
            formats=format,
            per_file=per_file,
            options=options,
            overlap=overlap,
            device=device,
            workers=workers,
            progress=True,
        )
        return _report(written, target)
    kind = _printed(out, format, per_file, as_json)
    predicted = spectro.predict(
        run,
        read_lists(files),
        overlap=overlap,
        min_confidence=min_confidence,
        device=device,
        workers=workers,
        progress=kind is None,
    )
    _print(predicted, kind, options)
    _log_oddities(predicted)
    return complain_of(predicted.failed)


def _target(out: Path, formats: tuple[Format, ...], per_file: bool) -> Target:
    """Return where to write; raises ConfigError where something else is."""
    from spectro.inference.stream import Target

    target = Target.of(out, formats, per_file=per_file)
    if target.is_file:
        kinds: dict[Format, Kind] = {"csv": "csv", "json": "json", "jsonl": "jsonl", "parquet": "parquet"}
        require_file(out, kinds.get(target.formats[0], "labels"), columns=PREDICTION_COLUMNS)
    else:
        require_folder(out, "results")
    return target


def _printed(out: str | None, formats: tuple[Format, ...], per_file: bool, as_json: bool) -> Format | None:
    """Return the format that is printed; None for a table to look at."""
    if out is None and (formats or per_file):
        raise ConfigError("--format and --per-file say what is written; name a file or folder in --out, or - to print")
    if len(formats) > 1 or per_file:
        raise ConfigError("only one table can be printed; name a folder in --out")
    if formats == ("parquet",):
        raise ConfigError("Parquet cannot be printed; name a file that ends in .parquet in --out")
    if as_json:
        return "json"
    return None if out is None else (*formats, "csv")[0]


def _print(predicted: Predicted, kind: Format | None, options: TableOptions) -> None:
    if kind is not None:
        from spectro.core.files import ESCAPED
        from spectro.inference.tables import LINES

        tells = any(answer.none_of_these is not None for answer in predicted.answers)
        options = replace(options, none_of_these=tells)
        outcomes: list[Answer | Failure] = [*predicted.answers, *predicted.failed]
        for line in LINES[kind](predicted.labels, outcomes, options):
            sys.stdout.buffer.write(line.encode(errors=ESCAPED))
        sys.stdout.flush()
        return
    rows = [
        (
            answer.source,
            "none of these" if answer.none_of_these else answer.label_above(options.min_confidence) or "unsure",
            _probabilities(answer, options.top),
            timeline(answer, options),
        )
        for answer in predicted.answers
    ]
    put_table(("file", "label", "probability", "timeline"), rows)


def _probabilities(answer: Answer, top: int | None) -> str:
    from spectro.inference.answers import ranked

    if top is None:
        return f"{answer.probability:.2f}"
    return ", ".join(f"{answer.labels[item]} {answer.probs[item]:.2f}" for item in ranked(answer.probs, top))


def _report(written: Written, target: Target) -> int:
    """Print what was written, and name files that could not be used; return the exit code."""
    for path in written.files:
        print(f"wrote {path}")
    if written.kept:
        print(f"{written.kept} answers were there already, {written.asked} are new")
    if written.warnings:
        log(f"spectro: {written.warnings} oddities are listed in {target.warnings_path}")
    _log_skipped(written)
    for failure in written.failed[:NAMED]:
        complain(f"{failure.reason}: {failure.message}", SOME_FAILED)
    if not written.failed:
        return 0
    return complain(f"{len(written.failed)} of the files could not be used: {target.failed_path}", SOME_FAILED)


def _log_oddities(predicted: Predicted) -> None:
    for answer in predicted.answers:
        for warning in answer.warnings:
            log(f"spectro: {warning.reason}: {warning.message}")
    _log_skipped(predicted)


def _log_skipped(source: Predicted | Written) -> None:
    from spectro.data.audio_files import describe_skipped

    if left_out := describe_skipped(source.skipped):
        log(f"spectro: {left_out}")


def timeline(answer: Answer, options: TableOptions) -> str:
    """Format the predicted classes over time, as `"0:00 rock, 0:30 jazz"`: an entry for each change, or each event."""
    spans = answer.segments() if options.events is None else options.spans(answer)
    labels = [(one.start, answer.labels[one.best]) for one in spans]
    changes = labels if options.events else [next(same) for _, same in groupby(labels, key=lambda entry: entry[1])]
    return ", ".join(f"{int(start // 60)}:{int(start % 60):02} {name}" for start, name in changes)
