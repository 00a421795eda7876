"""Backbone features (embeddings), frozen or trained, computed once per segment and cached for all that need them."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectro.core.arrays import Floats32
from spectro.core.caches import open_cached, write_cached
from spectro.core.config import ModelConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError, RunError, StorageError
from spectro.core.files import remove_temporaries
from spectro.core.runs import Run
from spectro.core.tables import Segment
from spectro.data.features import Extraction, FeatureStore, extract
from spectro.data.store import Store, open_store
from spectro.inference.batches import Batches
from spectro.inference.classifier import load_classifier
from spectro.inference.torch_classifier import TorchClassifier
from spectro.models import EMBEDDERS, WeightsInfo, build_pretrained
from spectro.models.network import Network
from spectro.training.seeds import seeded

FORWARD_BATCH = 32
CPU = torch.device("cpu")
log = logging.getLogger(__name__)

Floats16 = NDArray[np.float16]


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Where an array of features is kept, and what it was computed from."""

    path: Path
    """`.npy` file; its note beside it has the ending `.json`."""
    facts: Mapping[str, str | int | bool]
    """Everything the features depend on."""

    @classmethod
    def of(cls, inputs: Path, title: str, **facts: str | int | bool) -> Cache:
        """Return the cache in the folder of the inputs, under a name that changes with any of the facts."""
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        return cls(path=inputs / "features" / f"{title[:40]}-{key}.npy", facts=facts)


def facts_of(model: ModelConfig) -> dict[str, str | int]:
    """Return which settings of a network its features depend on."""
    several = model.head == "multi" or (model.head == "auto" and model.name in EMBEDDERS)
    read = {"stages": model.stages, "stage_values": model.stage_values} if several else {}
    return {"name": model.name, "in_chans": model.in_chans, **read}


@torch.inference_mode()
def cached_backbone_features(
    cache: Cache | Path,
    extract: Callable[[Tensor], Tensor],
    batches: Batches,
    items: int,
    *,
    epoch: int = 0,
    pooled: bool = True,
    pending: int = 1,
    tick: Callable[[int], None] = lambda _: None,
) -> Floats16:
    """Return the features of all items as a memory-mapped file, computed if it is not there yet, or damaged.

    Parameters
    ----------
    cache
        Where they are kept; a path alone for features that depend on nothing else.
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
    pending
        Number of arrays of this size that will be written, this one included; the disk must have room for all.
    tick
        Called with the number of items done.

    Returns
    -------
    Floats16
        `[items, channels, height, width]`; height and width are 1 when pooled.

    Raises
    ------
    StorageError
        the disk has no room for them, or fails.
    """
    cache = Cache(path=cache, facts={}) if isinstance(cache, Path) else cache
    path = cache.path
    array = open_cached(path, cache.facts)
    if array is not None:
        tick(items)
        return array
    for place in (path, path.with_suffix(".json")):
        if place.is_dir():
            raise StorageError(f"{place} is a folder, but features are to be kept in a file of that name; remove it")
    if path.exists():
        log.warning("%s is damaged or not complete: these features are computed again", path)
    remove_temporaries(path.parent)

    def blocks() -> Iterator[Floats16]:
        for batch, x in batches(np.arange(items), epoch):
            maps = extract(x)
            if pooled:
                maps = maps.mean(dim=(2, 3), keepdim=True)
            block = maps.to(torch.float16).cpu().numpy()
            if batch[0] == 0:
                _require_room(path.parent, block.nbytes * items // len(block), pending)
            yield block
            tick(len(batch))

    return write_cached(path, cache.facts, items, blocks())


def _require_room(folder: Path, size: int, pending: int) -> None:
    """Raise StorageError where a folder's disk has no room for `pending` arrays of `size` bytes."""
    free = shutil.disk_usage(folder).free
    if size * pending > free:
        views = f" of {pending} views" if pending > 1 else ""
        fewer = ", or lower --views" if pending > 1 else ""
        raise StorageError(
            f"the features{views} that training keeps in {folder} take {size * pending / 1e9:.3g} GB, but only "
            f"{free / 1e9:.3g} GB are free; make room and repeat the command{fewer}"
        )


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
    network, origin = frozen_network(model, 2, arrays.shape[1:], weights)  # the classes of the head play no part
    return network_features(store.path, store.digest(), arrays, network, model, origin)


def frozen_network(
    model: ModelConfig, classes: int, shape: tuple[int, int], weights: str = "auto"
) -> tuple[Network, WeightsInfo]:
    """Return a network on the CPU, to be left as it is, and where its weights come from.

    Parameters
    ----------
    model
        The network.
    classes
        Number of classes of its head.
    shape
        Bands and frames of its input.
    weights
        `auto`, `none` (those of a training with seed 0), `hub` or a file.

    Raises
    ------
    WeightsError
        the weights are not installed and cannot be downloaded.
    """
    with seeded(0, CPU):
        network, origin = build_pretrained(model, classes, shape, weights)
    return network.eval(), origin


def network_features(
    folder: Path, digest: str, arrays: NDArray[Any], network: Network, model: ModelConfig, origin: WeightsInfo
) -> Floats32:
    """Return the pooled features of a frozen network, from the cache that training uses.

    Parameters
    ----------
    folder
        Folder of the inputs, beside which the features are kept.
    digest
        Hash of what the inputs depend on.
    arrays
        The inputs, `[items, bands, frames]`.
    network, model, origin
        The network, its settings and where its weights come from, as `frozen_network` returned them.

    Returns
    -------
    Floats32
        What the head reads of each input, averaged over its map, `[items, values]`.
    """
    cache = Cache.of(
        folder,
        model.name,
        **facts_of(model),
        weights=origin.sha256 or "random 0",
        what="features",
        pooled=True,
        arrays=digest,
    )
    return _pooled(cache, network, arrays, CPU)


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
    run.checked(run.weights_path)
    cache = Cache.of(
        source.path,
        run.name,
        weights=run.card.files[run.weights_path.name],
        arrays=source.digest(),
        items=hashlib.sha256(chosen.tobytes()).hexdigest(),
    )
    features = _pooled(cache, classifier.network, arrays[chosen], classifier.device)
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


def _pooled(cache: Cache, network: Network, arrays: NDArray[Any], device: torch.device) -> Floats32:
    """Return the mean of the feature map of each of `arrays`, `[items, channels]`, cached."""
    features = cached_backbone_features(cache, network.features, Batches(arrays, device, FORWARD_BATCH), len(arrays))
    return np.asarray(features, np.float32).reshape(len(arrays), -1)
