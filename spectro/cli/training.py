"""Commands that make models: what there is to choose from, and training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import spectro
from spectro.cli.shell import TRAINING, Json, app, fields, order, put_json, put_table, speaks
from spectro.core.config import FinetuneConfig, ModelConfig


@app.command(group=TRAINING, sort_key=next(order))
def models(pattern: str = "", /, *, show: str | None = None, as_json: Json = False) -> None:
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


@app.command(group=TRAINING, sort_key=next(order))
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
    if speaks():
        print(f"trained {run.path}; its scores: spectro evaluate {run.path}")
