"""Training against timm's own step, fastai's vision learner and itself, interleaved on the same spectrograms."""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import timm
import timm.loss
import timm.optim
import timm.utils
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, TensorDataset

from spectro.core.arrays import Image, Items
from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.inference.batches import Batches, keep_memory, predict_logits
from spectro.models import build
from spectro.models.split import split_backbone
from spectro.training.backbone_features import cached_backbone_features
from spectro.training.devices import fast_arithmetic, set_up
from spectro.training.loop import fit
from spectro.training.task import Stage, Task

SHAPE, CLASSES, BATCH, EPOCHS, VIEWS, LAST = (128, 431), 10, 16, 80, 4, 2
PACKAGES = ("torch", "timm", "fastai")
Epoch = Callable[[], Any]
Arrays = NDArray[Any]


def ours(
    name: str, arrays: Arrays, truth: Items, *, what: str, device: str = "cpu", epochs: int = 1, compiled: bool = False
) -> Epoch:
    """Return epochs of the real loop, which return the share of time spent waiting for data.

    They train `all` layers, the `last` two stages, the head behind the `frozen` backbone, or, on `cached` features, the
    head; given maps from before the last two stages, `tail` trains these.
    """
    keep_memory()
    fabric = set_up(device, "auto")
    network = build(ModelConfig(name=name, dropout=0.0), CLASSES, SHAPE)
    network.to(fabric.device).to(memory_format=torch.channels_last)
    fixed = {"frozen": [network.backbone], "last": network.stages()[:-LAST], "tail": network.stages()[:-LAST]}
    for part in fixed.get(what, []):
        part.requires_grad_(False)
    module: torch.nn.Module = network.head if what == "cached" else network
    if what == "tail":
        module = torch.nn.Sequential(split_backbone(network.backbone, network.stages()[-LAST:], name)[1], network.head)
    if compiled:
        module.compile()
    batches = Batches(arrays, fabric.device, 64 if what == "cached" else BATCH)
    task = Task(train=np.arange(len(truth)), truth=truth, classes=CLASSES)
    keep_eval = tuple(fixed.get(what, []))

    def run() -> float:
        stage = Stage(
            name=what, module=module, epochs=epochs, lr=1e-4, train=(batches,), plain=batches, keep_eval=keep_eval
        )
        with fast_arithmetic(fabric.device):
            history = fit(fabric, stage, task, FinetuneConfig()).history
        return sum(row.seconds_waiting for row in history) / sum(row.seconds for row in history)

    return run


def caching(name: str, images: Image, folder: Path, *, tail: bool = False) -> Callable[[], Arrays]:
    """Return the filling of the cache with one view, which returns the features, or the maps before the last stages."""
    keep_memory()
    network = build(ModelConfig(name=name), CLASSES, SHAPE).eval().to(memory_format=torch.channels_last)
    batches = Batches(images, torch.device("cpu"), BATCH)
    front = torch.nn.Sequential(network.normalize, split_backbone(network.backbone, network.stages()[-LAST:], name)[0])
    extract = front if tail else network.features

    def fill() -> Arrays:
        path = folder / ("maps.npy" if tail else "features.npy")
        path.unlink(missing_ok=True)
        return cached_backbone_features(path, extract, batches, len(images), pooled=not tail)

    return fill


def of_timm(name: str, images: Image, truth: Items, *, channels_last: bool) -> Epoch:
    """Return an epoch as timm's train.py takes it, which is no part of its package: forward, backward, clip, step."""
    model = timm.create_model(name, in_chans=1, num_classes=CLASSES)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model.to(memory_format=layout).train()
    optimizer = timm.optim.create_optimizer_v2(model, opt="adamw", lr=1e-4, weight_decay=0.01)
    criterion = timm.loss.LabelSmoothingCrossEntropy(0.1)
    loader = DataLoader(TensorDataset(torch.from_numpy(images), torch.from_numpy(truth)), BATCH, shuffle=True)

    def run() -> None:
        for x, y in loader:
            loss = criterion(model((x[:, None].float() / 255).contiguous(memory_format=layout)), y)
            loss.backward()
            timm.utils.dispatch_clip_grad(model.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()

    return run


def of_fastai(name: str, images: Image, truth: Items, *, frozen: bool) -> Epoch:
    """Return an epoch of fastai's vision learner, without validation; raises ImportError where it is not installed."""
    from fastai.callback.core import Callback, CancelValidException
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader as FastLoader
    from fastai.losses import CrossEntropyLossFlat
    from fastai.vision.learner import vision_learner

    class NoValidation(Callback):  # type: ignore[misc]
        def before_validate(self) -> None:
            raise CancelValidException

    items = [(torch.from_numpy(p)[None].float() / 255, torch.tensor(t)) for p, t in zip(images, truth, strict=True)]
    loader = FastLoader(items, bs=BATCH, shuffle=True, num_workers=0)
    loaders = DataLoaders(loader, loader, device=torch.device("cpu"))
    learner = vision_learner(
        loaders, name, n_in=1, n_out=CLASSES, pretrained=False, normalize=False, loss_func=CrossEntropyLossFlat(),
        cbs=NoValidation(),
    )  # fmt: skip
    (learner.freeze if frozen else learner.unfreeze)()

    def run() -> None:
        with learner.no_logging():
            learner.fit(1, 1e-4)

    return run


class Contestant:
    """One epoch after another in a process of its own, so that nobody gains by another's settings or memory."""

    epoch: Epoch

    def __init__(self, make: Callable[..., Epoch], *args: Any, **options: Any) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.process = ProcessPoolExecutor(1, spawn, Contestant.prepare, (make, args, options))

    @classmethod
    def prepare(cls, make: Callable[..., Epoch], args: Any, options: Any) -> None:
        """Build, inside the process."""
        warnings.filterwarnings("ignore")
        cls.epoch = staticmethod(make(*args, **options))

    @classmethod
    def turn(cls) -> tuple[float, float]:
        """Return the seconds that an epoch takes, by the clock and of the processor."""
        clock, processor = time.perf_counter(), time.process_time()
        cls.epoch()
        return time.perf_counter() - clock, time.process_time() - processor


def race(everyone: dict[str, Contestant], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return seconds by the clock and of the processor; everyone runs once a round, the first round warms up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in everyone}
    names = list(everyone)
    for turn in range(-1, rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds = everyone[name].process.submit(Contestant.turn).result()
            if turn >= 0:
                times[name].append(seconds)
    for one in everyone.values():
        one.process.shutdown()
    return times


def verdict(what: str, values: list[float], target: float) -> None:
    """Print the median and range of a ratio, and whether it meets its target."""
    middle = statistics.median(values)
    met = "met" if middle >= target else "MISSED"
    print(f"  {what}: {middle:.2f} ({min(values):.2f}-{max(values):.2f}; target >= {target:g}) {met}")


def on_cpu(name: str, count: int, rounds: int) -> None:
    """Print the race on the CPU."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    truth = rng.integers(0, CLASSES, count)
    with tempfile.TemporaryDirectory() as folder:
        times = race(contestants(name, images, truth, Path(folder)), rounds)
    print(f"\n{name}, {count} spectrograms of {SHAPE[0]} x {SHAPE[1]}, batches of {BATCH}, {rounds} interleaved rounds")
    print(f"  {'':34} images/s: min median max, by the clock | by processor time")
    for who, pairs in times.items():
        epochs = EPOCHS if "epochs" in who else 1
        columns = [[epochs * count / seconds for seconds in column] for column in zip(*pairs, strict=True)]
        speeds = (f"{min(one):9.1f}{statistics.median(one):9.1f}{max(one):9.1f}" for one in columns)
        print(f"  {who:34}{' |'.join(speeds)}")
    for column, title in enumerate(
        ("by the clock", "by processor time, which other work on the machine disturbs less")
    ):
        print(f"\n{title}, median of the rounds' ratios:")
        print_ratios({who: [pair[column] for pair in pairs] for who, pairs in times.items()})


def contestants(name: str, images: Image, truth: Items, folder: Path) -> dict[str, Contestant]:
    """Return everyone who takes part, by name."""
    here, them = (name, images, folder), (name, images, truth)
    features, maps = np.array(caching(*here)()), np.array(caching(*here, tail=True)())
    everyone = {
        "spectro, all layers": Contestant(ours, *them, what="all"),
        "spectro, frozen, no cache": Contestant(ours, *them, what="frozen"),
        "spectro, filling the cache": Contestant(caching, *here),
        f"spectro, {EPOCHS} epochs from cache": Contestant(ours, name, features, truth, what="cached", epochs=EPOCHS),
        f"spectro, last {LAST} stages": Contestant(ours, *them, what="last"),
        f"spectro, last {LAST} stages from cache": Contestant(ours, name, maps, truth, what="tail"),
        "timm, all layers": Contestant(of_timm, *them, channels_last=False),
        "timm, all layers, channels_last": Contestant(of_timm, *them, channels_last=True),
    }
    if importlib.util.find_spec("fastai"):
        everyone["fastai, all layers"] = Contestant(of_fastai, *them, frozen=False)
        everyone["fastai, frozen"] = Contestant(of_fastai, *them, frozen=True)
    else:
        print("\nfastai is SKIPPED, for it is not installed here")
    return everyone


def print_ratios(seconds: dict[str, list[float]]) -> None:
    """Print how many times as fast the cache and spectro are; `seconds` are everyone's rounds."""
    through, filling = seconds["spectro, frozen, no cache"], seconds["spectro, filling the cache"]
    cached = seconds[f"spectro, {EPOCHS} epochs from cache"]
    for views, target in ((1, 60.0), (VIEWS, 0.8 * EPOCHS / VIEWS)):
        ratios = [EPOCHS * t / (views * f + c) for t, f, c in zip(through, filling, cached, strict=True)]
        verdict(f"{EPOCHS} frozen epochs, backbone / cache of {views} views", ratios, target)
    last = f"spectro, last {LAST} stages"
    from_cache = _ratios(seconds[last], seconds[f"{last} from cache"])
    verdict(f"last {LAST} stages, through the frozen ones / from cache", from_cache, 1)
    peers = [seconds[who] for who in seconds if "spectro" not in who and "all layers" in who]
    best = [min(row) for row in zip(*peers, strict=True)]
    verdict("all layers, fastest peer / spectro", _ratios(best, seconds["spectro, all layers"]), 0.95)
    if "fastai, frozen" in seconds:
        peer = seconds["fastai, frozen"]
        verdict("frozen, fastai / spectro without cache", _ratios(peer, through), 2)
        verdict("frozen, fastai / spectro's epoch from cache", [EPOCHS * ratio for ratio in _ratios(peer, cached)], 2)


def _ratios(over: list[float], under: list[float]) -> list[float]:
    return [a / b for a, b in zip(over, under, strict=True)]


def on_gpu(count: int) -> None:
    """Print images per second of the real loop and of inference on a GPU, and the share of time that waits for data."""
    if not torch.cuda.is_available():
        print("\nGPU: SKIPPED, for it needs a CUDA device and there is none here")
        return
    print(
        f"\n{torch.cuda.get_device_name()}, {count} spectrograms, all layers, channels_last, mixed precision; images/s"
    )
    rng = np.random.default_rng(0)
    images, truth = rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8), rng.integers(0, CLASSES, count)
    for name in ("mobilenetv2_100", "resnet50", "vgg16"):
        for compiled in (False, True):
            epoch = ours(name, images, truth, what="all", device="cuda", compiled=compiled)
            training, asking = _speed(epoch, count), _speed(answers(name, images, compiled=compiled), count)
            how = "compiled" if compiled else "plain"
            print(
                f"  {name:16} {how:9} training {training:8.0f} ({100 * epoch():.1f} % waiting)  inference {asking:8.0f}"
            )


def answers(name: str, images: Image, *, compiled: bool) -> Epoch:
    """Return one pass of inference over all spectrograms on the GPU."""
    fabric = set_up("cuda", "auto")
    network = build(ModelConfig(name=name), CLASSES, SHAPE).eval()
    network.to(fabric.device).to(memory_format=torch.channels_last)
    if compiled:
        network.compile()
    batches = Batches(images, fabric.device, BATCH * 8)

    def run() -> None:
        with fabric.autocast(), fast_arithmetic(fabric.device):
            predict_logits(network, batches, np.arange(len(images)))

    return run


def _speed(run: Epoch, count: int) -> float:
    seconds = []
    for _ in range(4):  # the first one warms up
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return count / statistics.median(seconds[1:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mobilenetv2_100", help="a timm backbone (default: %(default)s)")
    parser.add_argument("--images", type=int, default=64, help="spectrograms per epoch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant (default: %(default)s)")
    parser.add_argument("--gpu-images", type=int, default=4096, help="spectrograms per epoch on a GPU")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    load, threads = os.getloadavg()[0], torch.get_num_threads()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads used, load {load:.1f}; {', '.join(versions)}"
    )
    on_cpu(options.model, options.images, options.rounds)
    on_gpu(options.gpu_images)


if __name__ == "__main__":
    main()
