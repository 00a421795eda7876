"""Commands about models: training, and the group `models`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, ArgumentCollection, Parameter, Token

import spectro
from spectro.cli.app import Flag, Json, command, command_line, fields, interval, is_first_process, put_json, put_table
from spectro.cli.bounds import Seeds, between, require_device
from spectro.cli.data import feature_config
from spectro.cli.outputs import require_file, require_folder
from spectro.cli.stopping import after_stop
from spectro.core.config import ClassicalConfig, FinetuneConfig, ModelConfig
from spectro.core.errors import ConfigError
from spectro.training.presets import PRESETS, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from spectro.core.runs import Run
    from spectro.evaluation.results import Estimate, Level, RunSummary

CLASSICAL = "Classical models"


def fill_in(program: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Set the options that were not given: by --preset, then from the card of the run that --from names."""

    def given(option: str) -> str:
        tokens = arguments[option].tokens
        return tokens[0].value if tokens else ""

    def fill(values: Mapping[str, Any], source: str) -> None:
        for name, value in values.items():
            option = "--" + name.replace("_", "-")
            if value is not None and not arguments[option].tokens:
                arguments[option].append(Token(keyword=option, value=str(value), source=source))

    preset, run = given("--preset"), given("--from")
    fill(PRESETS.get(preset, {}), f"--preset {preset}")  # an unknown one is reported when it is converted
    if run:
        network, config, split = settings_of(run)
        settings = network.to_dict() | config.to_dict() | {"split": split}
        fill({"backbone": settings.pop("name"), **settings}, f"--from {run}")


@command("finetune", config=fill_in)
def finetune(
    data: Path,
    /,
    *,
    model: str | None = None,
    network: Annotated[ModelConfig, fields("Network", name="backbone")] = ModelConfig(),  # noqa: B008
    feature: str = "auto",
    stats_set: str = "",
    weights: str = "auto",
    split: str = "group",
    out: Path | None = None,
    config_id: str | None = None,
    preset: Literal["quick", "standard", "thorough"] = "standard",
    like: Annotated[Path | None, Parameter(name="--from")] = None,
    seeds: Seeds = 1,
    tensorboard: Flag = False,
    mlflow: Flag = False,
    wandb: Flag = False,
    config: Annotated[FinetuneConfig, fields("Training")] = FinetuneConfig(),  # noqa: B008
    search: Annotated[bool, Parameter(group=CLASSICAL)] = True,
    search_folds: Annotated[int, Parameter(group=CLASSICAL, validator=between(2, 1000))] = ClassicalConfig().folds,
) -> None:
    """Fine-tune a pretrained network (first its head, then all layers), or train a model from scratch.

    Example: spectro finetune data --backbone resnet50

    Example: spectro finetune data --model cnn5 --epochs 40

    Example: spectro finetune data --model svm --feature stats

    Example: spectro finetune data --model logistic --feature backbone --backbone resnet50

    Example: torchrun --nproc-per-node 2 -m spectro finetune data --backbone resnet50

    Parameters
    ----------
    data
        Folder made by spectro render and spectro split.
    model
        The same as --backbone, or a classical model such as svm; spectro models list shows all.
    feature
        Input of the model: mel (the spectrogram images), mfcc, chroma, stats, ...; auto is mel for networks, stats for
        classical models, and for networks pretrained on sound what they were trained on. With a classical model,
        backbone is what the frozen --backbone makes of each segment.
    stats_set
        What stats summarizes: C, D, D57, or feature names joined by + (mfcc+chroma); C by default.
    weights
        Pretrained weights: auto (an installed package, a local cache, the hub), none, hub, or a file.
    split
        Name of the split.
    out
        Folder of the run; by default runs/MODEL-SPLIT.
    config_id
        Which spectrograms, if data holds several configurations.
    preset
        Several settings at once: quick solves a regression on several stages of the frozen backbone, thorough trains
        longer with more augmented views. Options given explicitly take precedence.
    like
        Folder of a finished run whose model, training settings and split become the defaults.
    seeds
        Number of runs to train, with seeds counting up from --seed, each in a folder seed-NUMBER of --out.
    tensorboard
        Also write each epoch for TensorBoard, into the run's folder.
    mlflow
        Also log each epoch to MLflow.
    wandb
        Also log each epoch to Weights & Biases; with WANDB_MODE=offline into the run's folder.
    search
        Search the model's settings by cross-validation on the training set.
    search_folds
        Number of folds of that cross-validation; no group is in two of them.
    """
    require_device("--device", config.device)
    name = model or network.name
    wanted = {"tensorboard": tensorboard, "mlflow": mlflow, "wandb": wandb}
    tracking = [name for name, is_wanted in wanted.items() if is_wanted]
    fitting = ClassicalConfig(search=search, folds=search_folds)
    probing = feature == "backbone"
    network = network if probing else dataclasses.replace(network, name=name)
    train, settings, default = trainer(name, network, weights, tracking, config, fitting, probing=probing)
    feature = default if feature == "auto" else feature
    out = require_folder(out or Path("runs", f"{name}-{split}"), "run")
    of_seeds = [dataclasses.replace(settings, seed=config.seed + number) for number in range(seeds)]
    runs = [
        train(
            data,
            out=out / f"seed-{one.seed}" if seeds > 1 else out,
            config=one,
            feature=feature,
            feature_config=feature_config(feature, stats_set),
            split=split,
            config_id=config_id,
            progress=True,
            command=command_line.get(),
        )
        for one in of_seeds
    ]
    if is_first_process():
        put_runs(runs)


def trainer(
    name: str,
    network: ModelConfig,
    weights: str,
    tracking: Sequence[str],
    config: FinetuneConfig,
    fitting: ClassicalConfig,
    *,
    probing: bool,
) -> tuple[Callable[..., Run], FinetuneConfig | ClassicalConfig, str]:
    """Return the function that trains this kind of model, its settings, and the feature that it takes by default.

    When `probing`, the model `name` is a classical one that takes the features of `network`.

    Raises
    ------
    ConfigError
        an option was given that this kind of model does not have.
    """
    from spectro.models.classical import METHODS

    if name not in METHODS:
        if probing:
            raise ConfigError(
                f"the feature backbone is for classical models ({', '.join(METHODS)}), but '{name}' is a network; "
                f"say --model logistic --backbone {name}"
            )
        if fitting != ClassicalConfig():
            raise ConfigError(f"--no-search and --search-folds are for classical models, but '{name}' is a network")
        from spectro.inference.batches import keep_memory
        from spectro.models import EMBEDDERS

        keep_memory()
        default = EMBEDDERS[name].feature if name in EMBEDDERS else "mel"
        return partial(spectro.finetune, model=network, weights=weights, track=tracking), config, default
    differing = [
        *([] if probing else network.differences(ModelConfig(name=name))),
        *config.differences(FinetuneConfig(seed=config.seed)),
        *(["weights"] if weights != "auto" and not probing else []),
        *tracking,
    ]
    if differing:
        option = "--" + differing[0].partition(":")[0].replace("_", "-")
        raise ConfigError(f"{option} is for networks, but '{name}' is a classical model; leave it out")
    after_stop.set("the same command fits this model anew")
    backbone = network if probing else None
    return partial(spectro.train_classical, model=name, backbone=backbone, weights=weights), fitting, "stats"


def put_runs(runs: Sequence[Run]) -> None:
    """Print where finished runs are with what is known of them, and, of several seeds, the spread of test metrics."""
    for run in runs:
        put_history(run)
        print(f"trained {run.path}; next: spectro evaluate {run.path}")
    if len(runs) > 1:
        put_spread(f"test metric of {len(runs)} seeds", spectro.summarize(runs))


def put_history(run: Run) -> None:
    """Print the validation accuracy of a run beside that of the cheap baseline, and what its training warned of."""
    history = run.card.history
    if history is None:
        return
    if run.has_predictions("val"):
        clips = run.predictions("val").pool(run.card.vote)
        accuracy = float((clips.predicted == clips.truth).mean())
        beside = (
            "" if history.baseline is None else f" (random forest on cepstral coefficients: {history.baseline:.3f})"
        )
        print(f"validation accuracy {accuracy:.3f} of {len(clips)} clips{beside}")
    for line in history.warnings:
        print(f"warning: {line}")


@command("models list")
def list_models(pattern: str = "", /, *, as_json: Json = False) -> None:
    """List models with their input, parameters, GMACs and whether weights are installed.

    Example: spectro models list "resnet*"

    Parameters
    ----------
    pattern
        Names to list, * for anything; by default our own networks, classical models and common timm networks.
    """
    from spectro.models.catalogue import catalogue

    entries = list(catalogue(pattern))
    if as_json:
        return put_json([dataclasses.asdict(entry) for entry in entries])
    rows = [
        (
            entry.name,
            parameter_count(entry.parameters),
            gmacs(entry.gmacs),
            "package" if entry.weights.startswith("package") else entry.weights,
            entry.input.partition(" [")[0],
        )
        for entry in entries
    ]
    put_table(("model", "parameters", "GMACs", "weights", "input"), rows)
    return None


@command("models show")
def show_model(name: str, /, *, as_json: Json = False) -> None:
    """Show everything that is known about one model.

    Example: spectro models show resnet50

    Parameters
    ----------
    name
        Name of the model, as finetune --model takes it.
    """
    from spectro.models.catalogue import entry

    facts = dataclasses.asdict(entry(name))
    if as_json:
        return put_json(facts)
    return put_table(("property", "value"), facts.items())


@command("models card")
def card(run: Path, /, *, out: Path | None = None, data_licence: str = "") -> None:
    """Write the Markdown model card of a run: data, split, metrics with intervals, limits, licences and use.

    Example: spectro models card runs/resnet50-group --data-licence CC-BY-4.0

    Parameters
    ----------
    run
        Folder of an evaluated run.
    out
        The file; by default README.md in the run's folder.
    data_licence
        Licence of the training data.
    """
    from spectro.reports.model_card import save_model_card

    path = require_file(out or run / "README.md", "card")
    print(f"wrote {save_model_card(run, out=path, data_licence=data_licence)}")


@command("models push")
def push(run: Path, target: str, /, *, private: Flag = False, data_licence: str = "") -> None:
    """Upload a run to the Hugging Face hub: weights, card and model card, no checkpoints or predictions.

    Example: spectro models push runs/resnet50-group hf:owner/name

    Parameters
    ----------
    run
        Folder of an evaluated run of one network.
    target
        hf:owner/name; the repository is created if it does not exist.
    private
        Make a new repository private.
    data_licence
        Licence of the training data, for the model card if there is none yet.
    """
    print(f"uploaded to {spectro.push(run, target, private=private, data_licence=data_licence)}")


def parameter_count(count: int | None) -> str:
    """Format a number of weights: exact when small, else in millions; a dash where a model has none to count."""
    if not count:
        return "-"
    return f"{count:,}" if count < 1_000_000 else f"{count / 1e6:.2f} M"


def gmacs(value: float | None) -> str:
    """Format billions of multiply-adds, small ones too; a dash where a model has none to count."""
    return f"{value:.2g}" if value and value < 0.1 else f"{value:.2f}" if value else "-"


def pooled_metric(summary: RunSummary, level: Level, name: str) -> Estimate | None:
    """Return a metric of the pooled clips of folds, if there is one."""
    metrics = summary.pooled and summary.pooled.level(level)
    return metrics.metric(name) if metrics else None


def put_spread(title: str, summary: RunSummary) -> None:
    """Print mean and deviation of each metric over runs, and, of folds, the metrics of all clips pooled."""
    rows = [
        (
            f"{level} {name}",
            f"{spread.mean:.3f}",
            f"{spread.deviation:.3f}",
            *([interval(pooled_metric(summary, level, name))] if summary.pooled else []),
        )
        for level, spreads in summary.spread.items()
        for name, spread in spreads.items()
    ]
    put_table((title, "mean", "deviation", *(["all clips pooled"] if summary.pooled else [])), rows)
