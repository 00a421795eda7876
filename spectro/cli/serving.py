"""Commands that use a finished run on sounds of your own, or pass it on."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import spectro
from spectro.cli.app import SERVING, Flag, Json, app, complain_of, order, put_json, put_table


@app.command(group=SERVING, sort_key=next(order))
def predict(
    run: Path,
    files: list[Path],
    /,
    *,
    overlap: float | None = None,
    abstain: float = 0.0,
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
    overlap
        Share of a segment that the next one repeats, so that more segments vote; by default what the card says.
    abstain
        Probability below which a file is given no label; spectro evaluate --abstain says what that buys.
    device
        auto, cpu, cuda or mps.
    as_csv
        Print CSV: a line per file (start empty) and a line per segment, with the probability of every class.
    """
    said = spectro.predict(
        run, files, overlap=overlap, abstain=abstain, device=device, progress=not (as_json or as_csv)
    )
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
            (answer["file"], answer["label"] or "unsure", f"{answer['probability']:.2f}", timeline(answer["segments"]))
            for answer in answers["files"]
        ]
        put_table(("file", "label", "probability", "timeline"), rows)
    return complain_of(said.failed)


@app.command(group=SERVING, sort_key=next(order))
def explain(
    run: Path,
    file: Path,
    /,
    *,
    out: Path = Path("explained"),
    label: str | None = None,
    start: float | None = None,
    device: str = "auto",
    as_json: Json = False,
) -> None:
    """Show what in a sound decided: Grad-CAM, a check by blacking out, and the sound of only what mattered.

    Example: spectro explain runs/resnet50-group song.mp3 --out explained

    Parameters
    ----------
    run
        Folder of a finished run that holds one network.
    file
        Audio file.
    out
        Folder for the figure, the sounds and the figures.
    label
        Class to explain; by default the one that the file is given.
    start
        A time within the segment to look at, in seconds; by default the segment that speaks most for the class.
    device
        auto, cpu, cuda or mps.
    """
    from spectro.plots.explanation import save_explanation

    made = spectro.explain(run, file, label=label, start=start, device=device)
    figure, *_ = save_explanation(made, out)
    if as_json:
        return put_json({**made.to_dict(), "figure": str(figure)})
    print(f"{made.label}: {made.probability:.2f} at {made.start:g} s, {made.clip_probability:.2f} in the whole file")
    areas = ((order, f"{curve.area:.3f}") for order, curve in made.deletions.items())
    put_table(("blacked out in the order of", "area under the deletion curve (less is better)"), areas)
    print(f"{made.verdict}.")
    print(f"wrote {figure} and the sounds beside it")
    return None


@app.command(group=SERVING, sort_key=next(order))
def card(run: Path, /, *, out: Path | None = None, data_licence: str = "") -> None:
    """Write the Markdown model card of a run: data, split, leaks, figures with intervals, limits, licences, use.

    Example: spectro card runs/resnet50-group --data-licence CC-BY-4.0

    Parameters
    ----------
    run
        Folder of a run that was evaluated.
    out
        The file; by default README.md in the run's folder.
    data_licence
        Licence of the sound that the model learnt from.
    """
    from spectro.reports.model_card import save_card

    print(f"wrote {save_card(run, out=out, data_licence=data_licence)}")


@app.command(group=SERVING, sort_key=next(order))
def push(run: Path, target: str, /, *, private: Flag = False, data_licence: str = "") -> None:
    """Upload a run to the Hugging Face hub: weights, card and model card, never checkpoints or predictions.

    Example: spectro push runs/resnet50-group hf:owner/name

    Parameters
    ----------
    run
        Folder of a finished run that holds one network and was evaluated.
    target
        hf:owner/name; the repository is made if it is not there.
    private
        Make it visible to its owner only, if it is made.
    data_licence
        Licence of the sound that the model learnt from, for the model card if there is none yet.
    """
    print(f"uploaded to {spectro.push(run, target, private=private, data_licence=data_licence)}")


def timeline(segments: Sequence[dict[str, Any]]) -> str:
    """Say what was heard when, as `"0:00 rock, 0:30 jazz"`: one entry for each change of label."""
    heard = [(label, next(alike)) for label, alike in groupby(segments, key=lambda segment: segment["label"])]
    return ", ".join(f"{int(one['start'] // 60)}:{int(one['start'] % 60):02} {label}" for label, one in heard)
