"""Training in two processes: `torchrun` with gloo on the CPU, against one process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spectro.core.config import FinetuneConfig, ModelConfig, SplitConfig
from spectro.core.runs import Run
from spectro.core.tables import read_csv
from spectro.data.splits import split
from spectro.training.finetune import finetune

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SCRIPT = """
import os, sys
from spectro.training import finetune
from spectro.training import backbone_features as embeddings
from spectro.inference.batches import Batches
made, make, cached = [], Batches._make, embeddings.cached_features
def tell(line):  # whole or not at all: both processes write to one pipe
    os.write(1, f"\\n{line}\\n".encode())
def counted(self, batch, epoch, clock):
    made.append(len(batch))
    return make(self, batch, epoch, clock)
def announced(path, *args, **options):
    tell("CACHED")
    return cached(path, *args, **options)
Batches._make, finetune.cached_features = counted, announced
if os.environ["RANK"] == os.environ.get("DIES"):
    def struck(path, *args, **options):
        os.kill(os.getpid(), 9)
    finetune.fit = struck
from spectro import cli
try:
    cli.main(sys.argv[1:])
finally:
    tell(f"MADE {sum(made)}")
"""


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed") / "data"
    shutil.copytree(rendered, folder)
    for packed in folder.rglob("pictures.*"):
        packed.unlink()
    split(folder, config=SplitConfig(by="group", test=0.34, val=0.3))
    return folder


def test_two_processes_train_as_one(data: Path, tmp_path: Path) -> None:
    (tmp_path / "counted.py").write_text(SCRIPT)
    command = [sys.executable, *TORCHRUN, str(tmp_path / "counted.py"), "finetune", data, "--out", tmp_path / "two"]
    options = (
        "--backbone test_resnet --weights none --dropout 0 --mixup 0 --bn frozen --epochs 2 --finetune-epochs 2"
        " --batch-size 7 --device cpu"
    )
    done = subprocess.run(
        [*command, *options.split()],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("CACHED") == 1
    assert done.stdout.count("trained") == 1
    two = Run.open(tmp_path / "two")

    one = finetune(
        data, out=tmp_path / "one", model=ModelConfig(name="test_resnet", dropout=0.0), weights="none",
        config=FinetuneConfig(epochs=2, finetune_epochs=2, batch_size=7, mixup=0.0, bn="frozen", device="cpu"),
    )  # fmt: skip
    histories = [read_csv(run.history_path, ("epoch",)) for run in (one, two)]
    figures = [
        [[float(row[name]) for name in row if name != "stage" and not name.startswith("seconds")] for row in history]
        for history in histories
    ]
    assert np.allclose(*figures, rtol=1e-3, atol=1e-4)
    assert np.allclose(one.predictions("test").probs, two.predictions("test").probs, atol=1e-3)

    dataset = {fold: int(count) for fold, count in two.card()["split"]["segments"].items()}
    judged = 4 * dataset["val"] + dataset["val"] + dataset["test"]
    seen = sum(int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("MADE"))
    assert seen == 4 * dataset["train"] + judged + sum(dataset.values())  # and once all of them for the cache


def test_a_process_that_is_gone_ends_the_other_with_one_clear_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / "counted.py").write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(tmp_path / "counted.py"), "finetune", str(data), "--out", str(tmp_path / "run")]
    options = "--backbone test_resnet --weights none --epochs 2 --finetune-epochs 2 --device cpu"
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
    said = [line for line in errors.splitlines() if "another of its processes is gone" in line]
    assert len(said) == 1
    assert "the same command goes on from there" in said[0]
    assert "Traceback" not in errors
