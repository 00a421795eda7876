"""Two processes, by `torchrun` with gloo on the CPU, train as one; flags and random numbers are restored."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from spectro.core.config import FinetuneConfig, ModelConfig, SplitConfig
from spectro.core.errors import ConfigError
from spectro.core.runs import Run
from spectro.data.splits import split
from spectro.training.devices import fast_arithmetic, set_up
from spectro.training.finetune import finetune
from spectro.training.seeds import seeded

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SCRIPT = """
import os, sys
from spectro.training import finetune, stages
from spectro.inference.batches import Batches
made, make, cached = [], Batches._make, stages.cached_backbone_features
def report(line):  # whole or not at all: both processes write to one pipe
    os.write(1, f"\\n{line}\\n".encode())
def counted(self, batch, epoch, clock):
    made.append(len(batch))
    return make(self, batch, epoch, clock)
def announced(path, *args, **options):
    report("CACHED")
    return cached(path, *args, **options)
Batches._make, stages.cached_backbone_features = counted, announced
if os.environ["RANK"] == os.environ.get("DIES"):
    def struck(path, *args, **options):
        os.kill(os.getpid(), 9)
    finetune.fit = struck
from spectro import cli
try:
    cli.main(sys.argv[1:])
finally:
    report(f"MADE {sum(made)}")
"""


@pytest.fixture(scope="module")
def fresh(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose spectrograms are not packed into one array yet."""
    folder = shutil.copytree(rendered, tmp_path_factory.mktemp("distributed") / "data")
    for packed in folder.rglob("pictures.*"):
        packed.unlink()
    split(folder, config=SplitConfig(by="group", test=0.34, val=0.3))
    return folder


def numbers(run: Run) -> list[list[float]]:
    """Return the history without stages and durations."""
    rows = run.history()
    return [[float(row[name]) for name in row if name != "stage" and not name.startswith("seconds")] for row in rows]


@pytest.mark.slow
def test_two_processes_train_as_one(fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "counted.py").write_text(SCRIPT)
    command = [sys.executable, *TORCHRUN, str(tmp_path / "counted.py"), "finetune"]
    command += [str(fresh), "--out", str(tmp_path / "two")]
    options = (
        "--backbone test_resnet --weights none --dropout 0 --mixup 0 --cutmix 0 --freeze-bn --frozen-epochs 2"
        " --epochs 2 --batch-size 7 --device cpu"
    )
    done = subprocess.run(
        [*command, *options.split()],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("CACHED") == 1
    assert done.stdout.count("trained") == 1
    two = Run.open(tmp_path / "two")

    config = FinetuneConfig(
        frozen_epochs=2, epochs=2, batch_size=7, mixup=0.0, cutmix=0.0, freeze_bn=True, device="cpu"
    )
    model = ModelConfig(name="test_resnet", dropout=0.0)
    one = finetune(fresh, out=tmp_path / "one", model=model, weights="none", config=config)
    assert np.allclose(numbers(one), numbers(two), rtol=1e-3, atol=1e-4)
    assert np.allclose(one.predictions("test").probs, two.predictions("test").probs, atol=1e-3)

    sizes = two.card.split.segments
    validated = 4 * sizes["val"] + sizes["val"] + sizes["test"]
    seen = sum(int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("MADE"))
    assert seen == 4 * sizes["train"] + validated + sum(sizes.values())  # and once all of them for the cache


@pytest.mark.slow
def test_a_process_that_is_gone_ends_the_other_with_one_clear_line(fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "counted.py").write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(tmp_path / "counted.py"), "finetune", str(fresh), "--out", str(tmp_path / "run")]
    options = "--backbone test_resnet --weights none --frozen-epochs 2 --epochs 2 --device cpu"
    shared = {
        "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "DIES": "1",
    }  # fmt: skip
    first, second = (
        subprocess.Popen(
            [*command, *options.split()], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in (0, 1)
    )  # fmt: skip
    second.communicate()
    _, errors = first.communicate(timeout=120)
    assert second.returncode == -9
    assert first.returncode == 2, errors
    lines = [line for line in errors.splitlines() if "another of its processes is gone" in line]
    assert len(lines) == 1
    assert "the same command resumes from there" in lines[0]
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    "name", ["cudaa", "", "cuda:", "cuda:x", "cuda:-1", "cuda:99", "cpu:1", "xyz", "meta", "cuda:²"]
)
def test_a_device_that_is_not_there_is_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown device|there is no") as refused:
        set_up(name, "auto")
    assert "\n" not in str(refused.value)


def test_the_processor_may_have_a_number() -> None:
    assert set_up("cpu:0", "auto").device == torch.device("cpu")


def test_seeded_random_numbers_leave_the_generator_alone() -> None:
    before = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with seeded(7, torch.device("cpu")):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(3), drawn[0])
    torch.set_rng_state(before)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_backend_flags_are_restored(device: str) -> None:
    before = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    with contextlib.suppress(RuntimeError), fast_arithmetic(torch.device(device)):
        assert torch.backends.cudnn.benchmark == (device == "cuda" or before[0])
        raise RuntimeError
    assert (torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()) == before
