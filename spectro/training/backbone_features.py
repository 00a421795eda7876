"""Backbone features (embeddings), frozen or trained, computed once per segment and cached for all that need them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray
from torch import Tensor

from spectro.core.arrays import Floats32
from spectro.core.config import ModelConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError, RunError
from spectro.core.files import digest, replacing
from spectro.core.runs import Run
from spectro.core.tables import Segment
from spectro.data.features import Extraction, FeatureStore, extract
from spectro.data.store import Store, open_store
from spectro.inference.batches import Batches
from spectro.inference.classifier import load_classifier
from spectro.inference.torch_classifier import TorchClassifier
from spectro.models import build_pretrained
from spectro.models.network import Network
from spectro.training.seeds import seeded

FORWARD_BATCH = 32
CPU = torch.device("cpu")

Floats16 = NDArray[np.float16]


def cache_key(**facts: str | int | bool) -> str:
    """Return 16 hexadecimal digits that change with anything the features depend on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@torch.inference_mode()
def cached_backbone_features(
    path: Path,
    extract: Callable[[Tensor], Tensor],
    batches: Batches,
    items: int,
    *,
    epoch: int = 0,
    pooled: bool = True,
    tick: Callable[[int], None] = lambda _: None,
) -> Floats16:
    """Return the features of all items as a memory-mapped file, computed if it is not there yet.

    Parameters
    ----------
    path
        `.npy` file of the cache; used as it is when it exists, for its name holds the key.
    extract
        From inputs `[batch, 1, bands, frames]` to feature maps `[batch, channels, height, width]`; in evaluation mode.
    batches
        The inputs; with augmentation, `epoch` numbers the view.
    items
        Number of items.
    epoch
        View that is computed.
    pooled
        Keep the mean over height and width only: all that a light head looks at.
    tick
        Called with the number of items done.

    Returns
    -------
    Floats16
        `[items, channels, height, width]`; height and width are 1 when pooled.
    """
    if path.exists():
        tick(items)
        return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
    # Written, not mapped: a full disk is then an error instead of a signal.
    with replacing(path) as temporary, temporary.open("wb") as file:
        for batch, x in batches(np.arange(items), epoch):
            maps = extract(x)
            if pooled:
                maps = maps.mean(dim=(2, 3), keepdim=True)
            if not file.tell():
                shape = (items, *maps.shape[1:])
                write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
            file.write(maps.to(torch.float16).cpu().numpy().tobytes())
            tick(len(batch))
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def frozen_features(store: Store, model: ModelConfig, weights: str = "auto") -> Floats32:
    """Return the pooled features of a frozen backbone, from the cache that training uses.

    Parameters
    ----------
    store
        The spectrograms.
    model
        The backbone.
    weights
        Where its weights come from: `auto`, `none`, `hub` or a file.

    Returns
    -------
    Floats32
        Mean of the feature map of each spectrogram, `[items, channels]`.

    Raises
    ------
    WeightsError
        the backbone's weights are not installed and cannot be downloaded.
    """
    arrays = store.spectrograms()
    bands, frames = arrays.shape[1:]
    with seeded(0, CPU):  # random weights are then those of a training with seed 0
        network, origin = build_pretrained(model, 2, (bands, frames), weights)  # the classes of the head play no part
    key = cache_key(
        name=model.name,
        in_chans=model.in_chans,
        weights=origin.sha256 or "random 0",
        what="features",
        pooled=True,
        arrays=store.digest(),
    )
    path = store.path / "features" / f"{model.name}-{key}.npy"
    return _pooled(path, network.eval(), arrays, CPU)


def run_features(
    run: Run, data: DataFolder | Path | str, *, clips: Container[str] | None = None, device: str = "auto"
) -> tuple[tuple[Segment, ...], Floats32]:
    """Return segments and the pooled features that a trained network has for each, cached beside its inputs.

    Parameters
    ----------
    run
        A finished run of one network.
    data
        Data folder with the inputs that the run's card names, or those of other clips.
    clips
        Ids of the wanted clips; all if None.
    device
        `auto`, `cpu`, `cuda` or `mps`.

    Returns
    -------
    tuple[tuple[Segment, ...], Floats32]
        The segments of these clips, and the mean of the feature map of each, `[items, channels]`.

    Raises
    ------
    RunError
        the run holds no network, or the data does not fit it.
    DataError
        the spectrograms, or the sound that its feature is computed from, are missing, or none of the clips is there.
    """
    if run.card.kind != "torch":
        raise RunError(f"{run.path} holds no network, and so no features of one; map its inputs instead")
    classifier = load_classifier(run, device)
    assert isinstance(classifier, TorchClassifier)
    source, arrays = _inputs(run, DataFolder.open(data))
    segments = source.segments
    chosen = np.array([item for item, one in enumerate(segments) if clips is None or one.clip.id in clips], np.int64)
    if not len(chosen):
        where = data.path if isinstance(data, DataFolder) else data
        raise DataError(
            f"{where} holds none of the wanted clips of {run.path}; name the data folder that it was trained on"
        )
    key = cache_key(
        weights=digest(run.weights_path),
        arrays=source.digest(),
        items=hashlib.sha256(chosen.tobytes()).hexdigest(),
    )
    path = source.path / "features" / f"{run.name}-{key}.npy"
    features = _pooled(path, classifier.network, arrays[chosen], classifier.device)
    return tuple(segments[item] for item in chosen), features


def _inputs(run: Run, data: DataFolder) -> tuple[Store | FeatureStore, NDArray[Any]]:
    """Return the spectrograms, or the feature, that a run's card names, and their values `[items, ...]`."""
    feature, _ = run.card.of_model()
    if feature.is_image:
        store = open_store(data, feature.config_id)
        return store, store.spectrograms()
    wanted = Extraction.of(feature)
    values = extract(data, feature.name, config=wanted.config, config_id=run.card.data.config_id).store
    return values, values.values()


def _pooled(path: Path, network: Network, arrays: NDArray[Any], device: torch.device) -> Floats32:
    """Return the mean of the feature map of each of `arrays`, `[items, channels]`, cached in `path`."""
    features = cached_backbone_features(path, network.features, Batches(arrays, device, FORWARD_BATCH), len(arrays))
    return np.asarray(features, np.float32).reshape(len(arrays), -1)
