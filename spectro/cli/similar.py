"""The command that finds the nearest clips to a sound, or clips whose neighbours contradict their label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from spectro.cli.app import Flag, Json, command, log, put_json, put_table
from spectro.cli.bounds import Device, between
from spectro.cli.outputs import require_file
from spectro.core.errors import ConfigError

if TYPE_CHECKING:
    from spectro.evaluation.similar import Disagreement
    from spectro.reports.similar import Question

Count = Annotated[int, Parameter(validator=between(1, 1000))]
LISTED = 40
"""Clips with a contradicted label that are listed on a page; the table has all."""


@command("similar")
def similar(
    run: Path,
    files: list[Path] = [],  # noqa: B006  # cyclopts shows no default for it, and it is never changed
    /,
    *,
    index: Annotated[Path, Parameter(name="--in")],
    count: Count = 10,
    mislabelled: Flag = False,
    save: Path | None = None,
    html: Path | None = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find the clips that sound most like a file, by the embedding of a run.

    Example: spectro similar runs/resnet50-group song.mp3 --in data --html neighbours.html

    Example: spectro similar runs/resnet50-group --in data --mislabelled

    Parameters
    ----------
    run
        Folder of a finished run; of an ensemble, its first member is used.
    files
        Audio files whose neighbours are wanted.
    index
        Folder made by spectro render with the run's settings, or an index of it (.npz) that --save wrote.
    count
        Number of neighbours.
    mislabelled
        List the clips of the folder whose nearest neighbours from other groups have another label, instead.
    save
        Keep the index in this .npz file; it is made again when the run or the data changed.
    html
        Write a page on which the neighbours can be looked at and played.
    device
        auto, cpu, cuda or mps.
    """
    from spectro.evaluation.similar import IndexFacts, disagreeing, embed_files, open_index, similarity_index
    from spectro.reports.similar import Question, save_similar_page

    if bool(files) == mislabelled and (mislabelled or save is None):
        raise ConfigError("name files whose neighbours are wanted, or --mislabelled for contradicted labels in --in")
    if html is not None:
        require_file(html, "html", option="--html")
    if save is not None and save.suffix != ".npz":
        raise ConfigError(f"{save} is no index; give --save a name that ends in .npz")
    made = similarity_index(run, index, device=device, save=save) if save else open_index(run, index, device=device)
    contradictions = disagreeing(made, neighbours=count) if mislabelled else ()
    questions = [_question(one) for one in contradictions]
    if files:
        rows = zip(files, embed_files(run, files, device=device), strict=True)
        questions = [Question(name=file.name, file=file, neighbours=made.nearest(row, count)) for file, row in rows]
    if html is not None:
        data = index if index.suffix != ".npz" else Path(IndexFacts.of(index).data)
        title = "Labels that neighbours contradict" if mislabelled else "Sounds like this"
        log(f"wrote {save_similar_page(run, data, questions[:LISTED], html, title=title)}")
    if save is not None:
        log(f"wrote {save} and its note: {len(made)} clips")

    if as_json:
        return put_json([one.to_dict() for one in contradictions] if mislabelled else list(map(_as_json, questions)))
    return _put_contradictions(contradictions, len(made)) if mislabelled else _put(questions)


def _as_json(question: Question) -> dict[str, object]:
    return {"file": str(question.file), "neighbours": [near.to_dict() for near in question.neighbours]}


def _put(questions: list[Question]) -> None:
    for one in questions:
        print(one.name)
        rows = [(near.clip, near.label, near.group, f"{near.distance:.3f}") for near in one.neighbours]
        put_table(("clip", "label", "group", "distance"), rows)


def _put_contradictions(contradictions: Sequence[Disagreement], clips: int) -> None:
    rows = [(one.clip, one.label, one.suggested, f"{one.share:.2f}", f"{one.own_share:.2f}") for one in contradictions]
    put_table(("clip", "label", "neighbours have", "share", "share of its label"), rows)
    print(f"{len(contradictions)} of {clips} clips; listen before you change a label")


def _question(one: Disagreement) -> Question:
    from spectro.reports.similar import Question

    note = f"Labelled {one.label}; {100 * one.share:.0f} % of its neighbours, by weight, are {one.suggested}."
    return Question(name=one.clip, label=one.label, note=note, neighbours=one.neighbours)
