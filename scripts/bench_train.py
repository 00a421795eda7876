"""Training against timm's own step, fastai's vision learner and itself, interleaved on the same pictures."""

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

from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.inference.batches import Batches, predict_logits
from spectro.models import build
from spectro.models.split import split_backbone
from spectro.training.backbone_features import cached_features
from spectro.training.devices import set_up
from spectro.training.loop import Progress, Stage, Task, fit

SHAPE, CLASSES, BATCH, EPOCHS, VIEWS, LAST = (128, 431), 10, 16, 80, 4, 2
PACKAGES = ("torch", "timm", "fastai")
Epoch = Callable[[], Any]
Arrays = NDArray[Any]


def ours(
    name: str, arrays: Arrays, truth: Arrays, *, what: str, device: str = "cpu", epochs: int = 1, compiled: bool = False
) -> Epoch:
    """Return epochs of the real loop, which give the share of time spent waiting for data.

    They train `all` layers, the `last` two stages, the head behind the `frozen` backbone, or, on `cached` features, the
    head; given maps from before the last two stages, `tail` trains these.
    """
    fabric = set_up(device, "auto")
    network = build(ModelConfig(name=name, dropout=0.0), CLASSES, SHAPE)
    network.to(fabric.device).to(memory_format=torch.channels_last)
    still = {"frozen": [network.backbone], "last": network.stages()[:-LAST], "tail": network.stages()[:-LAST]}
    for part in still.get(what, []):
        part.requires_grad_(False)
    module: torch.nn.Module = network.head if what == "cached" else network
    if what == "tail":
        module = torch.nn.Sequential(split_backbone(network.backbone, network.stages()[-LAST:], name)[1], network.head)
    if compiled:
        module.compile()
    batches = Batches(arrays, fabric.device, 64 if what == "cached" else BATCH)
    nothing = np.array([], np.int64)
    task = Task(
        train=np.arange(len(truth)), val=nothing, truth=truth, classes=CLASSES, class_weights=None, score=lambda _: {}
    )
    config = FinetuneConfig(device=device, bn="train")

    def run() -> float:
        stage = Stage(
            name=what,
            module=module,
            groups=timm.optim.param_groups_weight_decay(module, weight_decay=config.weight_decay),
            epochs=epochs,
            lr=1e-4,
            train=lambda _: batches,
            plain=batches,
            keep_eval=tuple(still.get(what, [])),
        )
        progress = Progress()
        fit(fabric, stage, task, config, progress, save=lambda _: None, tick=lambda _: None, tell=print)
        spent = {key: sum(row[key] for row in progress.history) for key in ("seconds", "seconds_waiting")}
        return spent["seconds_waiting"] / spent["seconds"]

    return run


def caching(name: str, pictures: Arrays, folder: Path, *, tail: bool = False) -> Callable[[], Arrays]:
    """Return the filling of the cache with one view, which gives the features, or the maps before the last stages."""
    network = build(ModelConfig(name=name), CLASSES, SHAPE).eval().to(memory_format=torch.channels_last)
    batches = Batches(pictures, torch.device("cpu"), BATCH)
    front = torch.nn.Sequential(network.normalize, split_backbone(network.backbone, network.stages()[-LAST:], name)[0])
    extract = front if tail else network.features

    def fill() -> Arrays:
        path = folder / ("maps.npy" if tail else "features.npy")
        path.unlink(missing_ok=True)
        how = {"epoch": 0, "pooled": not tail, "tick": lambda _: None}
        return cached_features(path, extract, batches, len(pictures), **how)

    return fill


def of_timm(name: str, pictures: Arrays, truth: Arrays, *, channels_last: bool) -> Epoch:
    """Return an epoch as timm's train.py takes it, which is no part of its package: forward, backward, clip, step."""
    model = timm.create_model(name, in_chans=1, num_classes=CLASSES)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model.to(memory_format=layout).train()
    optimizer = timm.optim.create_optimizer_v2(model, opt="adamw", lr=1e-4, weight_decay=0.01)
    criterion = timm.loss.LabelSmoothingCrossEntropy(0.1)
    loader = DataLoader(TensorDataset(torch.from_numpy(pictures), torch.from_numpy(truth)), BATCH, shuffle=True)

    def run() -> None:
        for x, y in loader:
            loss = criterion(model((x[:, None].float() / 255).contiguous(memory_format=layout)), y)
            loss.backward()
            timm.utils.dispatch_clip_grad(model.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()

    return run


def of_fastai(name: str, pictures: Arrays, truth: Arrays, *, frozen: bool) -> Epoch:
    """Return an epoch of fastai's vision learner, without validation; raises ImportError where it is not installed."""
    from fastai.callback.core import Callback, CancelValidException
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader as FastLoader
    from fastai.losses import CrossEntropyLossFlat
    from fastai.vision.learner import vision_learner

    class NoValidation(Callback):  # type: ignore[misc]
        def before_validate(self) -> None:
            raise CancelValidException

    items = [(torch.from_numpy(p)[None].float() / 255, torch.tensor(t)) for p, t in zip(pictures, truth, strict=True)]
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


def race(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return seconds by the clock and of the processor; everyone runs once a round, the first round warms up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(-1, rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken = contestants[name].process.submit(Contestant.turn).result()
            if turn >= 0:
                times[name].append(taken)
    for one in contestants.values():
        one.process.shutdown()
    return times


def verdict(what: str, values: list[float], target: float) -> None:
    """Print a figure's median and range, and whether it meets its target."""
    middle = statistics.median(values)
    met = "met" if middle >= target else "MISSED"
    print(f"  {what}: {middle:.2f} ({min(values):.2f}-{max(values):.2f}; target >= {target:g}) {met}")


def on_cpu(name: str, images: int, rounds: int) -> None:
    """Print the race on the processor."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (images, *SHAPE), dtype=np.uint8)
    truth = rng.integers(0, CLASSES, images)
    with tempfile.TemporaryDirectory() as folder:
        here = (name, pictures, Path(folder))
        features, maps = np.array(caching(*here)()), np.array(caching(*here, tail=True)())
        them = (name, pictures, truth)
        contestants = {
            "spectro, all layers": Contestant(ours, *them, what="all"),
            "spectro, frozen, no cache": Contestant(ours, *them, what="frozen"),
            "spectro, filling the cache": Contestant(caching, *here),
            f"spectro, {EPOCHS} epochs from cache": Contestant(
                ours, name, features, truth, what="cached", epochs=EPOCHS
            ),
            f"spectro, last {LAST} stages": Contestant(ours, *them, what="last"),
            f"spectro, last {LAST} stages from cache": Contestant(ours, name, maps, truth, what="tail"),
            "timm, all layers": Contestant(of_timm, *them, channels_last=False),
            "timm, all layers, channels_last": Contestant(of_timm, *them, channels_last=True),
        }
        if importlib.util.find_spec("fastai"):
            contestants["fastai, all layers"] = Contestant(of_fastai, *them, frozen=False)
            contestants["fastai, frozen"] = Contestant(of_fastai, *them, frozen=True)
        else:
            print("\nfastai is SKIPPED, for it is not installed here")
        times = race(contestants, rounds)
    print(f"\n{name}, {images} pictures of {SHAPE[0]} x {SHAPE[1]}, batches of {BATCH}, {rounds} interleaved rounds")
    print(f"  {'':34} images/s: min median max, by the clock | by processor time")
    for who, taken in times.items():
        epochs = EPOCHS if "epochs" in who else 1
        by = [[epochs * images / seconds for seconds in column] for column in zip(*taken, strict=True)]
        shown = (f"{min(s):9.1f}{statistics.median(s):9.1f}{max(s):9.1f}" for s in by)
        print(f"  {who:34}{' |'.join(shown)}")
    for column, title in enumerate(
        ("by the clock", "by processor time, which other work on the machine disturbs less")
    ):
        taken = {who: [pair[column] for pair in pairs] for who, pairs in times.items()}
        print(f"\n{title}, median of the rounds' ratios:")
        through, filled = taken["spectro, frozen, no cache"], taken["spectro, filling the cache"]
        cached = taken[f"spectro, {EPOCHS} epochs from cache"]
        for views, target in ((1, 60.0), (VIEWS, 0.8 * EPOCHS / VIEWS)):
            ratios = [EPOCHS * t / (views * f + c) for t, f, c in zip(through, filled, cached, strict=True)]
            verdict(f"{EPOCHS} frozen epochs, backbone / cache of {views} views", ratios, target)
        last = f"spectro, last {LAST} stages"
        verdict(
            f"last {LAST} stages, through the frozen ones / from cache",
            _ratios(taken[last], taken[f"{last} from cache"]),
            1,
        )
        peers = [taken[who] for who in taken if "spectro" not in who and "all layers" in who]
        best = [min(row) for row in zip(*peers, strict=True)]
        verdict("all layers, fastest peer / spectro", _ratios(best, taken["spectro, all layers"]), 0.95)
        if "fastai, frozen" in taken:
            verdict("frozen, fastai / spectro without cache", _ratios(taken["fastai, frozen"], through), 2)
            verdict("frozen, fastai / spectro's epoch from cache",
                    [EPOCHS * ratio for ratio in _ratios(taken["fastai, frozen"], cached)], 2)  # fmt: skip


def _ratios(over: list[float], under: list[float]) -> list[float]:
    return [a / b for a, b in zip(over, under, strict=True)]


def on_gpu(images: int) -> None:
    """Print images per second of the real loop and of inference on a GPU, and the share of time that waits for data."""
    if not torch.cuda.is_available():
        print("\nGPU: SKIPPED, for it needs a CUDA device and there is none here")
        return
    print(f"\n{torch.cuda.get_device_name()}, {images} pictures, all layers, channels_last, mixed precision; images/s")
    rng = np.random.default_rng(0)
    pictures, truth = rng.integers(0, 256, (images, *SHAPE), dtype=np.uint8), rng.integers(0, CLASSES, images)
    for name in ("mobilenetv2_100", "resnet50", "vgg16"):
        for compiled in (False, True):
            epoch = ours(name, pictures, truth, what="all", device="cuda", compiled=compiled)
            training, asking = _speed(epoch, images), _speed(answers(name, pictures, compiled=compiled), images)
            how = "compiled" if compiled else "plain"
            print(
                f"  {name:16} {how:9} training {training:8.0f} ({100 * epoch():.1f} % waiting)  inference {asking:8.0f}"
            )


def answers(name: str, pictures: Arrays, *, compiled: bool) -> Epoch:
    """Return one pass of inference over all pictures on the GPU."""
    fabric = set_up("cuda", "auto")
    network = build(ModelConfig(name=name), CLASSES, SHAPE).eval()
    network.to(fabric.device).to(memory_format=torch.channels_last)
    if compiled:
        network.compile()
    batches = Batches(pictures, fabric.device, BATCH * 8)

    def run() -> None:
        with fabric.autocast():
            predict_logits(network, batches, np.arange(len(pictures)))

    return run


def _speed(run: Epoch, images: int) -> float:
    seconds = []
    for _ in range(4):  # the first one warms up
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return images / statistics.median(seconds[1:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mobilenetv2_100", help="a timm backbone (default: %(default)s)")
    parser.add_argument("--images", type=int, default=64, help="pictures of an epoch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every contestant (default: %(default)s)")
    parser.add_argument("--gpu-images", type=int, default=4096, help="pictures of an epoch on a GPU")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    load, threads = os.getloadavg()[0], torch.get_num_threads()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads used, load {load:.1f}; {', '.join(found)}")
    on_cpu(options.model, options.images, options.rounds)
    on_gpu(options.gpu_images)


if __name__ == "__main__":
    main()
