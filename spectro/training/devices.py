"""Device, arithmetic and processes of a training, and one clear message when one of them fails."""

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

from spectro.core.errors import RunError, SpectroError, StorageError
from spectro.core.runs import Run
from spectro.inference.torch_classifier import resolve_device
from spectro.training.checkpoint import finished_epochs

Outcome = TypeVar("Outcome")
PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}
PATIENCE = timedelta(days=1)
"""How long processes wait for rank zero, which alone fills caches; `torchrun` ends them sooner if it dies."""


def set_up(device: str, precision: str) -> lightning_fabric.Fabric:
    """Return the device with its arithmetic, in one process or as many as `torchrun` started.

    Parameters
    ----------
    device
        `auto`, `cpu`, `cuda` or `mps`.
    precision
        `auto`, `fp32`, `bf16` or `fp16`; `auto` is bf16 on GPUs that have it, else fp16 on GPUs, fp32 elsewhere.

    Raises
    ------
    ConfigError
        this machine has no such device.
    """
    kind, _, number = resolve_device(device).partition(":")
    if precision == "auto":
        precision = "fp32" if kind != "cuda" else "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = lightning_fabric.Fabric(
        accelerator=kind,
        devices=[int(number)] if number and kind != "cpu" and processes == 1 else local,
        num_nodes=processes // local,
        strategy=DDPStrategy(timeout=PATIENCE) if processes > 1 else "auto",
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    return fabric


@contextmanager
def fast_arithmetic(device: torch.device) -> Iterator[None]:
    """On a GPU, let cuDNN choose its fastest algorithms and multiply in TF32; afterwards all flags are as before."""
    if device.type != "cuda":
        yield
        return
    benchmark, precision = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = benchmark
        torch.set_float32_matmul_precision(precision)


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Multiply matrices of 32-bit numbers with all of their bits; afterwards as before."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)


def on_rank_zero(fabric: lightning_fabric.Fabric, work: Callable[[], Outcome]) -> Outcome:
    """Return in all processes what `work` returns on rank zero; its error is raised in all of them."""
    if fabric.world_size == 1:
        return work()
    outcome: Outcome | SpectroError | None = None
    if fabric.is_global_zero:
        try:
            outcome = work()
        except SpectroError as error:
            outcome = error
    outcome = fabric.broadcast(outcome)
    if isinstance(outcome, SpectroError):
        raise outcome
    return outcome  # type: ignore[return-value]  # broadcast: rank zero's


@contextmanager
def reporting_failures(fabric: lightning_fabric.Fabric, run: Run) -> Iterator[None]:
    """Turn an interruption, a failing machine or a lost process into one line that names what is kept of the run."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"after {_finished(run)} of {run.path}") from None
    except StorageError as error:
        raise StorageError(f"{error}; {_kept(run)}") from None
    except (OSError, MemoryError, SafetensorError, RuntimeError) as error:
        reason = str(error) or "the memory is full"
        if isinstance(error, torch.distributed.DistError) or "gloo" in reason:
            reason = "another of its processes is gone"
        elif isinstance(error, RuntimeError):
            raise
        raise RunError(f"training stopped: {reason}; {_kept(run)}") from error


def _kept(run: Run) -> str:
    return f"{run.path} keeps {_finished(run)}, and the same command resumes from there"


def _finished(run: Run) -> str:
    epochs = finished_epochs(run)
    return f"{epochs} finished {'epoch' if epochs == 1 else 'epochs'}"
