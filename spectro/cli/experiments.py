"""The group `bench`: many systems, or many settings of one, trained under the same protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

import spectro
from spectro.cli.app import SOME_FAILED, Json, Several, command, interval, log, number, put_json, put_table
from spectro.cli.bounds import EpochsCap, Lengths, Seeds
from spectro.cli.outputs import MODEL_COLUMNS, TABLES, require_file, require_folder
from spectro.core.errors import ConfigError

if TYPE_CHECKING:
    from spectro.evaluation.results import Comparison
    from spectro.experiments.results import SweepCell, SweepResult


@command("bench recipes")
def recipes(*names: str, as_json: Json = False) -> None:
    """List the published systems that bench run can train, with the accuracies their studies report.

    Example: spectro bench recipes C

    Parameters
    ----------
    names
        Letters of studies, or names; by default all.
    """
    from spectro.experiments.recipes import select

    selected = select(",".join(names) or "all")
    if as_json:
        return put_json([recipe.to_dict() for recipe in selected])
    rows = [
        (
            recipe.name,
            recipe.classical or recipe.model or recipe.name,
            " ".join([recipe.feature, *(f"{key}={value}" for key, value in recipe.settings.items())]),
            "-" if recipe.reported is None else f"{recipe.reported:.3f}",
            recipe.note,
        )
        for recipe in selected
    ]
    put_table(("recipe", "model", "feature", "reported", "note"), rows)
    for study, title, protocol in dict.fromkeys((one.study, one.title, one.protocol) for one in selected):
        print(f"{study}: {title}. {protocol}")
    return None


@command("bench run")
def run(
    data: Path,
    /,
    *,
    recipes: Annotated[Sequence[str], Several] = ("all",),
    split: Annotated[Sequence[str], Several] = ("group",),
    seconds: Lengths = (),
    seeds: Seeds = 1,
    epochs_cap: EpochsCap = 0,
    weights: str = "auto",
    config_id: str | None = None,
    out: Path = Path("runs/systems"),
    format: Literal["table", "md", "tex", "csv", "json"] = "table",
) -> int:
    """Train published systems on the same splits and compare them in one table; resumes where it stopped.

    Example: spectro bench run data --recipes all --seeds 3

    Example: spectro bench run data --recipes D --split group segment --seconds 3 10

    Parameters
    ----------
    data
        Folder made by spectro render.
    recipes
        What to train: all, letters of studies (C E), or names (C-cnn E-lstm); spectro bench recipes lists them.
    split
        Names of splits; group, clip and segment are made if they are missing.
    seconds
        Segment lengths to compare, in seconds; by default the one of data.
    seeds
        Number of trainings of each system.
    epochs_cap
        Longest stage of a training, in epochs; 0 = as in the recipe.
    weights
        Pretrained weights of backbones: auto, none or hub.
    config_id
        Which spectrograms, if data holds several configurations.
    out
        Folder of the runs, and of the table as systems.csv, .json, .tex and .md.
    format
        What to print: a table to read, or text for papers and programs.
    """
    from spectro.core.files import write_text
    from spectro.inference.batches import keep_memory
    from spectro.reports.tables import FORMATS

    require_folder(out, "results")
    for kind in TABLES:
        require_file(out / f"systems.{kind}", kind, columns=MODEL_COLUMNS)
    keep_memory()
    comparison = spectro.compare_recipes(
        data,
        recipes=",".join(recipes),
        splits=split,
        seconds=seconds,
        seeds=seeds,
        epochs_cap=epochs_cap,
        out=out,
        weights=weights,
        config_id=config_id,
        log=log,
        progress=True,
    )
    texts = {name: write(comparison) for name, write in FORMATS.items()}
    for name, text in texts.items():
        write_text(out / f"systems.{name}", text)
    if format == "table":
        put_systems(comparison)
    else:
        print(texts[format], end="")
    return SOME_FAILED if comparison.failed else 0


@command("bench sweep")
def sweep(
    data: Path,
    /,
    *,
    recipe: str,
    settings: Annotated[Sequence[str], Parameter(name="--set")] = (),
    preset: str = "",
    split: str = "group",
    seeds: Seeds = 1,
    epochs_cap: EpochsCap = 0,
    weights: str = "auto",
    config_id: str | None = None,
    out: Path = Path("runs/sweeps"),
    as_json: Json = False,
) -> int:
    """Train a recipe with every combination of settings and choose the best on validation; resumes where it stopped.

    Example: spectro bench sweep data --recipe A-cnn --set mfcc.n_fft=512,1024

    Example: spectro bench sweep data --recipe A-lstm --preset A-grid

    Parameters
    ----------
    data
        Folder made by spectro render.
    recipe
        What to train; spectro bench recipes lists them.
    settings
        A setting and its values, as in mfcc.n_fft=512,1024; repeat the option for more settings. The part before the
        dot is the recipe's feature, segment, network or training.
    preset
        A sweep that a study made, instead of --set: A-grid.
    split
        Name of the split; group, clip and segment are made if they are missing.
    seeds
        Number of trainings of each combination.
    epochs_cap
        Longest stage of a training, in epochs; 0 = as in the recipe.
    weights
        Pretrained weights of backbones: auto, none or hub.
    config_id
        Which spectrograms, if data holds several configurations.
    out
        Folder of the runs, and of sweep.csv, .json and .svg, in one folder per recipe and split.
    """
    from spectro.experiments.grid import parse_setting
    from spectro.inference.batches import keep_memory

    parsed = [parse_setting(text) for text in settings]
    names = [name for name, _ in parsed]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise ConfigError(f"--set names {repeated} twice; give all its values at once, separated by commas")
    require_folder(out, "results")
    keep_memory()
    result = spectro.sweep(
        data,
        recipe=recipe,
        settings=dict(parsed),
        preset=preset,
        split=split,
        seeds=seeds,
        epochs_cap=epochs_cap,
        weights=weights,
        config_id=config_id,
        out=out,
        log=log,
        progress=True,
    )
    if as_json:
        put_json(result.to_dict())
    else:
        put_cells(result)
    return SOME_FAILED if result.failed else 0


def put_systems(comparison: Comparison) -> None:
    """Print systems, the best first; split and segment length stand beside each only where they differ."""
    models = sorted(comparison.models, key=lambda model: -model.clip.accuracy.value)
    tests = [f"{m.split}, segments of {m.system.seconds:g} s" if m.system else m.split for m in models]
    same = len(set(tests)) == 1
    rows = [
        (
            model.name if same else f"{model.name}\n{test}",
            interval((model.segment or model.clip).accuracy),
            interval(model.clip.accuracy),
            number(model.clip.macro_f1.value),
            number(model.system.reported if model.system else None) or "-",
        )
        for model, test in zip(models, tests, strict=True)
    ]
    put_table(("recipe", "segment accuracy", "clip accuracy", "macro-F1", "reported"), rows)
    if same:
        print(f"{models[0].clips} test clips, split by {tests[0]}")
    for note in comparison.notes:
        print(note)


def put_cells(result: SweepResult) -> None:
    """Print the cells of a sweep, and which one is chosen."""
    from spectro.core.formatting import format_value

    rows = [
        (
            *map(format_value, cell.settings.values()),
            interval(cell.validation.accuracy if cell.validation else None),
            interval(cell.test.accuracy),
            number(cell.reported) or "-",
            "chosen" if cell == result.chosen else "",
        )
        for cell in result.cells
    ]
    rows += [(*map(format_value, cell.settings.values()), "failed", "", "", "") for cell in result.failed]
    short = [name.partition(".")[2] for name in result.settings]
    titles = short if len(set(short)) == len(short) else result.settings
    put_table((*titles, "validation", "test", "reported", ""), rows)
    if result.chosen:
        put_chosen(result.chosen, len(result.cells))
    elif result.cells:
        print("no setting is chosen: the split has no validation clips, and choosing on test would be optimistic")
    print(f"wrote {', '.join(result.files)}")


def put_chosen(cell: SweepCell, count: int) -> None:
    """Print the result that may be reported."""
    print(
        f"chosen on validation as the best of {count}, so its validation accuracy is optimistic; report its test "
        f"accuracy, {interval(cell.test.accuracy)}"
    )
