"""Features of a backbone, frozen or trained, computed once for every picture and shared by all that need them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray
from torch import Tensor

from spectro.core.config import ModelConfig
from spectro.core.errors import DataError, RunError
from spectro.core.runs import Run
from spectro.core.tables import Segment
from spectro.data.features import Extraction, extract
from spectro.data.store import Store, open_store
from spectro.inference.batches import Batches
from spectro.inference.classifier import TorchClassifier, load_classifier
from spectro.models import build_pretrained
from spectro.models.network import Network

FORWARD_BATCH = 32

Features = NDArray[np.float16]


def cache_key(**facts: Any) -> str:
    """Return 16 hexadecimal digits that change with anything the features depend on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@torch.inference_mode()
def cached_features(
    path: Path,
    extract: Callable[[Tensor], Tensor],
    batches: Batches,
    items: int,
    *,
    epoch: int,
    pooled: bool,
    tick: Callable[[int], None],
) -> Features:
    """Return the features of all `items` pictures, `[items, channels, height, width]`, as a memory-mapped file.

    Parameters
    ----------
    path
        `.npy` file of the cache; used as it is when it exists, for its name holds the key.
    extract
        from pictures `[batch, 1, bands, frames]` to a feature map; in evaluation mode.
    batches
        the pictures; with augmentation, `epoch` numbers the view.
    items
        number of pictures.
    epoch
        view that is made.
    pooled
        keep the mean over height and width only, `[items, channels, 1, 1]`: all that a light head looks at.
    tick
        called with the number of pictures done.
    """
    if path.exists():
        tick(items)
        return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:  # written, not mapped: a full disk is then an error instead of a signal
            for batch, x in batches(np.arange(items), epoch):
                maps = extract(x)
                if pooled:
                    maps = maps.mean(dim=(2, 3), keepdim=True)
                if not file.tell():
                    shape = (items, *maps.shape[1:])
                    write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
                file.write(maps.to(torch.float16).cpu().numpy().tobytes())
                tick(len(batch))
        os.replace(temporary, path)
    except BaseException:  # an interruption too leaves nothing behind
        temporary.unlink(missing_ok=True)
        raise
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def frozen_features(store: Store, model: ModelConfig, weights: str = "auto") -> NDArray[np.float32]:
    """Return the mean of a frozen backbone's feature map, `[items, channels]`, from the cache that training uses.

    Raises
    ------
    WeightsError
        the backbone's weights are not at hand.
    """
    pictures = store.pictures()
    bands, frames = pictures.shape[1:]
    torch.manual_seed(0)  # so that random weights are those of a training with seed 0
    network, origin = build_pretrained(model, 2, (bands, frames), weights)  # the head's classes play no part
    facts = {"name": model.name, "in_chans": model.in_chans, "weights": origin.sha256 or "random 0"}
    key = cache_key(**facts, what="features", pooled=True, pictures=store.digest())
    path = store.path / "features" / f"{model.name}-{key}.npy"
    return _pooled(path, network.eval(), pictures, torch.device("cpu"))


def run_features(
    run: Run, data: Path, *, clips: Container[str] | None = None, device: str = "auto"
) -> tuple[tuple[Segment, ...], NDArray[np.float32]]:
    """Return segments and the mean of a trained network's feature map for each, `[items, channels]`.

    They are kept beside the pictures, by the hash of the weights.

    Parameters
    ----------
    run
        A finished run of one network.
    data
        Data folder with the pictures that the run's card names, or those of other clips.
    clips
        Ids of the clips that are wanted; all if None.
    device
        `auto`, `cpu`, `cuda` or `mps`.

    Raises
    ------
    RunError
        the run holds no network, or the data does not fit it.
    DataError
        the pictures, or the sound that its features are computed from, are not at hand, or not one clip is wanted.
    """
    card = run.card()
    if not run.weights_path.exists():
        raise RunError(f"{run.path} holds no network, whose feature map could be drawn; map what it was fed instead")
    classifier = load_classifier(run, device)
    assert isinstance(classifier, TorchClassifier), "only torch models have such weights"
    assert isinstance(classifier.network, Network)
    feature = card["feature"]
    source: Any
    if feature["name"] == "mel":
        source = open_store(data, feature["config_id"])
        arrays: NDArray[Any] = source.pictures()
    else:
        wanted = Extraction.from_dict(feature["name"], feature["config"])
        source = extract(data, feature["name"], config=wanted.config, config_id=card["data"]["pictures"]).store
        arrays = source.values()
    chosen = np.array([item for item, one in enumerate(source.segments) if clips is None or one.clip.id in clips])
    if not len(chosen):
        raise DataError(f"{data} holds none of the clips that are wanted of {run.path}; name the data it was made from")
    key = cache_key(
        weights=hashlib.sha256(run.weights_path.read_bytes()).hexdigest(),
        arrays=source.digest(),
        items=hashlib.sha256(chosen.tobytes()).hexdigest(),
    )
    path = source.path / "features" / f"{run.name}-{key}.npy"
    values = _pooled(path, classifier.network, arrays[chosen], classifier.device)
    return tuple(source.segments[item] for item in chosen), values


def _pooled(path: Path, network: Network, arrays: NDArray[Any], device: torch.device) -> NDArray[np.float32]:
    """Return the mean of the feature map of each of `arrays`, `[items, channels]`, cached in `path`."""
    batches, items = Batches(arrays, device, FORWARD_BATCH), len(arrays)
    made = cached_features(path, network.features, batches, items, epoch=0, pooled=True, tick=lambda _: None)
    return np.asarray(made, np.float32).reshape(items, -1)
