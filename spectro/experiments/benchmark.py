"""Benchmark: recipes trained on the same splits of the same segments, and compared in one table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, DataError, RunError, SpectroError
from spectro.core.files import digest, read_document, write_document
from spectro.core.records import NanAsNull, Record
from spectro.core.runs import Run
from spectro.data.store import open_store
from spectro.evaluation.evaluate import by_level, compute_metrics
from spectro.evaluation.metrics import METRICS, ones
from spectro.evaluation.results import Comparison, FailedSystem, ModelRow, Scores, SystemFacts
from spectro.evaluation.statistics import BootstrapConfig
from spectro.experiments.protocol import (
    ALIASES,
    TrainOptions,
    data_for,
    ensure_split,
    fit_seconds,
    over_seeds,
    require_results_folder,
    train_seeds,
)
from spectro.experiments.recipes import Recipe, select
from spectro.inference.classifier import load_classifier
from spectro.training.dataset import TrainingData

TIMING_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Timing(Record):
    """What only a loaded model shows; kept beside its run, as `<run>.timing.json`."""

    card: str
    """Checksum of the run's card when this was measured."""
    train_auc: NanAsNull
    """ROC-AUC on the training segments, 0..1; nan where they have one class."""
    predict_ms: float
    """Time to classify one segment, in milliseconds."""


@dataclass(frozen=True, kw_only=True)
class _Setup:
    """One split of one cut of the clips, on which all recipes are trained."""

    data: DataFolder
    config_id: str
    split: str
    title: str
    """The split, with the length of a segment where several are compared."""


def compare_recipes(
    data: DataFolder | Path | str,
    *,
    recipes: str = "all",
    splits: Sequence[str] = ("group",),
    seconds: Sequence[float] = (),
    seeds: int = 1,
    epochs_cap: int = 0,
    out: Path | str = "runs/systems",
    weights: str = "auto",
    config_id: str | None = None,
    config: BootstrapConfig | None = None,
    log: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> Comparison:
    """Train systems of the studies on the same splits and evaluate them with the same statistics.

    Finished runs are not trained again, so the call can be repeated after an interruption, or for more seeds.

    Parameters
    ----------
    data
        Folder that `render` made; all systems get its segments.
    recipes
        What `recipes.select` takes: `all`, letters of studies, or names.
    splits
        Names of splits in `data`; `group` (`grouped`), `clip` and `segment` (`leaky`) are made if they are missing.
    seconds
        Lengths of the segments that clips are cut into, each rendered into `<data>/variants` if `data` has others;
        splits of clips are the same for every length. None for the segments of `data`.
    seeds
        Number of trainings of each system; metrics are means over them, intervals are over groups of clips.
    epochs_cap
        Longest stage of a network's training, in epochs; 0 for what the recipe states.
    out
        Folder of the runs, `<out>/<split>/<recipe>-<seed>`; with `seconds`, `<out>/<split>-<seconds>s/<recipe>-<seed>`.
    weights
        First weights of pretrained backbones, as in `finetune`.
    config_id
        Which spectrograms, when `data` holds several configurations.
    config
        How intervals are drawn.
    log
        Called with a line of text as each system is finished.
    progress
        Draw progress bars.

    Returns
    -------
    Comparison
        A row per system and split, each with `system`; systems that could not be trained in `failed`, and in `notes`
        what a reader of the table must know.
    """
    options = TrainOptions(seeds=seeds, epochs_cap=epochs_cap, weights=weights, progress=progress)
    chosen, data, out = select(recipes), DataFolder.open(data), require_results_folder(out)
    setups = list(_setups(data, splits, seconds, config_id, log, progress))
    models: list[ModelRow] = []
    failed: list[FailedSystem] = []
    for setup, recipe in product(setups, chosen):
        try:
            row = _train_and_evaluate(recipe, setup, out, options, config or BootstrapConfig())
        except SpectroError as error:
            failed.append(FailedSystem(recipe=recipe.name, split=setup.title, message=str(error)))
            log(f"{recipe.name} on {setup.title}: failed: {error}")
            continue
        models.append(row)
        log(f"{recipe.name} on {setup.title}: clip accuracy {row.clip.accuracy.value:.3f}")
    notes = [f"{system.recipe} on {system.split} could not be trained: {system.message}" for system in failed]
    if epochs_cap:
        notes.append(f"No stage of a network's training was longer than {epochs_cap} epochs.")
    return Comparison(models=tuple(models), notes=tuple(notes), failed=tuple(failed))


def _setups(
    data: DataFolder,
    splits: Sequence[str],
    seconds: Sequence[float],
    config_id: str | None,
    log: Callable[[str], None],
    progress: bool,
) -> Iterator[_Setup]:
    """Yield each split of each length of segments; what is missing is split and rendered."""
    rendered = open_store(data, config_id).config
    for name, length in product((ALIASES.get(split, split) for split in splits), seconds or (None,)):
        ensure_split(data, name, config_id)
        wanted = rendered
        if length is not None:
            wanted = replace(rendered, segment=replace(rendered.segment, seconds=length))
        yield _Setup(
            data=data_for(data, wanted, name, config_id, log, progress),
            config_id=wanted.config_id(),
            split=name,
            title=name if length is None else f"{name}-{length:g}s",
        )


def _train_and_evaluate(
    recipe: Recipe, setup: _Setup, out: Path, options: TrainOptions, config: BootstrapConfig
) -> ModelRow:
    """Return the row of one system: metrics over all its seeds, groups of clips resampled with all of theirs."""
    place = out / setup.title / recipe.name
    runs = train_seeds(recipe, setup.data, out=place, split=setup.split, config_id=setup.config_id, options=options)
    timings = [_add_timing(run, recipe, setup.data) for run in runs]
    card = runs[0].card
    joined = over_seeds(runs, "test")
    levels = {
        name: compute_metrics(level, config) for name, level in by_level(joined).items() if name in ("segment", "clip")
    }
    return ModelRow(
        name=recipe.name,
        kind=card.kind,
        parameters=card.model.parameters if card.model else None,
        split=card.split.title,
        clips=levels["clip"].n // len(runs),
        groups=len(set(joined.groups)),
        leaking_groups=card.split.statistics.leaking_groups,
        segment=Scores.of(levels["segment"]) if "segment" in levels else None,
        clip=Scores.of(levels["clip"]),
        system=_system_facts(recipe, runs, timings, options),
    )


def _system_facts(recipe: Recipe, runs: Sequence[Run], timings: Sequence[Timing], options: TrainOptions) -> SystemFacts:
    accuracies = [_clip_accuracy(run) for run in runs]
    feature, _ = runs[0].card.of_model()
    return SystemFacts(
        study=recipe.study,
        reported=recipe.reported,
        protocol=recipe.protocol,
        note=recipe.note,
        seconds=feature.segment.seconds,
        seeds=len(runs),
        deviation=statistics.stdev(accuracies) if len(runs) > 1 else None,
        epochs_cap=options.epochs_cap or None,
        train_auc=statistics.fmean(timing.train_auc for timing in timings),
        fit_seconds=fit_seconds(runs),
        predict_ms=statistics.fmean(timing.predict_ms for timing in timings),
    )


def _clip_accuracy(run: Run) -> float:
    clips = run.predictions("test").pool()
    return float((clips.predicted == clips.truth).mean())


def _add_timing(run: Run, recipe: Recipe, data: DataFolder) -> Timing:
    """Return the timing of a run, measured and written beside it unless it is there and of this very card."""
    path, card = run.path.with_name(f"{run.path.name}.timing.json"), digest(run.card_path)
    try:
        timing = Timing.from_dict(read_document(path, "timing", TIMING_VERSION, remedy="it is measured again"))
        if timing.card == card:
            return timing
    except (ConfigError, DataError):
        pass  # not measured yet, or damaged
    if path.is_dir():
        raise RunError(f"{path} is a folder, but holds the time that {run.path} takes; move it away")
    timing = _measure(run, recipe, data, card)
    write_document(path, "timing", TIMING_VERSION, timing.to_dict())
    return timing


def _measure(run: Run, recipe: Recipe, data: DataFolder, card: str) -> Timing:
    # By the run's card, not by the recipe: these are the very segments that it was trained on.
    dataset = TrainingData.open(
        data, run.card.split.name, run.card.data.config_id, recipe.reads, recipe.feature_config()
    )
    classifier, train = load_classifier(run), dataset.subsets["train"]
    began = time.perf_counter()
    probs = classifier.predict_proba(dataset.arrays()[train])
    seconds = time.perf_counter() - began
    predictions = dataset.predictions(train, probs)
    train_auc = float(METRICS["roc_auc"](predictions, ones(predictions))[0])
    return Timing(card=card, train_auc=train_auc, predict_ms=1000 * seconds / len(train))
