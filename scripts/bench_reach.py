"""Time until held-out segments are recognized well enough: against the step of timm and the fine_tune of fastai."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm.loss
import timm.optim
import timm.utils
import torch
from cyclopts import App
from torch.utils.data import DataLoader, TensorDataset

from spectro.core.arrays import Floats32, Image, Items
from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.inference.batches import Batches, keep_memory, predict_logits, to_input
from spectro.models import build_pretrained
from spectro.models.network import Network
from spectro.training.backbone_features import cached_backbone_features
from spectro.training.dataset import TrainingData
from spectro.training.devices import set_up
from spectro.training.loop import fit
from spectro.training.progress import ValidationScores
from spectro.training.task import Stage, Task

CPU = torch.device("cpu")
app = App(help=__doc__)


class Reached(Exception):
    """The accuracy is there."""


@dataclass
class Goal:
    """An accuracy on held-out spectrograms; whoever checks it pays for the check."""

    images: Image
    truth: Items
    accuracy: float
    best: float = 0.0

    def check(self, logits: Floats32) -> ValidationScores:
        """Raise Reached when these logits of the held-out spectrograms are good enough."""
        self.best = max(self.best, float((logits.argmax(axis=1) == self.truth).mean()))
        if self.best >= self.accuracy:
            raise Reached(f"{self.best:.3f}")  # with a text, for fastai's callbacks look for one
        return ValidationScores(loss=0.0, segment_accuracy=self.best, clip_accuracy=0.0, clip_f1=0.0)

    def ask(self, network: torch.nn.Module) -> None:
        """Check a network on them."""
        self.check(predict_logits(network, Batches(self.images, CPU, 16), np.arange(len(self.truth))))


@dataclass(frozen=True)
class Race:
    """What everyone starts from: the same network with the same weights, and the same spectrograms."""

    model: ModelConfig
    images: Image
    truth: Items
    classes: int
    epochs: int

    def network(self) -> Network:
        """Return a fresh network."""
        torch.manual_seed(0)
        network, _ = build_pretrained(self.model, self.classes, self.images.shape[1:])
        return network.to(memory_format=torch.channels_last)

    def spectro(self, goal: Goal) -> None:
        """Train the head on cached features, then all layers: the real loop with the default settings."""
        network, fabric, config = self.network(), set_up("cpu", "fp32"), FinetuneConfig()
        everything = np.concatenate([self.images, goal.images])
        truth = np.concatenate([self.truth, goal.truth])
        train, held_out = np.split(np.arange(len(truth)), [len(self.truth)])
        task = Task(train=train, val=held_out, truth=truth, classes=self.classes, score=goal.check)
        images = Batches(everything, CPU, config.batch_size)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "maps.npy")
            features = np.array(cached_backbone_features(path, network.eval().features, images, len(truth)))
        cached = Batches(features, CPU, config.head_batch_size)
        stages = (
            Stage(
                name="frozen", module=network.head, epochs=config.frozen_epochs, lr=config.lr, train=(cached,),
                plain=cached,
            ),
            Stage(
                name="finetune", module=network, epochs=self.epochs, lr=config.finetune_lr, train=(images,),
                plain=images,
            ),
        )  # fmt: skip
        for stage in stages:
            fit(fabric, stage, task, config)

    def timm(self, goal: Goal, lr: float) -> None:
        """Train all layers from the first step, as timm's train.py takes it: forward, backward, clip, step."""
        network = self.network()
        optimizer = timm.optim.create_optimizer_v2(network, opt="adamw", lr=lr, weight_decay=0.01)
        criterion = timm.loss.LabelSmoothingCrossEntropy(0.1)
        loader = DataLoader(TensorDataset(torch.from_numpy(self.images), torch.from_numpy(self.truth)), 16, True)
        for _ in range(self.epochs):
            network.train()
            for x, y in loader:
                criterion(network(to_input(x)), y).backward()
                timm.utils.dispatch_clip_grad(network.parameters(), 5.0)
                optimizer.step()
                optimizer.zero_grad()
            goal.ask(network)

    def fastai(self, goal: Goal) -> None:
        """Call fastai's own recipe, `fine_tune`: one epoch with the backbone frozen, then all layers."""
        from fastai.callback.core import Callback, CancelValidException
        from fastai.callback.schedule import Learner  # patched with fine_tune
        from fastai.data.core import DataLoaders
        from fastai.data.load import DataLoader as FastLoader
        from fastai.losses import CrossEntropyLossFlat
        from fastai.torch_core import params

        network = self.network()

        class Check(Callback):  # type: ignore[misc]
            def before_validate(self) -> None:
                goal.ask(network)
                raise CancelValidException

        items = [(to_input(p[None])[0], torch.tensor(t)) for p, t in zip(self.images, self.truth, strict=True)]
        loader = FastLoader(items, bs=16, shuffle=True, num_workers=0)
        learner = Learner(
            DataLoaders(loader, loader, device=CPU), network, loss_func=CrossEntropyLossFlat(), cbs=Check(),
            splitter=lambda network: [params(network.backbone), params(network.head)],
        )  # fmt: skip
        with learner.no_bar(), learner.no_logging():
            learner.fine_tune(self.epochs)


@app.default
def main(
    data: Path,
    /,
    *,
    split: str = "official-1",
    accuracy: tuple[float, ...] = (0.85,),
    model: str = "mobilenetv2_100",
    epochs: int = 10,
    rounds: int = 5,
) -> None:
    """Race to an accuracy, interleaved, a few rounds.

    Parameters
    ----------
    data
        Folder made by spectro render and spectro split.
    split
        A split: its test set is held out, everything else is trained on.
    accuracy
        Accuracies of segments, 0..1.
    model
        A backbone whose pretrained weights are installed.
    epochs
        Epochs of all layers after which a contestant gives up.
    rounds
        Turns of each contestant.
    """
    warnings.filterwarnings("ignore")
    keep_memory()
    dataset = TrainingData.open(data, split)
    images, test = np.array(dataset.store.spectrograms()), dataset.subsets["test"]
    train = np.setdiff1d(np.arange(len(dataset.truth)), test)
    race = Race(ModelConfig(name=model), images[train], dataset.truth[train], len(dataset.labels), epochs)
    contestants: dict[str, Callable[[Goal], None]] = {
        "spectro": race.spectro,
        "timm, lr 2e-4": lambda goal: race.timm(goal, 2e-4),
        "timm, lr 1e-3": lambda goal: race.timm(goal, 1e-3),
        "fastai, fine_tune": race.fastai,
    }
    try:
        import fastai  # noqa: F401
    except ImportError:
        print("fastai is SKIPPED, for it is not installed here")
        del contestants["fastai, fine_tune"]
    load = os.getloadavg()[0]
    print(f"{model}, {len(train)} spectrograms to train on, {len(test)} held out, {torch.get_num_threads()} threads")
    print(f"load {load:.1f}; {rounds} interleaved rounds; seconds are medians")
    for target in accuracy:
        run_race(contestants, lambda target=target: Goal(images[test], dataset.truth[test], target), rounds)  # type: ignore[misc]


def run_race(contestants: dict[str, Callable[[Goal], None]], make_goal: Callable[[], Goal], rounds: int) -> None:
    """Let everyone train to a goal, once a round and interleaved, and print how long it took."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    fell_short: dict[str, float] = {}
    names = [*contestants]
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            goal = make_goal()
            clock, processor = time.perf_counter(), time.process_time()
            try:
                contestants[name](goal)
                fell_short[name] = max(goal.best, fell_short.get(name, 0.0))
            except Reached:
                pass
            times[name].append((time.perf_counter() - clock, time.process_time() - processor))
    print(f"\nto {100 * make_goal().accuracy:.0f} % of the held-out segments:")
    for name, pairs in times.items():
        clock, processor = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios = [a[1] / b[1] for a, b in zip(pairs, times["spectro"], strict=True)]
        note = f"; gave up at {100 * fell_short[name]:.0f} %" if name in fell_short else ""
        print(
            f"  {name:20}{clock:8.1f} s by the clock{processor:8.1f} s of processor time, "
            f"{statistics.median(ratios):5.1f}x spectro's ({min(ratios):.1f}-{max(ratios):.1f}){note}"
        )


if __name__ == "__main__":
    app()
