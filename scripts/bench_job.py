"""A whole job of GTZAN's size: three backbones, their ensemble and the report, with the time that each step takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import torch
from cyclopts import App

import spectro
from spectro.core.config import FinetuneConfig, ModelConfig, SplitConfig
from spectro.inference.batches import keep_memory

RATE, SECONDS, CLASSES = 22050, 30, 10
TARGET = 60.0
"""Seconds that training, ensemble and report may take on an H200."""

app = App(help=__doc__)


@contextmanager
def timed(spent: dict[str, float], step: str) -> Iterator[None]:
    """Note how long a step took."""
    began = time.perf_counter()
    yield
    spent[step] = time.perf_counter() - began
    print(f"  {step:28} {spent[step]:8.1f} s", flush=True)


def tones(folder: Path, clips: int) -> None:
    """Write clips of noise and tones, a pitch a class: enough to be learned, free of rights."""
    rng = np.random.default_rng(0)
    times = np.arange(RATE * SECONDS) / RATE
    for clip in range(clips):
        label = clip % CLASSES
        wave = 0.3 * np.sin(2 * np.pi * 220 * 2 ** (label / 3) * times) + 0.1 * rng.standard_normal(len(times))
        path = folder / f"class{label}" / f"{clip}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave, RATE)


@app.default
def main(
    *,
    clips: int = 1000,
    backbones: str = "mobilenetv2_100,resnet50,vgg16",
    frozen_epochs: int = 80,
    epochs: int = 10,
    batch_size: int = 64,
    device: str = "cuda",
) -> None:
    """Render, split, train, combine and report; weights are random, because time does not depend on them.

    Parameters
    ----------
    clips
        Clips of 30 s, three segments each.
    backbones
        Names of timm backbones, separated by commas.
    frozen_epochs
        Epochs of the head.
    epochs
        Epochs of all layers.
    batch_size
        Spectrograms per step.
    device
        `cuda`; or `cpu`, to try the script with a few clips and epochs.
    """
    if device == "cuda" and not torch.cuda.is_available():
        print("SKIPPED: the whole job is measured on a CUDA device, and there is none here")
        return
    keep_memory()
    where = torch.cuda.get_device_name() if device == "cuda" else "the CPU"
    print(f"{clips} clips of {SECONDS} s, {frozen_epochs} + {epochs} epochs of {backbones}, on {where}")
    spent: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder, names = Path(scratch), backbones.split(",")
        tones(folder / "sounds", clips)
        data = folder / "data"
        with timed(spent, "render"):
            spectro.render(folder / "sounds", out=data)
        spectro.split(data, config=SplitConfig(by="group"))
        config = FinetuneConfig(frozen_epochs=frozen_epochs, epochs=epochs, batch_size=batch_size, device=device)
        runs = []
        for name in names:
            with timed(spent, name):
                runs.append(
                    spectro.finetune(
                        data, out=folder / name, model=ModelConfig(name=name), config=config, weights="none"
                    )
                )
        with timed(spent, "ensemble and its metrics"):
            vote = spectro.ensemble(runs, out=folder / "vote")
            metrics = spectro.evaluate(vote)
        with timed(spent, "report"):
            spectro.report([vote, *runs], out=folder / "report.html")
        total = sum(spent.values()) - spent["render"]
        print(f"  {'all but rendering':28} {total:8.1f} s (target {TARGET:.0f} s on an H200)")
        print(f"  clip accuracy {metrics.clip.accuracy.value:.3f}; peak memory {peak(device)}")


def peak(device: str) -> str:
    """Return the GPU's peak memory as text."""
    return f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device == "cuda" else "not measured"


if __name__ == "__main__":
    app()
