"""The command line: one short function per command, each a thin shell over the public function of the same name."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import spectro
from spectro.core.config import FinetuneConfig, MelConfig, ModelConfig, RenderConfig, SegmentConfig, SplitConfig
from spectro.core.errors import ConfigError, SpectroError

if TYPE_CHECKING:
    from spectro.data.render import Failure

SOME_FAILED = 3  # exit code: the work was done, but not for every file
Flag = Annotated[bool, Parameter(negative="")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON, for programs, instead of a table.")]

app = App(
    name="spectro",
    help="Classify music and sound from spectrogram pictures.",
    version=version("spectro"),
    suppress_keyboard_interrupt=False,
)
order = count()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 2 a mistake that the user can mend, 3 some files failed, 130 interrupted."""
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except SpectroError as error:
        code = fail(str(error))
    except CycloptsError as error:
        code = fail(f"{error} (--help says what there is)")
    except KeyboardInterrupt:
        code = fail("interrupted; the same command goes on from here", 130)
    except BrokenPipeError:  # `spectro ... | head` read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def fail(message: str, code: int = 2) -> int:
    """Say on one line of standard error what went wrong."""
    print("spectro:", " ".join(message.split()), file=sys.stderr)
    return code


def fields(title: str, **renamed: str) -> Parameter:
    """Make each field of a settings dataclass an option, under a heading of its own in the help."""
    return Parameter(name="*", group=title, name_transform=lambda name: renamed.get(name, name.replace("_", "-")))


@app.command(sort_key=next(order))
def render(
    source: Path,
    /,
    *,
    out: Path,
    layout: str = "auto",
    workers: int = 0,
    strict: Flag = False,
    exclude: Path | None = None,
    as_json: Json = False,
    mel: Annotated[MelConfig, fields("Mel-spectrogram")] = MelConfig(),  # noqa: B008
    segment: Annotated[SegmentConfig, fields("Segments")] = SegmentConfig(),  # noqa: B008
) -> int:
    """Cut audio into segments and draw each as a mel-spectrogram; run again, it does only what is missing.

    Example: spectro render music --out data

    Parameters
    ----------
    source
        A folder that holds one folder per class, or a CSV file with the columns path,label[,group][,fold].
    out
        Folder for clips.csv, failed.csv and the pictures.
    layout
        How the source is laid out; auto means csv for a file and folder for a folder.
    workers
        Number of processes; 0 = one per core.
    strict
        Stop at the first file that cannot be used, instead of listing it in failed.csv and going on.
    exclude
        CSV file whose column path names clips to leave out.
    """
    done = spectro.render(
        source,
        out=out,
        config=RenderConfig(mel=mel, segment=segment),
        layout=layout,
        workers=workers,
        strict=strict,
        exclude=exclude,
        progress=True,
    )
    facts = {"data": str(done.data), "fingerprint": done.store.fingerprint, "segments": len(done.store.segments)}
    if as_json:
        failed = [dataclasses.asdict(failure) for failure in done.failed]
        put_json({**facts, "made": done.made, "reused": done.reused, "failed": failed})
    else:
        print(f"{facts['segments']} pictures in {done.store.path} ({done.made} made, {done.reused} were there)")
    return tell_failed(done.failed)


@app.command(sort_key=next(order))
def split(
    data: Path,
    /,
    *,
    config: Annotated[SplitConfig, fields("Split")] = SplitConfig(),  # noqa: B008
    name: str = "",
    fingerprint: str | None = None,
    as_json: Json = False,
) -> None:
    """Deal the clips to training, validation and test, so that no group stands on two sides.

    Example: spectro split data --by group --test 0.2 --val 0.1

    Parameters
    ----------
    data
        Folder that render made.
    name
        Name of the split; by default what stays whole.
    fingerprint
        Which pictures, if data holds several configurations and segments are dealt.
    """
    made = spectro.split(data, config=config, name=name, fingerprint=fingerprint)
    if as_json:
        return put_json([{"name": one.name, "title": one.title, "sha256": one.sha256, **one.facts} for one in made])
    rows = [(one.title, *one.facts["counts"].values(), one.facts["leaking_groups"]) for one in made]
    put_table(("split", *made[0].facts["counts"], "groups on two sides"), rows)
    return None


@app.command(sort_key=next(order))
def finetune(
    data: Path,
    /,
    *,
    model: str | None = None,
    network: Annotated[ModelConfig, fields("Model", name="backbone")] = ModelConfig(),  # noqa: B008
    weights: str = "auto",
    split: str = "group",
    out: Path | None = None,
    fingerprint: str | None = None,
    config: Annotated[FinetuneConfig, fields("Training")] = FinetuneConfig(),  # noqa: B008
) -> None:
    """Train a model: the head on a frozen backbone, then all layers at a lower rate; or a custom CNN from scratch.

    Example: spectro finetune data --backbone resnet50

    Example: spectro finetune data --model cnn5 --epochs 40

    Parameters
    ----------
    data
        Folder that render and split made.
    model
        The same as --backbone.
    weights
        Pretrained weights: auto (a package that ships them, a local cache, the hub), none, hub, or a file.
    split
        Name of the split.
    out
        Folder of the run; by default runs/<backbone>-<split>.
    fingerprint
        Which pictures, if data holds several configurations.
    """
    network = dataclasses.replace(network, name=model) if model is not None else network
    run = spectro.finetune(
        data,
        out=out or Path("runs", f"{network.name}-{split}"),
        model=network,
        config=config,
        split=split,
        weights=weights,
        fingerprint=fingerprint,
        progress=True,
    )
    print(f"trained {run.path}; its scores: spectro evaluate {run.path}")


@app.command(sort_key=next(order))
def evaluate(runs: list[Path], /, *, fold: str = "test", as_json: Json = False) -> None:
    """Judge runs on a fold, at segment and clip level, with 95 % intervals from a bootstrap over groups.

    Example: spectro evaluate runs/resnet50-group runs/cnn5-group

    Parameters
    ----------
    runs
        Folders of finished runs.
    fold
        Which predictions: test or val.
    """
    found = [spectro.evaluate(run, fold=fold) for run in runs]
    if as_json:
        return put_json(found)
    rows = [
        (
            one["run"],
            one["split"],
            one["items"]["clips"],
            interval(one.get("segment", {}).get("accuracy")),
            interval(one["clip"]["accuracy"]),
            interval(one["clip"]["macro_f1"]),
        )
        for one in found
    ]
    put_table(("run", "split", "clips", "segment accuracy", "clip accuracy", "clip macro-F1"), rows)
    return None


@app.command(sort_key=next(order))
def ensemble(runs: list[Path], /, *, out: Path = Path("runs/ensemble"), weights: str = "", vote: str = "soft") -> None:
    """Let finished runs decide together: each pools its segments to clips, then the clips are combined.

    Example: spectro ensemble runs/resnet50-group runs/cnn5-group --out runs/both

    Parameters
    ----------
    runs
        Folders of at least two runs that were trained on the same split.
    out
        Folder of the new run.
    weights
        One number per run, as in 0.5,0.3,0.2; or fitted, per-class or stacked, by validation. By default all equal.
    vote
        Rule by which the runs decide, without weights.
    """
    run = spectro.ensemble(runs, out=out, weights=parse_weights(weights), vote=vote)
    print(f"made {run.path}; its scores: spectro evaluate {run.path}")


@app.command(sort_key=next(order))
def report(runs: list[Path], /, *, out: Path = Path("report.html")) -> None:
    """Write one self-contained HTML page about runs: how good, how sure, on what split, and where they err.

    Example: spectro report runs/resnet50-group runs/both --out report.html

    Parameters
    ----------
    runs
        Folders of finished runs.
    out
        The page.
    """
    print(f"wrote {spectro.report(runs, out=out)}")


@app.command(sort_key=next(order))
def predict(
    run: Path,
    files: list[Path],
    /,
    *,
    device: str = "auto",
    as_json: Json = False,
    as_csv: Annotated[bool, Parameter(name="--csv", negative="")] = False,
) -> int:
    """Classify audio files with a finished run; every setting comes from the run's card.

    Example: spectro predict runs/resnet50-group song.mp3

    Parameters
    ----------
    run
        Folder of a finished run.
    files
        Audio files, or folders of them.
    device
        auto, cpu, cuda or mps.
    as_csv
        Print CSV: a line per file (start empty) and a line per segment, with the probability of every class.
    """
    said = spectro.predict(run, files, device=device, progress=not (as_json or as_csv))
    answers = said.to_dict()
    if as_json:
        put_json({"run": str(run), **answers})
    elif as_csv:
        write = csv.writer(sys.stdout, lineterminator="\n").writerow
        write(("file", "start", "label", "probability", *answers["labels"]))
        for answer in answers["files"]:
            for one in ({**answer, "start": ""}, *answer["segments"]):
                chances = (f"{one['probabilities'][label]:.6f}" for label in answers["labels"])
                write((answer["file"], one["start"], one["label"], f"{one['probability']:.6f}", *chances))
    else:
        rows = [
            (answer["file"], answer["label"], f"{answer['probability']:.2f}", timeline(answer["segments"]))
            for answer in answers["files"]
        ]
        put_table(("file", "label", "probability", "timeline"), rows)
    return tell_failed(said.failed)


def parse_weights(text: str) -> Any:
    """Return None, a way of fitting, or numbers; raises ConfigError when it is neither."""
    if not text or text[0].isalpha():
        return text or None
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise ConfigError(f"weights are '{text}', but must be numbers with commas between, as in 0.5,0.5") from None


def timeline(segments: Sequence[dict[str, Any]]) -> str:
    """Say what was heard when, as `"0:00 rock, 0:30 jazz"`: one entry for each change of label."""
    heard = [(label, next(alike)) for label, alike in groupby(segments, key=lambda segment: segment["label"])]
    return ", ".join(f"{int(one['start'] // 60)}:{int(one['start'] % 60):02} {label}" for label, one in heard)


def interval(estimate: dict[str, float | None] | None) -> str:
    """Format a metric as `"0.74 (0.61-0.85)"`."""
    if estimate is None:
        return "-"
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} ({low:.2f}-{high:.2f})"


def put_json(value: object) -> None:
    """Print JSON on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def put_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table that fits the terminal."""
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*map(str, row))
    Console(markup=False, emoji=False, highlight=False).print(table)


def tell_failed(failed: Sequence[Failure]) -> int:
    """Name each file that could not be used, one per line of standard error; return the exit code."""
    for failure in failed:
        fail(f"{failure.reason}: {failure.message}")
    if failed:
        fail(f"{len(failed)} of the files could not be used")
    return SOME_FAILED if failed else 0
