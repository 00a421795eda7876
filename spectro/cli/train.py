"""Commands that make models: what there is to choose from, and training."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, ArgumentCollection, Parameter, Token

import spectro
from spectro.cli.app import SOME_FAILED, TRAINING, Flag, Json, app, fields, interval, order, put_json, put_table, speaks
from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.errors import ConfigError
from spectro.training.presets import PRESETS, settings_of

if TYPE_CHECKING:
    from spectro.core.runs import Run


@app.command(group=TRAINING, sort_key=next(order))
def models(
    pattern: Annotated[str, Parameter(name="--filter")] = "", *, show: str | None = None, as_json: Json = False
) -> None:
    """List models with what they eat, their size, their cost, and whether weights are at hand.

    Example: spectro models "resnet*"

    Example: spectro models --show resnet50

    Parameters
    ----------
    pattern
        Names to list, * for anything; by default our own networks and those whose weights are at hand.
    show
        One model, with all that is known of it.
    """
    from spectro.models.catalogue import catalogue, entry

    if show is not None:
        facts = dataclasses.asdict(entry(show))
        return put_json(facts) if as_json else put_table(("fact", "value"), facts.items())
    entries = list(catalogue(pattern))
    if as_json:
        return put_json([dataclasses.asdict(entry) for entry in entries])
    rows = [(one.name, f"{one.parameters / 1e6:.2f} M", f"{one.gmacs:.2f}", one.weights, one.eats) for one in entries]
    put_table(("model", "parameters", "GMACs", "weights", "eats"), rows)
    return None


def fill_in(program: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Set the options that were not given: by --preset, then as in the card of the run that --like names."""

    def given(option: str) -> str:
        tokens = arguments[option].tokens
        return tokens[0].value if tokens else ""

    def fill(values: Mapping[str, Any], source: str) -> None:
        for name, value in values.items():
            option = "--" + name.replace("_", "-")
            if not arguments[option].tokens:
                arguments[option].append(Token(keyword=option, value=str(value), source=source))

    preset, like = given("--preset"), given("--like")
    fill(PRESETS.get(preset, {}), f"--preset {preset}")  # an unknown one is complained of when it is converted
    if like:
        network, config, split = settings_of(like)
        settings = network.to_dict() | config.to_dict() | {"split": split}
        fill({"backbone": settings.pop("name"), **settings}, f"--like {like}")


@app.command(group=TRAINING, sort_key=next(order), config=fill_in)
def finetune(
    data: Path,
    /,
    *,
    model: str | None = None,
    network: Annotated[ModelConfig, fields("Model", name="backbone")] = ModelConfig(),  # noqa: B008
    weights: str = "auto",
    split: str = "group",
    out: Path | None = None,
    config_id: str | None = None,
    preset: Literal["quick", "standard", "thorough"] = "standard",
    like: Path | None = None,
    seeds: int = 1,
    tensorboard: Flag = False,
    mlflow: Flag = False,
    config: Annotated[FinetuneConfig, fields("Training")] = FinetuneConfig(),  # noqa: B008
) -> None:
    """Train a model: the head on a frozen backbone, then all layers at a lower rate; or a custom CNN from scratch.

    Example: spectro finetune data --backbone resnet50

    Example: spectro finetune data --model cnn5 --epochs 40

    Example: torchrun --nproc-per-node 2 -m spectro finetune data --backbone resnet50

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
        Folder of the run; by default runs/BACKBONE-SPLIT.
    config_id
        Which pictures, if data holds several configurations.
    preset
        Several settings at once: quick trains the head alone, thorough longer and on more views. What is given as an
        option of its own counts.
    like
        Folder of a finished run, whose model, training and split are the defaults.
    seeds
        How many runs to train, from --seed upwards, each in a folder seed-NUMBER of --out.
    tensorboard
        Also write each epoch for TensorBoard, into the run's folder.
    mlflow
        Also log each epoch to MLflow.
    """
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}, but must be at least 1")
    network = dataclasses.replace(network, name=model) if model is not None else network
    out = out or Path("runs", f"{network.name}-{split}")
    track = [name for name, wanted in (("tensorboard", tensorboard), ("mlflow", mlflow)) if wanted]
    runs = [
        spectro.finetune(
            data,
            out=out / f"seed-{seed}" if seeds > 1 else out,
            model=network,
            config=dataclasses.replace(config, seed=seed),
            split=split,
            weights=weights,
            config_id=config_id,
            track=track,
            progress=True,
        )
        for seed in range(config.seed, config.seed + seeds)
    ]
    if not speaks():
        return
    for run in runs:
        print(f"trained {run.path}; its scores: spectro evaluate {run.path}")
    if len(runs) > 1:
        put_spread(runs)


def put_spread(runs: Sequence[Run]) -> None:
    """Print mean and deviation of the test figures of runs that differ in their seed."""
    from spectro.evaluation.crossval import summarize

    spread = summarize(runs)["spread"]
    rows = [
        (f"{level} {name}", f"{figure['mean']:.3f}", f"{figure['deviation']:.3f}")
        for level, figures in spread.items()
        for name, figure in figures.items()
    ]
    put_table((f"test figure of {len(runs)} seeds", "mean", "deviation"), rows)


@app.command(group=TRAINING, sort_key=next(order))
def sweep(
    data: Path,
    /,
    *,
    recipe: str,
    settings: Annotated[Sequence[str], Parameter(name="--set")] = (),
    name: str = "",
    split: str = "group",
    seeds: int = 1,
    epochs_cap: int = 0,
    weights: str = "auto",
    config_id: str | None = None,
    runs: Path = Path("runs/sweeps"),
    as_json: Json = False,
) -> int:
    """Train a recipe under every combination of settings, and choose the best on validation; resumable.

    Example: spectro sweep data --recipe A-cnn --set mfcc.n_fft=512,1024 --set mfcc.hop_length=256,512

    Example: spectro sweep data --recipe A-lstm --name A-grid

    Parameters
    ----------
    data
        Folder that render made.
    recipe
        What to train; spectro recipes lists them.
    settings
        A setting and its values, as in mfcc.n_fft=512,1024; may be repeated. The part before the dot is the recipe's
        feature, segment, network or training. Other segments and pictures are rendered anew, into DATA/variants.
    name
        A sweep of a study instead: A-grid.
    split
        Name of the split; group, clip and segment are made if they are missing.
    seeds
        Number of trainings of each cell.
    epochs_cap
        Longest stage of a training, in epochs; 0 = what the recipe says.
    weights
        First weights of pretrained backbones: auto, none or hub.
    config_id
        Which pictures, if data holds several configurations.
    runs
        Folder of the runs, and of sweep.csv, .json and .svg, in a folder per recipe and split.
    """
    from spectro.experiments.grid import parse_setting

    parsed = [parse_setting(one) for one in settings]
    twice = [one for one, _ in parsed if [other for other, _ in parsed].count(one) > 1]
    if twice:
        raise ConfigError(f"--set names {twice[0]} twice; give all its values at once, with commas between")
    found = spectro.sweep(
        data,
        recipe=recipe,
        settings=dict(parsed),
        name=name,
        split=split,
        seeds=seeds,
        epochs_cap=epochs_cap,
        weights=weights,
        config_id=config_id,
        out=runs,
        tell=lambda line: print(line, file=sys.stderr),
        progress=True,
    )
    if as_json:
        put_json(found)
    else:
        put_cells(found)
    return SOME_FAILED if found["failed"] else 0


def put_cells(found: Mapping[str, Any]) -> None:
    """Print the cells of a sweep, and which one is chosen."""
    from spectro.core.formatting import format_value

    rows = [
        (
            *map(format_value, one["settings"].values()),
            interval(one["validation"] and one["validation"]["accuracy"]),
            interval(one["test"]["accuracy"]),
            "-" if one["figure"] is None else f"{one['figure']:.2f}",
            "chosen" if one == found["chosen"] else "",
        )
        for one in found["cells"]
    ]
    rows += [(*map(format_value, one["settings"].values()), "failed", "", "", "") for one in found["failed"]]
    short = [one.partition(".")[2] for one in found["settings"]]
    titles = short if len(set(short)) == len(short) else found["settings"]
    put_table((*titles, "validation", "test", "study", ""), rows)
    best = found["chosen"]
    if best:
        said = f"the test accuracy to quote is {interval(best['test']['accuracy'])}"
        print(f"chosen on validation, whose best of {len(found['cells'])} flatters; {said}")
    elif found["cells"]:
        print("no cell is chosen: the split has no validation clips, and choosing on test would flatter")
    print(f"wrote {', '.join(found['files'])}")
