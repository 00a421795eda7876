"""Where training runs: the device, its arithmetic, one process or several, and what is said when one of them fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal, TypeVar

import lightning_fabric
import torch
from lightning_fabric.strategies.ddp import DDPStrategy
from safetensors import SafetensorError

from spectro.core.errors import RunError, SpectroError
from spectro.core.runs import Run
from spectro.training.checkpoint import load_checkpoint

Outcome = TypeVar("Outcome")
PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}
PATIENCE = timedelta(days=1)
"""How long processes wait for the first one, which alone fills caches; `torchrun` ends them sooner if it dies."""


def set_up(device: str, precision: str) -> lightning_fabric.Fabric:
    """Return the device, its arithmetic, and one process, or as many as `torchrun` started."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        precision = "fp32" if device != "cuda" else "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")  # TF32
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = lightning_fabric.Fabric(
        accelerator=device,
        devices=local,
        num_nodes=processes // local,
        strategy=DDPStrategy(timeout=PATIENCE) if processes > 1 else "auto",
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    return fabric


def on_rank_zero(fabric: lightning_fabric.Fabric, work: Callable[[], Outcome]) -> Outcome:
    """Return what `work` gives on the first process to all of them; its error is raised in all of them."""
    if fabric.world_size == 1:
        return work()
    done: Outcome | SpectroError | None = None
    if fabric.is_global_zero:
        try:
            done = work()
        except SpectroError as error:
            done = error
    done = fabric.broadcast(done)
    if isinstance(done, SpectroError):
        raise done
    return done  # type: ignore[return-value]  # broadcast: the first one's


@contextmanager
def reporting_failures(fabric: lightning_fabric.Fabric, run: Run) -> Iterator[None]:
    """Let an interruption, a machine that fails, or a process that is gone, say what is kept of the run."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"after {_finished(run)} of {run.path}") from None
    except (OSError, MemoryError, SafetensorError, RuntimeError) as error:
        what = str(error) or "the memory is full"
        if isinstance(error, torch.distributed.DistError) or "gloo" in what:
            what = "another of its processes is gone"
        elif isinstance(error, RuntimeError):
            raise
        raise RunError(
            f"training stopped: {what}; {run.path} keeps {_finished(run)}, and the same command goes on from there"
        ) from error


def _finished(run: Run) -> str:
    epochs = len(load_checkpoint(run).history)
    return f"{epochs} finished {'epoch' if epochs == 1 else 'epochs'}"
