"""Systems side by side: recipes trained on the same splits of the same segments, and one table of what they reach."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from spectro.core.config import RenderConfig, SplitConfig
from spectro.core.errors import ConfigError, SpectroError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.data.rerender import rerender
from spectro.data.splits import split as make_split
from spectro.data.store import open_store
from spectro.evaluation.compare import FIGURES
from spectro.evaluation.evaluate import by_level, compute_metrics
from spectro.evaluation.metrics import METRICS, ones
from spectro.evaluation.statistics import BootstrapConfig
from spectro.experiments.recipes import Recipe, select
from spectro.inference.classifier import load_classifier
from spectro.training.dataset import TrainingData

ALIASES = {"grouped": "group", "leaky": "segment"}
"""Other names of splits that are made where they are missing."""


def compare_recipes(
    data: Path | str,
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
    tell: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> dict[str, Any]:
    """Train systems of the studies on the same splits and evaluate them with the same statistics.

    Runs that are finished are not trained again, so the call can be repeated after an interruption, or for more seeds.

    Parameters
    ----------
    data
        folder that `render` made; all systems hear its segments.
    recipes
        what `recipes.select` takes: `all`, letters of studies, or names.
    splits
        names of splits in `data`; `group` (`grouped`), `clip` and `segment` (`leaky`) are made if they are missing.
    seconds
        lengths of the pieces that clips are cut into, each rendered into `<data>/variants` if `data` has others; splits
        of clips are the same for every length. None for the pieces of `data`.
    seeds
        number of trainings of each system; figures are means over them, intervals are over groups of clips.
    epochs_cap
        longest stage of a network's training, in epochs; 0 for what the recipe says.
    out
        folder of the runs, `<out>/<split>/<recipe>-<seed>`; with `seconds`, `<out>/<split>-<seconds>s/<recipe>-<seed>`.
    weights
        first weights of pretrained backbones, as in `finetune`.
    config_id
        which pictures, when `data` holds several configurations.
    config
        how intervals are drawn.
    tell
        called with a line of text as each system is finished.
    progress
        draw progress bars.

    Returns
    -------
    `models`: per system and split what `compare` says of a run, and under `system` the study's own figure and protocol,
    seeds, epochs, train AUC and times; `failed`: systems that could not be trained, and why; `notes`: what a reader of
    the table must know beside it.
    """
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}, but must be at least 1")
    chosen = select(recipes)
    drawn = open_store(data, config_id).config
    places = []
    for name, one in product((ALIASES.get(split, split) for split in splits), seconds or (None,)):
        ensure_split(data, name, config_id)
        cut = drawn if one is None else replace(drawn, segment=replace(drawn.segment, seconds=one))
        place = data_for(data, cut, name, config_id, tell, progress)
        places.append((place, cut.config_id(), name, "" if one is None else f"{one:g}s"))
    models: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for (place, pictures, name, length), recipe in product(places, chosen):
        title = "-".join(filter(None, (name, length)))
        try:
            trained = train_seeds(
                recipe,
                place,
                out=Path(out) / title / recipe.name,
                seeds=seeds,
                split=name,
                epochs_cap=epochs_cap,
                weights=weights,
                config_id=pictures,
                progress=progress,
            )
            runs = [_measured(run, recipe, place) for run in trained]
        except SpectroError as error:
            failed.append({"recipe": recipe.name, "split": title, "message": str(error)})
            tell(f"{recipe.name} on {title}: failed: {error}")
            continue
        row = _row(recipe, runs, epochs_cap, config or BootstrapConfig())
        models.append(row)
        tell(f"{recipe.name} on {title}: clip accuracy {row['clip']['accuracy']['value']:.3f}")
    notes = [f"{one['recipe']} on {one['split']} could not be trained: {one['message']}" for one in failed]
    if epochs_cap:
        notes.append(f"No stage of a network's training was longer than {epochs_cap} epochs.")
    return {"models": models, "failed": failed, "notes": notes}


def ensure_split(data: Path | str, name: str, config_id: str | None) -> None:
    """Make one of the plain splits if it is missing; any other name must be there, and training says if it is not."""
    if name in ("group", "clip", "segment") and not (Path(data) / "splits" / f"{name}.csv").exists():
        make_split(data, config=SplitConfig(by=name), name=name, config_id=config_id)  # type: ignore[arg-type]


def train_seeds(recipe: Recipe, data: Path, *, out: Path, seeds: int, **settings: Any) -> list[Run]:
    """Train a recipe once per seed, into `<out>-<seed>`; `settings` are those of `Recipe.train`."""
    return [recipe.train(data, out=out.with_name(f"{out.name}-{seed}"), seed=seed, **settings) for seed in range(seeds)]


def data_for(
    data: Path | str,
    pictures: RenderConfig,
    split: str,
    config_id: str | None,
    tell: Callable[[str], None],
    progress: bool,
) -> Path:
    """Return the data folder whose clips are cut and drawn that way, made if it is missing; tell what is lost."""
    made = rerender(data, pictures, split=split, config_id=config_id, progress=progress)
    if made.failed:
        tell(f"{made.data}: {len(made.failed)} clips cannot be rendered this way, see failed.csv there")
    return made.data


def _measured(run: Run, recipe: Recipe, data: Path | str) -> Run:
    """Note in the card, once, what only a loaded model tells: its AUC in training and how long it takes to answer."""
    card = run.card()
    if "recipe" in card:
        return run
    # By the card, not by the recipe: these are the very segments that it was trained on.
    dataset = TrainingData.open(
        data, card["split"]["name"], card["data"]["pictures"], recipe.feature, recipe.feature_config()
    )
    classifier, train = load_classifier(run), dataset.folds["train"]
    began = time.perf_counter()
    probs = classifier.predict_proba(dataset.arrays()[train])
    seconds = time.perf_counter() - began
    said = dataset.predictions(train, probs)
    note = {
        "name": recipe.name,
        "train_auc": float(METRICS["roc_auc"](said, ones(said))[0]),
        "predict_ms": 1000 * seconds / len(train),
    }
    run.write_card({**card, "recipe": note})
    return run


def _row(recipe: Recipe, runs: Sequence[Run], epochs_cap: int, config: BootstrapConfig) -> dict[str, Any]:
    """Return the line of one system: figures over all its seeds, groups of clips resampled with all of theirs."""
    cards = [run.card() for run in runs]
    joined = over_seeds(runs, "test")
    levels = {name: compute_metrics(level, config) for name, level in by_level(joined).items() if name != "group"}
    accuracies = [_clip_accuracy(run) for run in runs]
    return {
        "name": recipe.name,
        "kind": cards[0]["kind"],
        "parameters": cards[0]["model"]["parameters"],
        "split": cards[0]["split"]["title"],
        "clips": levels["clip"]["n"] // len(runs),
        "groups": len(set(joined.groups)),
        **{level: {figure: found[figure] for figure in FIGURES} for level, found in levels.items()},
        "system": {
            "study": recipe.study,
            "figure": recipe.figure,
            "protocol": recipe.protocol,
            "note": recipe.note,
            "seconds": cards[0]["feature"]["config"]["segment"]["seconds"],
            "seeds": len(runs),
            "deviation": statistics.stdev(accuracies) if len(runs) > 1 else None,
            "epochs_cap": epochs_cap or None,
            "train_auc": statistics.fmean(card["recipe"]["train_auc"] for card in cards),
            "fit_seconds": statistics.fmean(card["history"]["seconds"] for card in cards),
            "predict_ms": statistics.fmean(card["recipe"]["predict_ms"] for card in cards),
        },
    }


def over_seeds(runs: Sequence[Run], fold: str) -> Predictions:
    """Return the predictions of all seeds as one, each seed's under names of its own, the groups those of the data."""
    return Predictions.join(
        [
            replace(
                one,
                ids=tuple(f"{item}#{seed}" for item in one.ids),
                clip_ids=tuple(f"{clip}#{seed}" for clip in one.clip_ids),
            )
            for seed, one in enumerate(run.predictions(fold) for run in runs)
        ]
    )


def _clip_accuracy(run: Run) -> float:
    clips = run.predictions("test").pool()
    return float((clips.predicted == clips.truth).mean())
